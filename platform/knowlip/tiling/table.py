"""Cut tiles as rows of `knowlip.records.TILES` and `REJECTED`: footprint, places, scores, images."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from affine import Affine
from numpy.typing import NDArray

from knowlip.geography import airports_within, footprint, nearest_place, ports_within, to_wgs84
from knowlip.records import REJECTED, TILES, conform
from knowlip.scenes.reader import Scene, SceneReader
from knowlip.tiling.cutting import CutTile, cut_strip
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
        return with_geometry(conform(pa.Table.from_pylist(rows, schema=TILES), TILES, where="tiles"))

    def rejected_table(self) -> pa.Table:
        """Return the tiles that were set aside as GeoParquet."""
        rows = spatial_order(self.rejected)
        return with_geometry(conform(pa.Table.from_pylist(rows, schema=REJECTED), REJECTED, where="tiles/_rejected"))


@dataclass(frozen=True)
class _Judged:
    cut: CutTile
    view: Tile
    quality: Quality
    rejection: Rejection | None


def tile_strip(
    reader: SceneReader,
    strip: Strip,
    radiometry: Radiometry,
    *,
    grid: GridSettings,
    screening: ScreeningSettings,
    regions: RegionSettings = _EVERYWHERE,
    parents_of_kept: Collection[str] = (),
) -> StripTables:
    """Cut, measure, screen and describe the tiles of a strip.

    Small tiles are screened by their scores. A medium or large tile gives them context, so it is kept exactly when one
    of its children is: the chain of texts from large to small (eq. 1–3) is never broken, and open sea has no parents.

    Args:
        reader: The open scene.
        strip: Which tiles.
        radiometry: The scene's way to 8 bits, and its speckle.
        grid: The grid's settings.
        screening: Thresholds.
        regions: Which ground is worth reading.
        parents_of_kept: Tiles of this strip whose children, in other strips, were kept.
    """
    tables = StripTables()
    excluded = excluded_tiles(reader, strip, radiometry.transfer, regions)
    for planned in strip.tiles:
        if planned.tile_id in excluded:
            why = excluded[planned.tile_id]
            tables.rejected.append(_unread_row(planned, why, reader.scene, strip, radiometry, grid))
    strip = replace(strip, tiles=tuple(planned for planned in strip.tiles if planned.tile_id not in excluded))
    if not strip.tiles:
        return tables
    needed = set(parents_of_kept)
    parents: list[_Judged] = []
    for judged in _judged(reader, strip, radiometry, screening):
        if judged.cut.planned.window.scale == "S":
            _sort_in(tables, judged, reader.scene, strip, radiometry, grid)
            if judged.rejection is None and judged.cut.planned.parent_id:
                needed.add(judged.cut.planned.parent_id)
        else:
            parents.append(judged)
    # Medium tiles come with their children; the children of large ones lie in other strips.
    for judged in parents:
        childless = None if judged.cut.planned.tile_id in needed else Rejection("no_kept_child", 0.0, 1.0)
        final = _Judged(judged.cut, judged.view, judged.quality, childless)
        _sort_in(tables, final, reader.scene, strip, radiometry, grid)
    return tables


def _judged(
    reader: SceneReader, strip: Strip, radiometry: Radiometry, screening: ScreeningSettings
) -> Iterator[_Judged]:
    for cut in cut_strip(reader, strip, radiometry.transfer):
        view = cut.tile.view(VIEW_PX)
        quality = measure_quality(cut.tile, view, radiometry.transfer, looks=radiometry.looks)
        rejection = screen(quality, screening, corrupt_share=cut.corrupt_share, residual_m=cut.residual_m)
        yield _Judged(cut, view, quality, rejection)


def _sort_in(
    tables: StripTables, judged: _Judged, scene: Scene, strip: Strip, radiometry: Radiometry, grid: GridSettings
) -> None:
    row = _describe(judged.cut, judged.quality, scene, strip, radiometry, grid)
    rejection = judged.rejection
    if rejection is None:
        image = encode_png(judged.cut.tile.pixels)
        view = image if judged.view is judged.cut.tile else encode_png(judged.view.pixels)
        tables.kept.append({**row, "image": image, "view": view})
    else:
        why = {"reason": rejection.reason, "score": rejection.score, "threshold": rejection.threshold}
        thumbnail = encode_png(judged.view.view(THUMBNAIL_PX).pixels)
        tables.rejected.append({**row, "thumbnail": thumbnail, **why})


def _unread_row(
    planned: PlannedTile, rejection: Rejection, scene: Scene, strip: Strip, radiometry: Radiometry, grid: GridSettings
) -> dict[str, Any]:
    """Describe a tile whose pixels nobody looked at."""
    window = planned.window
    affine, residual_m = scene.georeference.fit(window.row, window.col, window.height, window.width)
    east_m, south_m = scene.spacing.at(*window.centre)
    gsd_m = float(np.sqrt(east_m * south_m)) * window.factor
    nothing = np.broadcast_to(np.uint8(0), (window.height // window.factor, window.width // window.factor))
    tile = Tile(nothing, affine @ Affine.scale(window.factor), scene.georeference.crs, gsd_m)
    row = _describe(CutTile(planned, tile, 0.0, residual_m), None, scene, strip, radiometry, grid)
    why = {"reason": rejection.reason, "score": rejection.score, "threshold": rejection.threshold}
    return {**row, "thumbnail": None, **why}


def _describe(
    cut: CutTile, quality: Quality | None, scene: Scene, strip: Strip, radiometry: Radiometry, grid: GridSettings
) -> dict[str, Any]:
    planned, tile = cut.planned, cut.tile
    window = planned.window
    return {
        "tile_id": planned.tile_id,
        "scene_id": scene.scene_id,
        "scene_name": scene.name,
        "series": strip.band.series,
        "scale": window.scale,
        "parent_id": planned.parent_id,
        "row_off": window.row,
        "col_off": window.col,
        "height": window.height,
        "width": window.width,
        "extent_m": grid.extents_m()[window.scale],
        "gsd_m": tile.gsd_m,
        "crs": tile.crs,
        "affine": list(tile.affine)[:6],
        "georeference": scene.georeference.kind,
        "residual_m": cut.residual_m,
        "sensor": scene.sensor,
        "band": scene.radar_band,
        "polarisation": strip.band.polarisation,
        "time": scene.time,
        "transfer": radiometry.transfer.record(),
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
