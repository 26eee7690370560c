"""Tiles as GeoJSON features, with links to what more there is of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely
import shapely.geometry
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic_core import from_json, to_json

from knowlip.archive import Entry
from knowlip.geography import nearest_place
from serve_apps.schemas import Place

__all__ = ["GEOJSON", "GeoJSON", "PlainJSON", "features", "place_of"]

GEOJSON = "application/geo+json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


class PlainJSON(JSONResponse):
    """A response whose body is made of plain values; the OpenAPI document gives it the schema of its route's model.

    Every answer passes the gateway's one loop, which need not build and check a model of what is right already.
    """

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content, inf_nan_mode="null")


class GeoJSON(PlainJSON):
    """A response whose body is GeoJSON."""

    media_type = GEOJSON


def features(
    entries: Sequence[Entry], request: Request, scores: Sequence[Mapping[str, float]] | None = None
) -> list[dict[str, Any]]:
    """Return tiles as features: the plain values of `serve_apps.schemas.Feature`.

    Args:
        entries: The tiles.
        request: What is answered; links lead back the same way.
        scores: Further properties of each.
    """
    root = request.scope.get("root_path", "")
    geometries = map(from_json, shapely.to_geojson(shapely.from_wkb([entry.footprint for entry in entries])))
    made = [entry.feature(geometry) for entry, geometry in zip(entries, geometries, strict=True)]
    for one, entry, figures in zip(made, entries, scores or [{}] * len(made), strict=True):
        one["properties"] |= {name: round(value, 6) for name, value in figures.items()}
        one["links"] = _links(entry, root)
    return made


def place_of(outline: shapely.Geometry | None) -> Place | None:
    """Return where a georeferenced image lies, by coordinates and by name."""
    if outline is None:
        return None
    middle = shapely.centroid(outline)
    named: dict[str, Any] = vars(nearest_place(middle.x, middle.y))
    return Place(bbox=list(shapely.bounds(outline)), geometry=shapely.geometry.mapping(outline), **named)


def _links(entry: Entry, root: str) -> list[dict[str, str]]:
    here = f"{root}/v1/tiles/{entry.tile_id}"
    links = [
        {"rel": "self", "href": here, "type": GEOJSON},
        {"rel": "image", "href": f"{here}.png", "type": "image/png"},
        {"rel": "thumbnail", "href": f"{here}.png?size=view", "type": "image/png"},
        {"rel": "data", "href": f"{here}.tif", "type": COG},
        {"rel": "related", "href": f"{here}/family", "type": "application/json"},
    ]
    parent = entry.facts["parent_id"]
    return [*links, {"rel": "parent", "href": f"{root}/v1/tiles/{parent}", "type": GEOJSON}] if parent else links
