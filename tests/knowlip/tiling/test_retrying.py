"""Tiles that were set aside are cut again on request: they, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from knowlip.scenes.reader import SceneReader
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings
from knowlip.tiling.replay import judge_again, replay, scored_tiles
from knowlip.tiling.retrying import UnitRetrier, units_to_retry
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.units import TILE_PARTS, Unit, UnitCutter, units_of
from knowlip.workspace import Workspace

GRID = GridSettings(extent_m=64, medium=2, large=4, strip_mpx=0.02)
KEEP = ScreeningSettings(keep_low_structure=True)


@pytest.fixture
def todo(write_raster: Callable[..., Path], speckle: Callable[..., np.ndarray]) -> list[Unit]:
    """Units of a scene whose western half is calm water, in blocks of 64."""
    raw = speckle(256, 256)
    raw[:, 128:] *= np.kron(np.random.default_rng(1).uniform(0.2, 4.0, (16, 8)), np.ones((16, 16)))
    path = write_raster(raw, tiled=True, blockxsize=64, blockysize=64, tags={"quantity": "amplitude"})
    survey = survey_scene(str(path), SceneSettings(), GRID)
    return sorted(units_of(survey), key=lambda unit: unit.strip.stage)


def cut(root: Path, todo: list[Unit], screening: ScreeningSettings) -> UnitCutter:
    cutter = UnitCutter(Workspace(str(root)), "{}.parquet".format, GRID, screening, RegionSettings())
    for unit in todo:
        cutter(unit)
    cutter.workspace.delete(TILE_PARTS)
    return cutter


def rows(root: Path, artefact: str = "tiles") -> dict[str, dict[str, Any]]:
    return {row["tile_id"]: row for row in Workspace(str(root)).read_table(artefact).to_pylist()}


def test_tiles_that_a_replay_would_keep_get_their_images(todo: list[Unit], tmp_path: Path) -> None:
    whole, strict = tmp_path / "whole", tmp_path / "strict"
    cut(whole, todo, KEEP)
    cutter = cut(strict, todo, ScreeningSettings())
    before = rows(strict)
    assert 0 < len(before) < len(rows(whole))
    replay(cutter.workspace, judge_again(scored_tiles(cutter.workspace), KEEP))
    missing = {row["tile_id"] for row in rows(strict, "tiles/_rejected").values() if row["reason"] == "no_image"}
    assert missing == rows(whole).keys() - before.keys()
    for unit in units_to_retry(todo, cutter, ["no_image"]):
        made = UnitRetrier(cutter, ("no_image",))(unit)
        assert {row["tile_id"] for row in made.kept} <= missing
    assert rows(strict) == rows(whole)
    assert not rows(strict, "tiles/_rejected")
    assert not units_to_retry(todo, cutter, ["no_image"])


def test_blocks_that_can_be_read_now_give_their_tiles_and_parents(
    todo: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    cut(whole, todo, KEEP)
    read = SceneReader._decoded

    def fail(reader: SceneReader, band: int, window: Window) -> Any:
        if window.row_off < 128:
            raise RasterioIOError("a disk that is not there just now")
        return read(reader, band, window)

    with monkeypatch.context() as patch:
        patch.setattr(SceneReader, "_decoded", fail)
        cutter = cut(broken, todo, KEEP)
    reasons = {row["reason"] for row in rows(broken, "tiles/_rejected").values()}
    assert reasons == {"corrupt_block", "no_kept_child"}
    for unit in units_to_retry(todo, cutter, ["corrupt_block"]):
        UnitRetrier(cutter, ("corrupt_block",))(unit)
    assert {row["scale"] for row in rows(whole).values()} == {"L", "M", "S"}
    assert rows(broken) == rows(whole)


def test_what_is_still_broken_stays_set_aside(
    todo: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reader: SceneReader, band: int, window: Window) -> Any:
        raise RasterioIOError("gone")

    monkeypatch.setattr(SceneReader, "_decoded", fail)
    cutter = cut(tmp_path, todo, KEEP)
    before = rows(tmp_path, "tiles/_rejected")
    for unit in units_to_retry(todo, cutter, ["corrupt_block"]):
        UnitRetrier(cutter, ("corrupt_block",))(unit)
    assert rows(tmp_path, "tiles/_rejected") == before
    assert not rows(tmp_path)
