"""Tiles as GeoJSON features, with links to what more there is of them."""

from __future__ import annotations

from typing import Any

import shapely
import shapely.geometry
from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from knowlip.archive import Entry
from knowlip.geography import nearest_place
from serve_apps.schemas import Feature, Link, Place

__all__ = ["GEOJSON", "GeoJSON", "feature", "place_of"]

GEOJSON = "application/geo+json"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


class GeoJSON(JSONResponse):
    """A response whose body is GeoJSON; as a JSON response, the OpenAPI document gives it the schema of its model."""

    media_type = GEOJSON

    def render(self, content: BaseModel) -> bytes:
        """Return the body."""
        return content.model_dump_json().encode()


def feature(entry: Entry, request: Request, **scores: float) -> Feature:
    """Return a tile as a feature.

    Args:
        entry: The tile.
        request: What is answered; links lead back the same way.
        scores: Further properties.
    """
    made = entry.feature()
    made["properties"] |= {name: round(value, 6) for name, value in scores.items()}
    return Feature(**made, links=_links(entry, request.scope.get("root_path", "")))


def place_of(outline: shapely.Geometry | None) -> Place | None:
    """Return where a georeferenced image lies, by coordinates and by name."""
    if outline is None:
        return None
    middle = shapely.centroid(outline)
    named: dict[str, Any] = vars(nearest_place(middle.x, middle.y))
    return Place(bbox=list(shapely.bounds(outline)), geometry=shapely.geometry.mapping(outline), **named)


def _links(entry: Entry, root: str) -> list[Link]:
    here = f"{root}/v1/tiles/{entry.tile_id}"
    links = [
        Link(rel="self", href=here, type=GEOJSON),
        Link(rel="image", href=f"{here}.png", type="image/png"),
        Link(rel="thumbnail", href=f"{here}.png?size=view", type="image/png"),
        Link(rel="data", href=f"{here}.tif", type=COG),
        Link(rel="related", href=f"{here}/family", type="application/json"),
    ]
    parent = entry.facts["parent_id"]
    return [*links, Link(rel="parent", href=f"{root}/v1/tiles/{parent}", type=GEOJSON)] if parent else links
