"""Tiles as a STAC 1.1 item collection with the ``sar`` and ``projection`` extensions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pystac
import shapely
from pyproj import CRS

from knowlip.tiling.geoparquet import bbox_of

__all__ = ["item_collection", "stac_item"]

_SAR = "https://stac-extensions.github.io/sar/v1.1.0/schema.json"
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def stac_item(row: Mapping[str, Any], href: str) -> pystac.Item:
    """Return a tile as an item.

    STAC asks for a time: a tile of a scene without one gets a range without beginning, marked ``knowlip:time_unknown``.

    Args:
        row: Of `knowlip.records.TILES`, with a footprint.
        href: Where its COG lies, relative to the collection.
    """
    outline = shapely.from_wkb(row["geometry"])
    bounds = bbox_of(outline)
    item = pystac.Item(
        id=row["tile_id"],
        geometry=json.loads(shapely.to_geojson(outline)),
        bbox=[bounds[edge] for edge in ("xmin", "ymin", "xmax", "ymax")],
        datetime=row["time"] or _UNKNOWN_TIME,
        properties=_properties(row),
        stac_extensions=[_PROJECTION, *([_SAR] if row["band"] else [])],
    )
    media = pystac.MediaType.COG
    item.add_asset("image", pystac.Asset(href, title="8-bit amplitude", media_type=media, roles=["data"]))
    return item


def item_collection(items: Iterable[pystac.Item]) -> dict[str, Any]:
    """Return items as a GeoJSON FeatureCollection that pystac and QGIS open."""
    return pystac.ItemCollection(items, clone_items=False).to_dict()


def _properties(row: Mapping[str, Any]) -> dict[str, Any]:
    code = CRS.from_user_input(row["crs"]).to_authority()
    projected = {"proj:code": ":".join(code)} if code else {"proj:code": None, "proj:wkt2": row["crs"]}
    properties: dict[str, Any] = {
        **projected,
        "proj:transform": list(row["affine"]),
        "gsd": row["gsd_m"],
        "knowlip:scale": row["scale"],
        "knowlip:parent": row["parent_id"],
        "knowlip:scene": row["scene_name"],
        "knowlip:transfer": row["transfer"],
        "knowlip:place": ", ".join(row[name] for name in ("city", "admin", "country") if row[name]),
    }
    if row["sensor"]:
        properties["platform"] = row["sensor"].lower()
    if row["time"] is None:
        properties["knowlip:time_unknown"] = True
    if row["band"]:
        properties |= {"sar:frequency_band": row["band"], "sar:product_type": "tile"}
        properties["sar:instrument_mode"] = "unknown"
        properties["sar:polarizations"] = [row["polarisation"]] if row["polarisation"] else []
    return {name: value for name, value in properties.items() if value is not None or name == "proj:code"}
