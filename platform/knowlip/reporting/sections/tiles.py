"""Tiles with what is said about them, at the three scales."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from knowlip.records import SCALES, SUBTEXTS
from knowlip.reporting.elements import Card, Cards, Element, Section, Table
from knowlip.reporting.pictures import data_uri
from knowlip.workspace import Workspace

__all__ = ["tile_card", "tiles_section", "views_of"]

_FACTS = [
    "tile_id",
    "scene_name",
    "scale",
    "parent_id",
    "gsd_m",
    "extent_m",
    "city",
    "country",
    "sensor",
    "polarisation",
]
_FAMILIES = 4


def tiles_section(workspace: Workspace) -> Section | None:
    """Return a few families of tiles, from large to small, with their texts."""
    if not workspace.files("tiles"):
        return None
    rows = workspace.read_table("tiles", columns=[*_FACTS, "quality"]).to_pylist()
    elements: list[Element] = [_counts(rows)]
    families = _families(rows)
    shown = {row["tile_id"] for family in families for row in family}
    views = views_of(workspace, shown)
    texts = _texts(workspace, shown)
    alone: list[Card] = []
    for family in families:
        cards = [tile_card(row, views[row["tile_id"]], texts.get(row["tile_id"], {})) for row in family]
        if len(cards) == 1:
            alone += cards
        else:
            elements.append(Cards(cards, heading=_heading(family[-1])))
    if alone:
        elements.append(Cards(alone))
    return Section("Tiles and their texts", elements)


def tile_card(row: Mapping[str, Any], view: bytes, texts: Mapping[str, str], note: str = "") -> Card:
    """Return a tile as a card.

    Args:
        row: At least ``tile_id``, ``scale``, ``gsd_m`` and ``city``.
        view: Its PNG.
        texts: Sub-texts by name.
        note: A line below.
    """
    facts = [f"scale {row['scale']}", f"{row['gsd_m']:.3g} m a pixel"]
    if row.get("extent_m"):
        facts.append(f"{row['extent_m'] / 1000:g} km wide")
    facts += [str(row[name]) for name in ("city", "sensor", "polarisation") if row.get(name)]
    return Card(title=row["tile_id"], picture=data_uri(view), facts=facts, texts=dict(texts), note=note)


def _heading(row: Mapping[str, Any]) -> str:
    return f"{row['scene_name']}, {row['city'] or 'no named place near'}: from large to small"


def _counts(rows: list[dict[str, Any]]) -> Table:
    scenes = Counter((row["scene_name"], row["scale"]) for row in rows)
    names = sorted({name for name, _ in scenes})
    return Table(
        ("scene", *(f"{scale} tiles" for scale in SCALES)),
        [(name, *(scenes[name, scale] for scale in SCALES)) for name in names],
    )


def _families(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Choose of each scene the small tile of widest dynamic range, with most to see, and its ancestors."""
    by_id = {row["tile_id"]: row for row in rows}
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["scale"] == "S", _range_db(row)), reverse=True):
        best.setdefault(row["scene_name"], row)
    families = []
    for row in list(best.values())[:_FAMILIES]:
        family = [row]
        while (parent := by_id.get(family[0]["parent_id"])) is not None:
            family.insert(0, parent)
        families.append(family)
    return families


def _range_db(row: Mapping[str, Any]) -> float:
    return float((row["quality"] or {}).get("dynamic_range_db") or 0.0)


def views_of(workspace: Workspace, tile_ids: set[str]) -> dict[str, bytes]:
    """Return the PNG views of some tiles; those that are not among the tiles are left out."""
    wanted = pc.field("tile_id").isin(sorted(tile_ids))
    rows = workspace.read_table("tiles", columns=["tile_id", "view"], where=wanted).to_pylist()
    return {row["tile_id"]: row["view"] for row in rows}


def _texts(workspace: Workspace, tile_ids: set[str]) -> dict[str, dict[str, str]]:
    if not workspace.files("captions"):
        return {}
    wanted = pc.field("tile_id").isin(sorted(tile_ids)) & (pc.field("status") == "ok")
    rows = workspace.read_table("captions", columns=["tile_id", *SUBTEXTS], where=wanted).to_pylist()
    return {row["tile_id"]: {name: row[name] for name in SUBTEXTS if row[name]} for row in rows}
