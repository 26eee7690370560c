"""An area on the ground, as GeoJSON gives it: a polygon, or several."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

import shapely
import shapely.geometry
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Area", "Latitude", "Longitude"]

Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]

_MAX_POSITIONS = 10_000
_Ring = Annotated[list[tuple[Longitude, Latitude]], Field(min_length=4, max_length=_MAX_POSITIONS)]
_Rings = Annotated[list[_Ring], Field(min_length=1, max_length=100)]


class Area(BaseModel):
    """A GeoJSON Polygon or MultiPolygon in WGS84 degrees, longitude first (RFC 7946)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: Literal["Polygon", "MultiPolygon"]
    """``Polygon`` or ``MultiPolygon``."""
    coordinates: _Rings | Annotated[list[_Rings], Field(min_length=1, max_length=100)]
    """Rings of positions; the first of a polygon is its outline, the others are holes."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            outline = self.outline
        except (ValueError, TypeError, IndexError, shapely.GEOSException) as error:
            raise ValueError(f"is no {self.type}: its coordinates are nested otherwise, or a ring is open") from error
        if shapely.get_num_coordinates(outline) > _MAX_POSITIONS:
            raise ValueError(f"has more than {_MAX_POSITIONS:,} positions")
        if not outline.is_valid or not outline.area:
            raise ValueError(f"is not a valid area: {shapely.is_valid_reason(outline)}")
        return self

    @cached_property
    def outline(self) -> shapely.Geometry:
        """The area as a geometry."""
        return shapely.geometry.shape({"type": self.type, "coordinates": self.coordinates})
