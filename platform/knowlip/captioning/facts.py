"""What is known of a tile besides its pixels: where, when and by what it was seen, and what lies within."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

__all__ = ["COLUMNS", "COMPASS", "Spot", "TileFacts", "compass"]

COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
"""The eight winds, clockwise from north."""

COLUMNS = (
    "tile_id",
    "scene_id",
    "scene_name",
    "scale",
    "parent_id",
    "extent_m",
    "gsd_m",
    "affine",
    "lon",
    "lat",
    "sensor",
    "band",
    "polarisation",
    "time",
    "city",
    "admin",
    "country",
    "airports",
    "ports",
)
"""Columns of `knowlip.records.TILES` that make up the facts."""


@dataclass(frozen=True)
class Spot:
    """An airport or port that lies within a tile.

    Attributes:
        code: IATA/ICAO code of an airport, identifier of a port.
        name: Its name.
    """

    code: str
    name: str

    @property
    def label(self) -> str:
        """Name and code, as a sentence would give them."""
        return f"{self.name} ({self.code})" if self.code and self.code not in self.name else self.name


@dataclass(frozen=True)
class TileFacts:
    """The facts of one tile, read from its row.

    Attributes:
        tile_id: The tile.
        scene_id: The scene it was cut from.
        scale: ``L``, ``M`` or ``S``.
        parent_id: The tile of the next larger scale that contains this one's centre, or empty.
        extent_m: Ground extent of a side, metres.
        gsd_m: Ground sampling distance of the stored image, metres a pixel.
        lon: Centre, degrees east.
        lat: Centre, degrees north.
        up_deg: Compass bearing of the image's upward direction (0 for north-up), degrees.
        sensor: Satellite, or empty.
        band: Radar band letter(s), or empty.
        polarisation: Polarisation, or empty.
        time: Acquisition start, if known.
        city: Nearest named place, or empty.
        admin: First-level administrative area, or empty.
        country: ISO 3166-1 alpha-2 code, or empty.
        airports: Airports within.
        ports: Sea ports within.
    """

    tile_id: str
    scene_id: str = ""
    scale: str = "S"
    parent_id: str = ""
    extent_m: float = 0.0
    gsd_m: float = 1.0
    lon: float = math.nan
    lat: float = math.nan
    up_deg: float = 0.0
    sensor: str = ""
    band: str = ""
    polarisation: str = ""
    time: datetime | None = None
    city: str = ""
    admin: str = ""
    country: str = ""
    airports: tuple[Spot, ...] = field(default=())
    ports: tuple[Spot, ...] = field(default=())

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> TileFacts:
        """Read the facts from a row of `tiles/` (columns `COLUMNS`); absent values become empty."""
        words = {
            name: row.get(name) or ""
            for name in ("scene_id", "scale", "parent_id", "sensor", "band", "polarisation", "city", "admin", "country")
        }
        return cls(
            tile_id=row["tile_id"],
            extent_m=float(row.get("extent_m") or 0.0),
            gsd_m=float(row.get("gsd_m") or 1.0),
            lon=_number(row.get("lon")),
            lat=_number(row.get("lat")),
            up_deg=_up_bearing(row.get("affine")),
            time=row.get("time"),
            airports=_spots(row.get("airports")),
            ports=_spots(row.get("ports")),
            **words,
        )

    @property
    def place(self) -> str:
        """City, administrative area and country, as far as known."""
        return ", ".join(part for part in (self.city, self.admin, self.country) if part)

    @property
    def located(self) -> bool:
        """Whether the tile's place on Earth is known."""
        return math.isfinite(self.lon) and math.isfinite(self.lat)

    @property
    def coordinates(self) -> str:
        """Centre as ``33.82° N, 118.15° W``; empty when unknown."""
        if not self.located:
            return ""
        north = f"{abs(self.lat):.2f}° {'N' if self.lat >= 0 else 'S'}"
        east = f"{abs(self.lon):.2f}° {'E' if self.lon >= 0 else 'W'}"
        return f"{north}, {east}"


def compass(bearing_deg: float) -> str:
    """Name the wind nearest to a bearing (degrees clockwise from north)."""
    return COMPASS[round((bearing_deg % 360.0) / 45.0) % 8]


def _number(value: object) -> float:
    return math.nan if value is None else float(str(value))


def _spots(entries: Sequence[Mapping[str, Any]] | None) -> tuple[Spot, ...]:
    return tuple(Spot(code=entry.get("code") or "", name=entry.get("name") or "") for entry in entries or ())


def _up_bearing(affine: Sequence[float] | None) -> float:
    """Bearing of the image's upward direction by the axes of its CRS: grid north stands for north."""
    if affine is None or len(affine) != 6 or not np.isfinite(affine).all():
        return 0.0
    _, b, _, _, e, _ = affine
    # Towards the row above: minus one row, so (-b, -e) in CRS coordinates.
    return math.degrees(math.atan2(-b, -e)) if b or e else 0.0
