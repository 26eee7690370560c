"""Where the tiles lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from knowlip.reporting.elements import Figure, Paragraph, Section
from knowlip.reporting.maps import Footprint, footprint_map, neighbourhoods
from knowlip.reporting.pictures import thumbnail
from knowlip.workspace import Workspace

__all__ = ["map_section"]

_COLUMNS = ["geometry", "scale", "city", "airports", "ports"]
_MOST_MAPS = 6
_MOST_OUTLINES = 3000
_MOST_PICTURES = 24


def map_section(workspace: Workspace) -> Section | None:
    """Return a map a neighbourhood: the largest tiles' images, all tiles' outlines, places by name."""
    if not workspace.files("tiles"):
        return None
    footprints = [*_kept(workspace), *_rejected(workspace)]
    groups = neighbourhoods(footprints)
    elements: list[Figure | Paragraph] = [
        Figure(footprint_map(_thinned(group), f"map{number}"), _caption(group))
        for number, group in enumerate(groups[:_MOST_MAPS])
    ]
    if len(groups) > _MOST_MAPS:
        elements.append(Paragraph(f"{len(groups) - _MOST_MAPS} more places are not drawn."))
    return Section("Where the tiles lie", elements) if elements else None


def _kept(workspace: Workspace) -> list[Footprint]:
    rows = workspace.read_table("tiles", columns=[*_COLUMNS, "tile_id"])
    scales = set(rows["scale"].to_pylist())
    under = next((scale for scale in "LMS" if scale in scales), None)
    largest = rows.filter(pc.field("scale") == under)["tile_id"].slice(0, _MOST_PICTURES) if under else []
    pictures = _pictures(workspace, largest)
    return [
        Footprint(
            outline=row["geometry"],
            kind=row["scale"],
            city=row["city"] or "",
            sites={
                site["code"]: (site["lon"], site["lat"]) for site in [*(row["airports"] or []), *(row["ports"] or [])]
            },
            picture=pictures.get(row["tile_id"], b""),
        )
        for row in rows.to_pylist()
    ]


def _pictures(workspace: Workspace, tile_ids: pa.ChunkedArray) -> dict[str, bytes]:
    wanted = pc.field("tile_id").isin(tile_ids.combine_chunks())
    rows: list[dict[str, Any]] = workspace.read_table("tiles", columns=["tile_id", "view"], where=wanted).to_pylist()
    return {row["tile_id"]: thumbnail(row["view"], 256) for row in rows}


def _rejected(workspace: Workspace) -> list[Footprint]:
    if not workspace.files("tiles", "_rejected"):
        return []
    outlines = workspace.read_table("tiles", "_rejected", columns=["geometry"])["geometry"].to_pylist()
    return [Footprint(outline=outline, kind="rejected") for outline in outlines]


def _thinned(group: list[Footprint]) -> list[Footprint]:
    """Draw every tile while they are few, and an even choice of them when they are many."""
    if len(group) <= _MOST_OUTLINES:
        return group
    chosen = np.linspace(0, len(group) - 1, _MOST_OUTLINES).round().astype(int)
    return [footprint for place, footprint in enumerate(group) if footprint.picture or place in set(chosen.tolist())]


def _caption(group: list[Footprint]) -> str:
    kinds = [footprint.kind for footprint in group]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("L", "M", "S") if kind in kinds)
    aside = f"; {kinds.count('rejected')} set aside" if "rejected" in kinds else ""
    drawn = f" ({_MOST_OUTLINES} outlines drawn)" if len(group) > _MOST_OUTLINES else ""
    return f"{counts or 'no'} tiles{aside}{drawn}. Diamonds are airports and ports; names stand amid their tiles."
