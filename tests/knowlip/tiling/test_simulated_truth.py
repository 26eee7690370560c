"""Tiles of simulated scenes, whose every object is known: what is in a footprint, and what is worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

from knowlip.scenes.simulate import Kind, SimulationSettings, simulate, write_scene
from knowlip.tiling.cutting import cut_strip
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.screening import ScreeningSettings, screen
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.table import tile_strip
from knowlip.tiling.texture import measure_quality

GRID = GridSettings(extent_m=128, large=0)


@pytest.mark.parametrize("kind", ["airport", "port"])
def test_objects_lie_in_the_tiles_whose_footprint_contains_them(kind: Kind, tmp_path: Path) -> None:
    settings = SimulationSettings(kind=kind, size_px=(900, 1100), seed=3, rotation_deg=20.0)
    paths = write_scene(simulate(settings), tmp_path)
    found = survey_scene(str(paths.image), SceneSettings(), GRID)
    assert found.scene is not None, found.detail
    with found.scene.reading() as reader:
        rows: list[dict[str, Any]] = []
        for strip in found.strips:
            parents = {row["parent_id"] for row in rows}
            everything = ScreeningSettings(keep_low_structure=True)
            rows += tile_strip(
                reader, strip, found.bands[1], grid=GRID, screening=everything, parents_of_kept=parents
            ).kept
    truth = geopandas.read_file(paths.truth)
    outlines = geopandas.GeoSeries.from_wkb([row["geometry"] for row in rows], crs="EPSG:4326")
    assert len(truth) > 5
    for point in truth.geometry.representative_point():
        (col,), (line,) = found.scene.georeference.pixel(np.array([point.x]), np.array([point.y]))
        by_pixel = {
            row["tile_id"]
            for row in rows
            if row["col_off"] < col < row["col_off"] + row["width"]
            and row["row_off"] < line < row["row_off"] + row["height"]
        }
        by_ground = {row["tile_id"] for row, inside in zip(rows, outlines.contains(point), strict=True) if inside}
        assert by_ground == by_pixel
        assert {row["scale"] for row in rows if row["tile_id"] in by_ground} == {"M", "S"}


def test_tiles_with_objects_are_kept_and_open_water_is_not(tmp_path: Path) -> None:
    paths = write_scene(simulate(SimulationSettings(kind="port", size_px=(1500, 1500), seed=1)), tmp_path)
    found = survey_scene(str(paths.image), SceneSettings(), GRID)
    assert found.scene is not None, found.detail
    points = geopandas.read_file(paths.truth).geometry.representative_point()
    cols, lines = found.scene.georeference.pixel(points.x.to_numpy(), points.y.to_numpy())
    kept: dict[bool, list[bool]] = {True: [], False: []}
    radiometry = found.bands[1]
    with found.scene.reading() as reader:
        for strip in found.strips:
            for cut in cut_strip(reader, strip, radiometry.transfer):
                window = cut.planned.window
                inside = (cols > window.col) & (cols < window.col + window.width)
                inside &= (lines > window.row) & (lines < window.row + window.height)
                quality = measure_quality(cut.tile, cut.tile.view(), radiometry.transfer, looks=radiometry.looks)
                if window.scale == "S":
                    kept[bool(inside.any())].append(screen(quality, ScreeningSettings()) is None)
    assert len(kept[True]) > 10
    assert np.mean(kept[True]) >= 0.98
    assert np.mean(kept[False]) < 0.9
