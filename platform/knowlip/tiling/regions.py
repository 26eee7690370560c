"""Which parts of a scene are read at full resolution at all (section 3.1, step 1).

A region of interest is given as GeoJSON. Regions of low structure are told from the scene's overviews: how much their
amplitudes vary once averaged, and how many strong scatterers stand out; a tile near an airport or a sea port is
always read. This screening is off by default. It saves decoding where much of a scene is open sea and the file carries
overviews, but an overview has averaged small ships away, and the screening of the tiles themselves loses none of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field
from rasterio.windows import Window as RasterWindow

from knowlip.errors import SettingsError
from knowlip.geography import places_near
from knowlip.scenes.radiometry import Transfer
from knowlip.scenes.reader import SceneReader
from knowlip.settings import Section
from knowlip.tiling.screening import Rejection
from knowlip.tiling.strips import PlannedTile, Strip

__all__ = ["RegionSettings", "excluded_tiles", "read_region"]

_SAMPLES_A_TILE = 32
"""Overview pixels a side of a small tile: 32 m of 1024 m, as texture is measured."""

_BRIGHT = 2.0
"""A scatterer is strong this far above the median amplitude (6 dB)."""


class RegionSettings(Section):
    """Which ground is worth reading."""

    geojson: str = ""
    """A GeoJSON file of the areas of interest (WGS84), on a path that every node has; tiles whose centre lies outside
    are not cut."""

    low_structure: Literal["keep", "exclude"] = "keep"
    """`exclude` leaves out, unread, what the scene's overviews show to be without structure."""

    variation_min: float = Field(default=0.1, ge=0)
    """Smallest variation (standard deviation over mean) of a tile's overview: below, it may lack structure …"""

    bright_share_min: float = Field(default=0.001, ge=0, le=1)
    """… if fewer of the overview's pixels than this share are strong scatterers …"""

    near_m: float = Field(default=5000.0, ge=0)
    """… and no airport or sea port lies within this distance."""


def excluded_tiles(
    reader: SceneReader, strip: Strip, transfer: Transfer, settings: RegionSettings
) -> dict[str, Rejection]:
    """Return which small tiles of a strip are not worth reading, and why.

    Args:
        reader: The open scene.
        strip: Which tiles.
        transfer: The scene's way to 8 bits.
        settings: What is worth reading.

    Raises:
        SettingsError: The GeoJSON cannot be used.
    """
    excluded: dict[str, Rejection] = {}
    if settings.geojson:
        inside = _inside(reader, strip.tiles, read_region(settings.geojson))
        outside = [tile for tile, within in zip(strip.tiles, inside, strict=True) if not within]
        excluded |= {tile.tile_id: Rejection("outside_region", 0.0, 1.0) for tile in outside}
    if settings.low_structure == "exclude":
        left = [tile for tile in strip.tiles if tile.tile_id not in excluded]
        excluded |= _without_structure(reader, strip, left, transfer, settings)
    return excluded


@lru_cache(maxsize=4)
def read_region(path: str) -> shapely.Geometry:
    """Return the union of the areas of a GeoJSON file, degrees.

    Raises:
        SettingsError: It cannot be read, is no GeoJSON, or holds no area.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        whole = shapely.union_all(shapely.get_parts(shapely.from_geojson(json.dumps(document))))
    except (OSError, ValueError, RecursionError, shapely.errors.GEOSException) as error:
        raise SettingsError(f"cannot be used ({error})", where=path, fix="give a GeoJSON file of polygons") from error
    if whole.is_empty or not whole.area:
        raise SettingsError("holds no area", where=path, fix="give a GeoJSON file of polygons")
    return whole


def _inside(reader: SceneReader, tiles: Sequence[PlannedTile], area: shapely.Geometry) -> NDArray[np.bool_]:
    georeference = reader.scene.georeference
    if not georeference.on_earth:
        return np.zeros(len(tiles), dtype=bool)
    lon, lat = _centres(reader, tiles)
    return np.asarray(shapely.contains_xy(area, (lon + 180.0) % 360.0 - 180.0, lat))


def _centres(reader: SceneReader, tiles: Sequence[PlannedTile]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = np.array([tile.window.centre for tile in tiles], dtype=np.float64).T
    return reader.scene.georeference.lonlat(cols, rows)


def _without_structure(
    reader: SceneReader, strip: Strip, tiles: Sequence[PlannedTile], transfer: Transfer, settings: RegionSettings
) -> dict[str, Rejection]:
    # Without overviews every block would be decoded for this, and once more for the tiles.
    if not tiles or strip.band.sources or not reader.source.overviews(strip.band.index):
        return {}
    first, last = max(strip.rows[0], 0), min(strip.rows[1], reader.scene.height)
    step = max(1, min(tile.window.width for tile in tiles) // _SAMPLES_A_TILE)
    shape = (max(1, (last - first) // step), max(1, reader.scene.width // step))
    window = RasterWindow(0, first, reader.scene.width, last - first)
    pixels = transfer.to_8bit(reader.source.read(strip.band.index, window=window, out_shape=shape))
    lon, lat = _centres(reader, tiles)
    found = {}
    for tile, east, north in zip(tiles, lon, lat, strict=True):
        place = tile.window
        part = pixels[
            (place.row - first) // step : (place.row - first + place.height) // step,
            place.col // step : (place.col + place.width) // step,
        ]
        variation, bright_share = _structure(part, transfer.decibels)
        if variation >= settings.variation_min or bright_share >= settings.bright_share_min:
            continue
        if reader.scene.georeference.on_earth and any(places_near(east, north, settings.near_m).values()):
            continue
        found[tile.tile_id] = Rejection("low_structure_region", variation, settings.variation_min)
    return found


def _structure(part: NDArray[np.uint8], decibels: NDArray[np.float32]) -> tuple[float, float]:
    """Return how much an overview varies, and its share of strong scatterers; both infinite where it holds no data."""
    valid = 10.0 ** (decibels[part[part > 0]].astype(np.float64) / 20.0)
    if valid.size < part.size // 2 or not valid.size:
        return float("inf"), float("inf")
    return float(valid.std() / valid.mean()), float((valid > _BRIGHT * np.median(valid)).mean())
