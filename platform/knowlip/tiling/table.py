"""Cut tiles as rows of `knowlip.records.TILES` and `REJECTED`: footprint, places, scores, images."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from knowlip.geography import airports_within, footprint, nearest_place, ports_within, to_wgs84
from knowlip.records import IMAGE_COLUMNS, REJECTED, TILES, conform
from knowlip.scenes.reader import Scene, SceneReader
from knowlip.tiling.averaging import Part
from knowlip.tiling.cutting import CutTile, StoredParts, cut_strip, window_geometry
from knowlip.tiling.encoding import encode_png
from knowlip.tiling.geoparquet import bbox_of, with_geometry
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.ordering import spatial_order
from knowlip.tiling.regions import RegionSettings, excluded_tiles
from knowlip.tiling.screening import Rejection, ScreeningSettings, screen
from knowlip.tiling.strips import PlannedTile, Strip
from knowlip.tiling.survey import Radiometry
from knowlip.tiling.texture import Quality, measure_quality
from knowlip.tiling.tile import Tile

__all__ = ["StripTables", "tile_strip"]

_EVERYWHERE = RegionSettings()

VIEW_PX = 256
THUMBNAIL_PX = 64

_OUTLINE_POINTS = 5
"""Points a side of a footprint: an edge that is straight in the scene is curved in degrees."""


@dataclass
class StripTables:
    """What a strip became.

    Attributes:
        kept: Rows of `knowlip.records.TILES`.
        rejected: Rows of `knowlip.records.REJECTED`.
    """

    kept: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def tiles_table(self) -> pa.Table:
        """Return the kept tiles as GeoParquet."""
        rows = spatial_order(self.kept)
        described = pa.schema([field for field in TILES if field.name not in IMAGE_COLUMNS])
        table = pa.Table.from_pylist(rows, schema=described)
        for name in IMAGE_COLUMNS:
            table = table.append_column(name, _where_they_lie([row[name] for row in rows]))
        return with_geometry(conform(table, TILES, where="tiles"))

    def rejected_table(self) -> pa.Table:
        """Return the tiles that were set aside as GeoParquet."""
        return _rejected_table(self.rejected) if self.rejected else _none_rejected()


def _rejected_table(rejected: list[dict[str, Any]]) -> pa.Table:
    rows = spatial_order(rejected)
    return with_geometry(conform(pa.Table.from_pylist(rows, schema=REJECTED), REJECTED, where="tiles/_rejected"))


def _where_they_lie(images: list[bytes]) -> pa.ChunkedArray:
    """Return images as a column without copying them: they are nearly all that a strip weighs."""
    lengths = [pa.py_buffer(np.array([0, len(image)], dtype=np.int32)) for image in images]
    chunks = [
        pa.Array.from_buffers(pa.binary(), 1, [None, length, pa.py_buffer(image)])
        for length, image in zip(lengths, images, strict=True)
    ]
    return pa.chunked_array(chunks, pa.binary())


@cache
def _none_rejected() -> pa.Table:
    """Return the table of most strips, made once."""
    return _rejected_table([])


def tile_strip(
    reader: SceneReader,
    strip: Strip,
    radiometry: Radiometry,
    *,
    grid: GridSettings,
    screening: ScreeningSettings,
    regions: RegionSettings = _EVERYWHERE,
    parents_of_kept: Collection[str] = (),
    keep_part: Callable[[Part], None] | None = None,
    stored: StoredParts | None = None,
) -> StripTables:
    """Cut, measure, screen and describe the tiles of a strip.

    Small tiles are screened by their scores. A medium or large tile gives them context, so it is kept exactly when one
    of its children is: the chain of texts from large to small (eq. 1–3) is never broken, and open sea has no parents.
    One without is set aside unlooked at.

    Args:
        reader: The open scene.
        strip: Which tiles.
        radiometry: The scene's way to 8 bits, and its speckle.
        grid: The grid's settings.
        screening: Thresholds.
        regions: Which ground is worth reading.
        parents_of_kept: Tiles of this strip whose children, in other strips, were kept.
        keep_part: As for `cut_strip`.
        stored: As for `cut_strip`.
    """
    rows = _Rows(reader.scene, strip, radiometry, grid)
    tables = StripTables()
    if strip.stage == 0:
        unread = excluded_tiles(reader, strip, radiometry.transfer, regions)
    else:
        unread = _childless(strip, parents_of_kept)
    for planned in strip.tiles:
        if planned.tile_id in unread:
            tables.rejected.append(rows.unread(planned, unread[planned.tile_id]))
    strip = replace(strip, tiles=tuple(planned for planned in strip.tiles if planned.tile_id not in unread))
    if not strip.tiles:
        return tables
    for cut in cut_strip(reader, strip, radiometry.transfer, keep_part=keep_part, stored=stored):
        view = cut.tile.view(VIEW_PX)
        quality = measure_quality(cut.tile, view, radiometry.transfer, looks=radiometry.looks)
        rejection = None
        if strip.stage == 0:
            rejection = screen(quality, screening, corrupt_share=cut.corrupt_share, residual_m=cut.residual_m)
        if rejection is None:
            tables.kept.append(rows.kept(cut, view, quality))
        else:
            tables.rejected.append(rows.rejected(cut, view, quality, rejection))
    return tables


def _childless(strip: Strip, parents: Collection[str]) -> dict[str, Rejection]:
    """Return which larger tiles have no child that is kept."""
    needed = strip.with_ancestors(parents)
    nothing = Rejection("no_kept_child", 0.0, 1.0)
    return {planned.tile_id: nothing for planned in strip.tiles if planned.tile_id not in needed}


@dataclass(frozen=True)
class _Rows:
    """Makes the rows of a strip's tiles."""

    scene: Scene
    strip: Strip
    radiometry: Radiometry
    grid: GridSettings

    def kept(self, cut: CutTile, view: Tile, quality: Quality) -> dict[str, Any]:
        """Describe a tile that is kept."""
        image = encode_png(cut.tile.pixels)
        small = image if view is cut.tile else encode_png(view.pixels)
        return {**self._described(cut, quality), "image": image, "view": small}

    def rejected(self, cut: CutTile, view: Tile, quality: Quality, why: Rejection) -> dict[str, Any]:
        """Describe a tile that is set aside."""
        thumbnail = encode_png(view.view(THUMBNAIL_PX).pixels)
        return {**self._described(cut, quality), "thumbnail": thumbnail, **asdict(why)}

    def unread(self, planned: PlannedTile, why: Rejection) -> dict[str, Any]:
        """Describe a tile whose pixels nobody looked at."""
        window = planned.window
        affine, gsd_m, residual_m = window_geometry(self.scene, window)
        nothing = np.broadcast_to(np.uint8(0), (window.height // window.factor, window.width // window.factor))
        tile = Tile(nothing, affine, self.scene.georeference.crs, gsd_m)
        return {**self._described(CutTile(planned, tile, 0.0, residual_m), None), "thumbnail": None, **asdict(why)}

    def _described(self, cut: CutTile, quality: Quality | None) -> dict[str, Any]:
        planned, tile, scene = cut.planned, cut.tile, self.scene
        window = planned.window
        return {
            "tile_id": planned.tile_id,
            "scene_id": scene.scene_id,
            "scene_name": scene.name,
            "series": self.strip.band.series,
            "scale": window.scale,
            "parent_id": planned.parent_id,
            "row_off": window.row,
            "col_off": window.col,
            "height": window.height,
            "width": window.width,
            "extent_m": self.grid.extents_m()[window.scale],
            "gsd_m": tile.gsd_m,
            "crs": tile.crs,
            "affine": list(tile.affine)[:6],
            "georeference": scene.georeference.kind,
            "residual_m": cut.residual_m,
            "sensor": scene.sensor,
            "band": scene.radar_band,
            "polarisation": self.strip.band.polarisation,
            "time": scene.time,
            "transfer": self.radiometry.transfer.record(),
            "quality": quality.record() if quality else None,
            **(_place(scene, tile, window.centre) if scene.georeference.on_earth else _NOWHERE),
        }


_NOWHERE: dict[str, Any] = dict.fromkeys(
    ("geometry", "bbox", "lon", "lat", "city", "admin", "country", "airports", "ports")
)


def _place(scene: Scene, tile: Tile, centre: tuple[float, float]) -> dict[str, Any]:
    outline = footprint(*to_wgs84(tile.crs, *tile.outline(_OUTLINE_POINTS)))
    lon, lat = _lonlat(scene, centre)
    place = nearest_place(lon, lat)
    return {
        "geometry": shapely.to_wkb(outline),
        "bbox": bbox_of(outline),
        "lon": lon,
        "lat": lat,
        "city": place.city,
        "admin": place.admin,
        "country": place.country,
        "airports": airports_within(outline),
        "ports": ports_within(outline),
    }


def _lonlat(scene: Scene, centre: tuple[float, float]) -> tuple[float, float]:
    row, col = (np.array([value]) for value in centre)
    lon, lat = scene.georeference.lonlat(col, row)
    return _wrapped(lon), float(lat[0])


def _wrapped(lon: NDArray[np.float64]) -> float:
    return float((lon[0] + 180.0) % 360.0 - 180.0)
