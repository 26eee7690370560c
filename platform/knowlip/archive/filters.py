"""What a search may ask for besides its words: a place, a scale, a sensor, a resolution, a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

import shapely
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from knowlip.archive.area import Area, Latitude, Longitude
from knowlip.archive.cells import Bounds, Runs, is_wide, runs_touching, zones_touching
from knowlip.archive.entry import Entry

__all__ = ["Filters", "Name", "TileId", "quoted"]

TileId = Annotated[str, Field(pattern=r"^[\w.:-]{1,128}$")]
Metres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w .+/-]+$")]
_Box = tuple[Longitude, Latitude, Longitude, Latitude]


class Filters(BaseModel):
    """Conditions that all hold for every tile found; what is not given is not asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    bbox: _Box | None = None
    """West, south, east, north in degrees (WGS84); tiles whose bounds touch it."""
    polygon: Area | None = None
    """GeoJSON Polygon or MultiPolygon; tiles whose footprint touches it."""
    tile_ids: tuple[TileId, ...] = Field(default=(), max_length=1000)
    """Any of these tiles."""
    scales: tuple[Literal["L", "M", "S"], ...] = Field(default=(), max_length=3)
    """Any of these scales."""
    sensors: tuple[Name, ...] = Field(default=(), max_length=32)
    """Any of these satellites."""
    polarisations: tuple[Literal["HH", "HV", "VH", "VV"], ...] = Field(default=(), max_length=4)
    """Any of these polarisations."""
    gsd_min_m: Metres | None = None
    """Smallest ground sampling distance, metres a pixel."""
    gsd_max_m: Metres | None = None
    """Largest ground sampling distance, metres a pixel."""
    time_from: AwareDatetime | None = None
    """Acquired at this time or later."""
    time_to: AwareDatetime | None = None
    """Acquired at this time or earlier."""

    @field_validator("bbox")
    @classmethod
    def _upright(cls, bbox: _Box | None) -> _Box | None:
        if bbox is not None and (bbox[0] > bbox[2] or bbox[1] > bbox[3]):
            raise ValueError("is inverted: give west, south, east, north (a box over the antimeridian is asked as two)")
        return bbox

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.gsd_min_m is not None and self.gsd_max_m is not None and self.gsd_min_m > self.gsd_max_m:
            raise ValueError("gsd_min_m is larger than gsd_max_m")
        if self.time_from is not None and self.time_to is not None and self.time_from > self.time_to:
            raise ValueError("time_from is later than time_to")
        return self

    def where(self) -> str | None:
        """Return the conditions as SQL for LanceDB, or nothing when there are none; of a polygon, its bounds."""
        return " AND ".join((*map(_touching, self._boxes()), *self._conditions())) or None

    def loosely(self) -> str | None:
        """Return SQL that an index answers faster than `where` and that lets more through, which `hold` tells.

        There is some for boxes: to look at the edges of all that their cells hold takes longer than the search.
        """
        boxes = self._boxes()
        places = [_near(box) for box in boxes]
        if not any(places):
            return None
        found = (place or _touching(box) for place, box in zip(places, boxes, strict=True))
        return " AND ".join((*found, *self._conditions()))

    @property
    def is_wide(self) -> bool:
        """Whether a box or polygon is as large as a continent: it hardly leaves few tiles, and counting takes long."""
        return any(map(is_wide, self._boxes()))

    def hold(self, entries: Sequence[Entry]) -> list[bool]:
        """Say of each entry that `where` or `loosely` let through whether box and polygon hold for it exactly."""
        boxes, within = self._boxes(), self.within([entry.footprint for entry in entries])
        return [
            inside and all(_touches(entry.bounds, box) for box in boxes)
            for entry, inside in zip(entries, within, strict=True)
        ]

    def within(self, footprints: Sequence[bytes]) -> list[bool]:
        """Say of each footprint (WKB) whether it touches the polygon, of which `where` knows the bounds alone."""
        if self.polygon is None:
            return [True] * len(footprints)
        found: list[bool] = shapely.intersects(shapely.from_wkb(list(footprints)), self.polygon.outline).tolist()
        return found

    def _boxes(self) -> list[Bounds]:
        boxes: list[Bounds] = [self.bbox] if self.bbox else []
        if self.polygon is not None:
            west, south, east, north = (float(edge) for edge in shapely.bounds(self.polygon.outline))
            boxes.append((west, south, east, north))
        return boxes

    def _conditions(self) -> Iterable[str]:
        for column, allowed in (
            ("tile_id", self.tile_ids),
            ("scale", self.scales),
            ("sensor", self.sensors),
            ("polarisation", self.polarisations),
        ):
            if allowed:
                yield f"{column} IN ({', '.join(quoted(value) for value in allowed)})"
        for column, sign, bound in (("gsd_m", ">=", self.gsd_min_m), ("gsd_m", "<=", self.gsd_max_m)):
            if bound is not None:
                yield f"{column} {sign} {bound!r}"
        for sign, moment in ((">=", self.time_from), ("<=", self.time_to)):
            if moment is not None:
                yield f"time {sign} {_moment(moment)}"


def _touching(box: Bounds) -> str:
    """Return SQL for what touches a box: its cell is one of a few, and then the edges decide."""
    west, south, east, north = box
    across = f"xmin <= {east!r} AND xmax >= {west!r}"
    over_antimeridian = f"xmin > xmax AND (xmin <= {east!r} OR xmax >= {west!r})"
    edges = f"(({across}) OR ({over_antimeridian})) AND ymin <= {north!r} AND ymax >= {south!r}"
    cells = None if is_wide(box) else _near(box)
    return f"{cells} AND {edges}" if cells else edges


def _near(box: Bounds) -> str | None:
    """Return SQL for what lies in the zones or the cells that a box touches; nothing where these help little."""
    if is_wide(box):
        return f"zone IN ({', '.join(map(quoted, zones_touching(box)))})"
    cells = runs_touching(box)
    return _in_cells(cells) if cells else None


def _touches(bounds: Bounds, box: Bounds) -> bool:
    """Say what the edges of `_touching` say."""
    eastern, western = bounds[0] <= box[2], bounds[2] >= box[0]
    across = (eastern or western) if bounds[0] > bounds[2] else (eastern and western)
    return across and bounds[1] <= box[3] and bounds[3] >= box[1]


def _in_cells(cells: Runs) -> str:
    runs = [f"(cell >= '{first}' AND cell < '{after}')" for first, after in cells.runs]
    above = f"cell IN ({', '.join(map(quoted, cells.above))})" if cells.above else None
    return f"({' OR '.join([*runs, above] if above else runs)})"


def quoted(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def _moment(value: datetime) -> str:
    text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    return f"arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
