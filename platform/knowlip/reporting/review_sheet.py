"""A sheet on which experts judge texts: one HTML file with pictures, maps and keys, which saves what they say."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import shapely
from markupsafe import Markup
from PIL import Image

from knowlip.coastlines import layer
from knowlip.records import SUBTEXTS
from knowlip.reporting.pictures import data_uri

__all__ = ["review_page"]

_HALF_DEG = 0.6
_CELL_DEG = 0.25
_QUALITY = 82
_WINDOW = ("row_off", "col_off", "height", "width")


def review_page(
    sheet_id: str,
    tiles: Sequence[Mapping[str, Any]],
    texts: Mapping[str, Mapping[str, str]],
    parents: Mapping[str, Mapping[str, Any]],
    *,
    picture_px: int,
) -> str:
    """Return the sheet: one tile at a time, its eight texts to be called correct, wrong or unsure.

    What the fact check says is not shown: it would lead the reviewer.

    Args:
        sheet_id: Name of the sheet; judgements carry it.
        tiles: Rows of `tiles/` in the order in which they are shown, with ``image``.
        texts: Sub-texts of each tile.
        parents: Rows of `tiles/` of their parents, with ``view``.
        picture_px: Most pixels a side of a picture.
    """
    maps: dict[str, dict[str, Any]] = {}
    sites = _sites([*tiles, *parents.values()])
    shown = [
        _tile(row, texts[row["tile_id"]], picture_px)
        | _placed(row, maps, sites)
        | _within(row, parents.get(row["parent_id"] or ""))
        for row in tiles
    ]
    around = {tile_id: _webp(row["view"], picture_px) for tile_id, row in parents.items()}
    sheet = {"id": sheet_id, "kinds": list(SUBTEXTS), "tiles": shown, "maps": maps, "parents": around}
    environment = jinja2.Environment(loader=jinja2.PackageLoader("knowlip.reporting", "."), autoescape=True)
    data = json.dumps(sheet, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    # Within a script element only "</" could end it, and no "<" is left.
    return environment.get_template("review_sheet.html").render(
        sheet={"total": len(shown)},
        data=Markup(data),  # noqa: S704
    )


def _tile(row: Mapping[str, Any], texts: Mapping[str, str], picture_px: int) -> dict[str, Any]:
    facts = [row["tile_id"], f"scale {row['scale']}", f"{row['gsd_m']:.3g} m a pixel"]
    facts += [str(row[name]) for name in ("sensor", "band", "polarisation", "city", "admin", "country") if row[name]]
    if row["lon"] is not None:
        facts.append(f"{row['lat']:.4f}, {row['lon']:.4f}")
    return {
        "id": row["tile_id"],
        "picture": _webp(row["image"], picture_px),
        "facts": facts,
        "texts": dict(texts),
    }


def _placed(
    row: Mapping[str, Any], maps: dict[str, dict[str, Any]], sites: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Return the tile's outline and the name of its map; both empty where its place is not known."""
    if row["geometry"] is None or row["lon"] is None:
        return {"map": "", "outline": []}
    outline = shapely.get_exterior_ring(shapely.get_geometry(shapely.from_wkb(row["geometry"]), 0))
    return {
        "map": _mapped(row["lon"], row["lat"], maps, sites),
        "outline": shapely.get_coordinates(outline).round(6).tolist(),
    }


def _within(row: Mapping[str, Any], parent: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parent and the tile's window in it: left, top, width and height in per cent of the parent's."""
    if parent is None or not all(one[name] is not None for one in (row, parent) for name in _WINDOW):
        return {"parent": "", "window": []}
    across, down = 100.0 / parent["width"], 100.0 / parent["height"]
    left, top = (row["col_off"] - parent["col_off"]) * across, (row["row_off"] - parent["row_off"]) * down
    window = (left, top, row["width"] * across, row["height"] * down)
    return {"parent": parent["tile_id"], "window": [round(edge, 2) for edge in window]}


def _mapped(lon: float, lat: float, maps: dict[str, dict[str, Any]], sites: Mapping[str, tuple[float, float]]) -> str:
    """Name the map of a place, which near tiles share; it is drawn when it is first asked for."""
    right, up = round(lon / _CELL_DEG) * _CELL_DEG, round(lat / _CELL_DEG) * _CELL_DEG
    name = f"{right:g},{up:g}"
    if name not in maps:
        wide = _HALF_DEG / max(math.cos(math.radians(up)), 0.1)
        box = (right - wide, up - _HALF_DEG, right + wide, up + _HALF_DEG)
        land = [ring for feature in layer("land", box)["features"] for ring in _rings(feature["geometry"])]
        within = [
            (code, *place)
            for code, place in sorted(sites.items())
            if box[0] < place[0] < box[2] and box[1] < place[1] < box[3]
        ]
        note = f"{2 * _HALF_DEG * 111:.0f} km a side"
        maps[name] = {"box": box, "land": land, "sites": within, "note": note}
    return name


def _rings(geometry: Mapping[str, Any]) -> list[Any]:
    if geometry["type"] == "GeometryCollection":
        return [ring for part in geometry["geometries"] for ring in _rings(part)]
    if geometry["type"] == "Polygon":
        return list(geometry["coordinates"])
    if geometry["type"] == "MultiPolygon":
        return [ring for polygon in geometry["coordinates"] for ring in polygon]
    return []  # clipping may leave a line or a point on the edge


def _sites(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    spots = (spot for row in rows for kind in ("airports", "ports") for spot in row[kind] or ())
    return {spot["code"] or spot["name"]: (spot["lon"], spot["lat"]) for spot in spots}


def _webp(png: bytes, side_px: int) -> str:
    """Return a picture of at most so many pixels a side as a ``data:`` URI: a tenth of the size of a PNG."""
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("L")
        image.thumbnail((side_px, side_px), Image.Resampling.BOX)
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=_QUALITY)
    return data_uri(stream.getvalue(), "webp")
