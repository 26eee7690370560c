"""Units of work: every block is decoded once, and what strips leave behind joins to the very tiles of the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.windows import Window

from knowlip.scenes.reader import SceneReader
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.units import TILE_PARTS, Unit, UnitCutter, units_of
from knowlip.workspace import Workspace

GRID = GridSettings(extent_m=64, medium=3, large=6, strip_mpx=0.02, parent_px=64)


@pytest.fixture
def scene(write_raster: Callable[..., Path], speckle: Callable[..., np.ndarray]) -> Path:
    """500 × 600 pixels with a hole, in blocks of 16 rows."""
    raw = speckle(500, 600)
    raw[180:390, 180:400] = 0
    return write_raster(raw, blockysize=16, tags={"quantity": "amplitude"})


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """What was read of the scene after its survey."""
    seen: list[Window] = []
    read = SceneReader._decoded

    def spy(reader: SceneReader, band: int, window: Window) -> Any:
        seen.append(window)
        return read(reader, band, window)

    monkeypatch.setattr(SceneReader, "_decoded", spy)
    return seen


def cutter(root: Path) -> UnitCutter:
    keep = ScreeningSettings(keep_low_structure=True, nodata_max=1.0)
    return UnitCutter(Workspace(str(root)), "{}.parquet".format, GRID, keep, RegionSettings())


def units(scene: Path) -> list[Unit]:
    survey = survey_scene(str(scene), SceneSettings(), GRID)
    assert survey.scene is not None, survey.detail
    return sorted(units_of(survey), key=lambda unit: unit.strip.stage)


def rows(root: Path) -> dict[str, dict[str, Any]]:
    return {row["tile_id"]: row for row in Workspace(str(root)).read_table("tiles").to_pylist()}


def test_every_row_is_read_once_and_larger_tiles_read_none(scene: Path, tmp_path: Path, decoded: list[Window]) -> None:
    todo = units(scene)
    decoded.clear()
    for unit in todo:
        cutter(tmp_path)(unit)
    assert sum(unit.strip.stage == 0 for unit in todo) > 3
    read = sorted((window.row_off, window.row_off + window.height) for window in decoded)
    assert [begin for begin, _ in read] == [0, *(end for _, end in read[:-1])]
    assert read[-1][1] == 500
    assert all(begin % 16 == 0 or begin in {unit.strip.own_rows[0] for unit in todo} for begin, _ in read)
    assert {row["scale"] for row in rows(tmp_path).values()} == {"S", "M", "L"}


def test_joined_and_read_are_the_same(scene: Path, tmp_path: Path, decoded: list[Window]) -> None:
    todo = units(scene)
    joined, read = tmp_path / "joined", tmp_path / "read"
    for unit in todo:
        cutter(joined)(unit)
    for unit in todo:
        Workspace(str(read)).delete(TILE_PARTS)
        decoded.clear()
        cutter(read)(unit)
        assert decoded
    assert rows(joined) == rows(read)


def test_a_childless_parent_is_set_aside_unread(scene: Path, tmp_path: Path) -> None:
    nothing = UnitCutter(
        Workspace(str(tmp_path)), "{}.parquet".format, GRID, ScreeningSettings(nodata_max=0.0), RegionSettings()
    )
    for unit in units(scene):
        nothing(unit)
    rejected = Workspace(str(tmp_path)).read_table("tiles/_rejected").to_pylist()
    kept = rows(tmp_path)
    parents = {row["parent_id"] for row in kept.values()}
    larger = [row for row in rejected if row["scale"] != "S"]
    assert larger
    assert all(row["tile_id"] in parents for row in kept.values() if row["scale"] != "S")
    assert all(row["tile_id"] not in parents and row["reason"] == "no_kept_child" for row in larger)
