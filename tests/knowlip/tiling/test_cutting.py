"""Scenes to rows: every tile once, in its place, whatever the blocks of the file and the strips of the plan."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from affine import Affine

from knowlip.geography import to_wgs84
from knowlip.records import REJECTED, TILES
from knowlip.scenes.reader import open_scene
from knowlip.tiling.cutting import CutTile, cut_strip
from knowlip.tiling.encoding import decode_png
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, Survey, survey_scene
from knowlip.tiling.table import tile_strip
from knowlip.tiling.tile import area_average

Write = Callable[..., Path]
Speckle = Callable[..., np.ndarray]
KEEP = ScreeningSettings(keep_low_structure=True, nodata_max=1.0)


def survey(path: Path | str, scenes: SceneSettings | None = None, **grid: Any) -> Survey:
    found = survey_scene(str(path), scenes or SceneSettings(), GridSettings(**grid))
    assert not found.reason, found.detail
    return found


def cut(found: Survey) -> list[CutTile]:
    assert found.scene is not None
    with found.scene.reading() as reader:
        return [
            tile for strip in found.strips for tile in cut_strip(reader, strip, found.bands[strip.band.index].transfer)
        ]


def tables(found: Survey, grid: GridSettings, screening: ScreeningSettings = KEEP) -> tuple[pa.Table, pa.Table]:
    assert found.scene is not None
    kept, rejected = [], []
    with found.scene.reading() as reader:
        for strip in sorted(found.strips, key=lambda one: one.stage):
            needed = {row["parent_id"] for table in kept for row in table.to_pylist()}
            made = tile_strip(
                reader, strip, found.bands[strip.band.index], grid=grid, screening=screening, parents_of_kept=needed
            )
            kept.append(made.tiles_table())
            rejected.append(made.rejected_table())
    return pa.concat_tables(kept), pa.concat_tables(rejected)


def whole(found: Survey, band: int = 1) -> np.ndarray:
    assert found.scene is not None
    with rasterio.open(found.scene.path) as source:
        return found.bands[band].transfer.to_8bit(source.read(band))


@pytest.mark.parametrize(
    "profile", [{}, {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}, {"blockysize": 37}]
)
@pytest.mark.parametrize("strip_mpx", [0.05, 100.0])
def test_tiles_are_exactly_the_scene(
    write_raster: Write, speckle: Speckle, profile: dict[str, Any], strip_mpx: float
) -> None:
    path = write_raster(speckle(700, 530), **profile)
    found = survey(path, extent_m=64, strip_mpx=strip_mpx, edge="shift", parent_px=128)
    image = whole(found)
    seen = cut(found)
    assert len({one.planned.tile_id for one in seen}) == len(seen)
    assert len(seen) == sum(found.counts().values())
    for one in seen:
        window = one.planned.window
        area = image[window.row : window.row + window.height, window.col : window.col + window.width]
        expected = area if window.factor == 1 else area_average(area, *one.tile.pixels.shape)
        assert (one.tile.pixels == expected).all()


def test_ids_do_not_depend_on_strips_or_names(write_raster: Write, speckle: Speckle) -> None:
    raw = speckle(500, 400)
    first = survey(write_raster(raw, name="a.tif"), extent_m=64, strip_mpx=0.05)
    second = survey(write_raster(raw, name="b.tif"), extent_m=64, strip_mpx=50)
    ids = [{tile.tile_id for strip in found.strips for tile in strip.tiles} for found in (first, second)]
    assert ids[0] == ids[1]
    assert len(first.strips) > len(second.strips)


def test_padding_is_no_data(write_raster: Write, speckle: Speckle) -> None:
    found = survey(write_raster(speckle(100, 90)), extent_m=64, edge="pad", medium=0, large=0)
    corner = max(cut(found), key=lambda one: (one.planned.window.row, one.planned.window.col))
    assert (corner.tile.pixels[:36, :26] > 0).all()
    assert not corner.tile.pixels[36:].any()
    assert not corner.tile.pixels[:, 26:].any()


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:32611", Affine(1, 0, 390_000, 0, -1, 3_740_000)),
        ("EPSG:3395", Affine(10, 0, -13_173_501, 0, -10, 4_017_420)),
        ("EPSG:4326", Affine(9e-5, 0, -0.78, 0, -9e-5, 38.1)),
        ("EPSG:3413", Affine(20, 0, -1_200_000, 0, -20, -900_000)),
        ("EPSG:32611", Affine.translation(390_000, 3_740_000) @ Affine.rotation(30) @ Affine.scale(2.0, -3.0)),
        ("EPSG:4326", Affine(2e-4, 0, 179.95, 0, -2e-4, -16.0)),
    ],
)
def test_corners_and_footprints_are_where_the_scene_says(
    write_raster: Write, speckle: Speckle, crs: str, affine: Affine
) -> None:
    path = write_raster(speckle(420, 360), crs=crs, affine=affine)
    grid = GridSettings(extent_m=60 * open_scene(str(path)).spacing.gsd_m, medium=3, large=0, parent_px=64)
    found = survey_scene(str(path), SceneSettings(), grid)
    assert found.scene is not None
    kept, _ = tables(found, grid)
    assert kept.num_rows == sum(found.counts().values())
    for row in kept.to_pylist():
        image = decode_png(row["image"])
        stored = Affine(*row["affine"])
        corners = np.array([[0, 0], [image.shape[1], 0], [image.shape[1], image.shape[0]], [0, image.shape[0]]], float)
        x, y = stored @ (corners[:, 0], corners[:, 1])
        col, row_at = found.scene.georeference.pixel(*to_wgs84(row["crs"], x, y))
        assert np.abs(col - (row["col_off"] + corners[:, 0] / image.shape[1] * row["width"])).max() < 0.5
        assert np.abs(row_at - (row["row_off"] + corners[:, 1] / image.shape[0] * row["height"])).max() < 0.5
        outline = shapely.from_wkb(row["geometry"])
        assert outline.intersects(shapely.Point(row["lon"], row["lat"]))
        assert row["bbox"]["ymin"] < row["lat"] < row["bbox"]["ymax"]
        area_m2 = (row["gsd_m"] ** 2) * image.size
        assert area_m2 == pytest.approx(row["extent_m"] ** 2, rel=0.04)


def test_a_tile_across_the_antimeridian_has_two_parts(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(300, 300), crs="EPSG:4326", affine=Affine(2e-4, 0, 179.97, 0, -2e-4, -16.0))
    grid = GridSettings(extent_m=2000, medium=3, large=0)
    kept, _ = tables(survey(path, **grid.model_dump()), grid)
    crossing = [row for row in kept.to_pylist() if row["bbox"]["xmin"] > row["bbox"]["xmax"]]
    assert crossing
    for row in crossing:
        parts = shapely.from_wkb(row["geometry"]).geoms
        assert len(parts) == 2
        assert sum(part.area for part in parts) < 1
    assert all(row["country"] == "FJ" for row in kept.to_pylist())


def test_bands_become_series_of_their_own(write_raster: Write, speckle: Speckle) -> None:
    raw = np.stack([speckle(128, 128), 3 * speckle(128, 128, seed=1)])
    grid = GridSettings(extent_m=64, medium=0, large=0)
    kept, _ = tables(survey(write_raster(raw), **grid.model_dump()), grid)
    assert sorted(kept["series"].to_pylist()) == ["b1"] * 4 + ["b2"] * 4
    assert len(set(kept["tile_id"].to_pylist())) == 8


def test_parents_of_kept_tiles_are_kept_and_open_sea_has_none(write_raster: Write, speckle: Speckle) -> None:
    raw = speckle(512, 1024, looks=8)
    raw[0:256:16, :256] = 0.05
    raw[8:256:32, 8:256:32] = 30
    grid = GridSettings(extent_m=64, medium=4, large=8, strip_mpx=0.1)
    kept, rejected = tables(survey(write_raster(raw), **grid.model_dump()), grid, ScreeningSettings())
    rows = {row["tile_id"]: row for row in kept.to_pylist()}
    assert {row["scale"] for row in rows.values()} == {"L", "M", "S"}
    assert all(row["parent_id"] in rows for row in rows.values() if row["parent_id"])
    parents = {row["parent_id"] for row in rows.values()}
    assert all(key in parents for key, row in rows.items() if row["scale"] != "S")
    reasons = {(row["scale"], row["reason"]) for row in rejected.to_pylist()}
    assert ("S", "low_structure") in reasons
    assert ("M", "no_kept_child") in reasons
    assert ("L", "no_kept_child") in reasons


def test_a_broken_block_spoils_only_its_tiles(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(256, 256), tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    grid = GridSettings(extent_m=64, medium=0, large=0)
    before = {one.planned.tile_id: one.tile.pixels for one in cut(survey(path, **grid.model_dump()))}
    found = survey(path, **grid.model_dump())
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    kept, rejected = tables(found, grid)
    (lost,) = rejected.to_pylist()
    assert (lost["reason"], lost["row_off"], lost["col_off"]) == ("corrupt_block", 128, 64)
    assert lost["score"] == 1.0
    for row in kept.to_pylist():
        assert (decode_png(row["image"]) == before[row["tile_id"]]).all()


def test_no_georeference_has_pixels_and_metres_but_no_place(write_raster: Write, speckle: Speckle) -> None:
    path = write_raster(speckle(128, 128), crs=None)
    grid = GridSettings(extent_m=192, medium=0, large=0)
    found = survey(path, SceneSettings(gsd_m=3.0), **grid.model_dump())
    kept, _ = tables(found, grid)
    assert kept.num_rows == 4
    row = kept.to_pylist()[0]
    assert (row["georeference"], row["height"], row["gsd_m"]) == ("none", 64, 3.0)
    assert row["geometry"] is None
    assert row["city"] is None


def test_tables_are_geoparquet(write_raster: Write, speckle: Speckle, tmp_path: Path) -> None:
    grid = GridSettings(extent_m=64)
    kept, rejected = tables(survey(write_raster(speckle(300, 300)), **grid.model_dump()), grid)
    assert kept.schema.names == TILES.names
    assert rejected.schema.names == REJECTED.names
    pq.write_table(kept, tmp_path / "tiles.parquet")
    frame = geopandas.read_parquet(tmp_path / "tiles.parquet")
    assert frame.crs == "EPSG:4326"
    assert frame.geometry.is_valid.all()
    assert (frame.geometry.geom_type == "Polygon").all()
    inside = geopandas.read_parquet(tmp_path / "tiles.parquet", bbox=tuple(frame.total_bounds[[0, 1, 0, 1]] + 1e-4))
    assert 0 < len(inside) < len(frame)
    view = decode_png(frame.view.iloc[0])
    assert max(view.shape) <= 256
    assert io.BytesIO(frame.image.iloc[0]).read(4) == b"\x89PNG"


def test_levels_go_back_to_decibels_from_the_stored_transfer(write_raster: Write, speckle: Speckle) -> None:
    raw = speckle(128, 128)
    grid = GridSettings(extent_m=128, medium=0, large=0)
    path = write_raster(raw, tags={"quantity": "amplitude"})
    kept, _ = tables(survey(path, **grid.model_dump()), grid)
    (row,) = kept.to_pylist()
    transfer, levels = row["transfer"], decode_png(row["image"]).astype(float)
    back = transfer["low"] + (levels - 1) / 254 * (transfer["high"] - transfer["low"])
    clipped = np.clip(raw, transfer["low"], transfer["high"])
    assert np.abs(back - clipped).max() < 0.51 * (transfer["high"] - transfer["low"]) / 254


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (np.full((200, 200), np.nan, np.float32), "all_nodata"),
        (np.full((200, 200), 3.0, np.float32), "constant"),
        (np.ones((3, 5000), np.float32) + np.arange(5000, dtype=np.float32), "too_small"),
    ],
)
def test_scenes_that_cannot_be_tiled_are_set_aside_with_a_reason(
    write_raster: Write, raw: np.ndarray, reason: str
) -> None:
    found = survey_scene(str(write_raster(raw, name="odd.tif")), SceneSettings(), GridSettings(extent_m=64))
    assert found.reason == reason
    assert found.scene is None
    assert "odd.tif" in found.detail


def test_no_data_of_minus_99_stays_no_data(write_raster: Write, speckle: Speckle) -> None:
    raw = 20 * np.log10(speckle(200, 200)) - 12
    raw[50:90, 120:] = -99
    raw[150:, :20] = np.nan
    found = survey(write_raster(raw, nodata=-99), extent_m=64)
    assert found.bands[1].transfer.quantity == "db"
    assert found.bands[1].transfer.low > -60
    assert ((whole(found) == 0) == ((raw == -99) | np.isnan(raw))).all()
