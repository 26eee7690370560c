"""What is not worth reading is not read, and every tile of it is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import Resampling

from knowlip.errors import SettingsError
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings, read_region
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.table import StripTables, tile_strip

GRID = GridSettings(extent_m=128, medium=2, large=0)


@pytest.fixture
def scene(tmp_path: Path) -> str:
    """Fields in the west, open sea in the east (far from any airport), 512 × 1024 m, with overviews."""
    rng = np.random.default_rng(0)
    field = np.kron(rng.uniform(0.5, 3.0, (16, 32)), np.ones((32, 32)))
    field[:, 512:] = 0.3
    pixels = (field * np.sqrt(rng.gamma(4, 0.25, field.shape))).astype(np.float32)
    path = tmp_path / "coast.tif"
    place = {"crs": "EPSG:32631", "transform": Affine(1, 0, 500_000, 0, -1, 5_000_000 - 4_300_000)}
    options = {"height": 512, "width": 1024, "count": 1, "dtype": "float32", "tiled": True, **place}
    with rasterio.open(path, "w", driver="GTiff", blockxsize=128, blockysize=128, **options) as sink:
        sink.write(pixels, 1)
        sink.update_tags(quantity="amplitude")
        sink.build_overviews([2, 4, 8], Resampling.average)
    return str(path)


def tiled(path: str, regions: RegionSettings) -> StripTables:
    survey = survey_scene(path, SceneSettings(), GRID)
    assert survey.scene is not None, survey.detail
    whole = StripTables()
    with survey.scene.reading() as reader:
        for strip in survey.strips:
            radiometry = survey.bands[strip.band.index]
            part = tile_strip(
                reader,
                strip,
                radiometry,
                grid=GRID,
                screening=ScreeningSettings(),
                regions=regions,
                parents_of_kept={row["parent_id"] for row in whole.kept},
            )
            whole.kept += part.kept
            whole.rejected += part.rejected
    return whole


def test_regions_without_structure_are_left_out_and_nothing_else_changes(scene: str) -> None:
    everything = tiled(scene, RegionSettings())
    screened = tiled(scene, RegionSettings(low_structure="exclude"))
    assert screened.kept == everything.kept
    assert {row["tile_id"] for row in screened.rejected} == {row["tile_id"] for row in everything.rejected}
    unread = [row for row in screened.rejected if row["reason"] == "low_structure_region"]
    assert len(unread) == 16
    assert all(row["quality"] is None and row["score"] < row["threshold"] for row in unread)
    outlines = {row["tile_id"]: row["geometry"] for row in everything.rejected}
    assert all(row["geometry"] == outlines[row["tile_id"]] for row in unread)
    assert screened.rejected_table().num_rows == len(everything.rejected)


def test_only_the_region_of_interest_is_cut(scene: str, tmp_path: Path) -> None:
    everything = tiled(scene, RegionSettings())
    wanted = next(row for row in everything.kept if row["scale"] == "S")
    area = shapely.from_wkb(wanted["geometry"])
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(area))}
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    part = tiled(scene, RegionSettings(geojson=str(region)))
    assert {row["tile_id"] for row in part.kept} == {wanted["tile_id"], wanted["parent_id"]}
    assert {row["reason"] for row in part.rejected} == {"outside_region", "no_kept_child"}
    assert len(part.kept) + len(part.rejected) == len(everything.kept) + len(everything.rejected)


@pytest.mark.parametrize("text", ["nonsense", '{"type": "Point", "coordinates": [1, 2]}', '{"type": "Nothing"}'])
def test_a_region_that_is_none_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "region.geojson"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"region\.geojson"):
        read_region(str(path))
