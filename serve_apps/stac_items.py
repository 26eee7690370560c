"""A tile as a STAC item, and the archive as a STAC collection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import shapely
import shapely.geometry
from stac_pydantic.version import STAC_VERSION

from knowlip.archive import Entry, Holdings
from serve_apps.features import COG

__all__ = ["COLLECTION", "collection", "item"]

COLLECTION = "tiles"
_SAR = "https://stac-extensions.github.io/sar/v1.1.0/schema.json"
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def item(entry: Entry, base: str, *, score: float | None = None) -> dict[str, Any]:
    """Return a tile as an item.

    STAC asks for a time: a tile without one gets 1970, marked ``knowlip:time_unknown``.

    Args:
        entry: The tile.
        base: Address of the STAC API, with a slash at its end.
        score: Cosine similarity to the words that found it.
    """
    tiles = f"{base.removesuffix('stac/')}v1/tiles/{entry.tile_id}"
    of = f"{base}collections/{COLLECTION}"
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [_SAR] if entry.facts["band"] else [],
        "id": entry.tile_id,
        "collection": COLLECTION,
        "bbox": list(entry.bounds),
        "geometry": shapely.geometry.mapping(shapely.from_wkb(entry.footprint)),
        "properties": _properties(entry) | ({} if score is None else {"knowlip:score": round(score, 6)}),
        "assets": {
            "data": {"href": f"{tiles}.tif", "type": COG, "title": "8-bit amplitude", "roles": ["data"]},
            "image": {"href": f"{tiles}.png", "type": "image/png", "title": "Picture", "roles": ["overview"]},
            "thumbnail": {"href": f"{tiles}.png?size=view", "type": "image/png", "roles": ["thumbnail"]},
        },
        "links": [
            {"rel": "self", "type": "application/geo+json", "href": f"{of}/items/{entry.tile_id}"},
            {"rel": "collection", "type": "application/json", "href": of},
            {"rel": "parent", "type": "application/json", "href": of},
            {"rel": "root", "type": "application/json", "href": base},
        ],
    }


def collection(holdings: Holdings, base: str) -> dict[str, Any]:
    """Return the archive as a collection.

    Args:
        holdings: What it holds.
        base: Address of the STAC API, with a slash at its end.
    """
    here = f"{base}collections/{COLLECTION}"
    times = [moment.isoformat() if moment else None for moment in (holdings.time_from, holdings.time_to)]
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": COLLECTION,
        "title": "SAR tiles",
        "description": "Tiles of SAR scenes at three scales of ground, described in words.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [list(holdings.bbox or (-180.0, -90.0, 180.0, 90.0))]},
            "temporal": {"interval": [times]},
        },
        "summaries": {
            "platform": [name.lower() for name in holdings.sensors],
            "sar:polarizations": list(holdings.polarisations),
            "knowlip:scale": list(holdings.scales),
        },
        "links": [
            {"rel": "self", "type": "application/json", "href": here},
            {"rel": "items", "type": "application/geo+json", "href": f"{here}/items"},
            {"rel": "parent", "type": "application/json", "href": base},
            {"rel": "root", "type": "application/json", "href": base},
        ],
    }


def _properties(entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    moment = (facts["time"] or _UNKNOWN_TIME).astimezone(UTC)
    properties: dict[str, Any] = {
        "datetime": moment.isoformat().replace("+00:00", "Z"),
        "description": entry.text or None,
        "gsd": facts["gsd_m"],
        "platform": facts["sensor"].lower() if facts["sensor"] else None,
        "knowlip:scale": facts["scale"],
        "knowlip:parent": facts["parent_id"],
        "knowlip:scene": facts["scene_name"],
        "knowlip:place": ", ".join(facts[name] for name in ("city", "admin", "country") if facts[name]) or None,
        "knowlip:texts": entry.texts or None,
        "knowlip:time_unknown": True if facts["time"] is None else None,
    }
    if facts["band"]:
        properties |= {
            "sar:frequency_band": facts["band"],
            "sar:product_type": "tile",
            "sar:instrument_mode": "unknown",
            "sar:polarizations": [facts["polarisation"]] if facts["polarisation"] else [],
        }
    return {name: value for name, value in properties.items() if value is not None}
