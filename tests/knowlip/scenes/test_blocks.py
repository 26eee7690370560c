"""Blocks that are decoded beside GDAL are what GDAL makes of them, and everything else is left to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.windows import Window

from knowlip.scenes.blocks import FloatBlocks
from knowlip.scenes.reader import open_scene

Write = Callable[..., Path]
PREDICTED = {"compress": "deflate", "predictor": 3}
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 32}
WINDOWS = [Window(0, 0, 203, 301), Window(64, 32, 64, 32), Window(7, 13, 150, 100), Window(202, 300, 1, 1)]


def floats(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    values = np.random.default_rng(3).gamma(4, 25, shape).astype(dtype)
    values.flat[::97] = np.nan
    values.flat[5::89] *= -1
    return values


def broken_at(path: Path, block: str) -> None:
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", bidx=1))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", [TILED, {}, {"blockysize": 7}], ids=["tiles", "rows", "strips"])
def test_every_window_is_what_gdal_reads(write_raster: Write, layout: dict[str, Any], dtype: str, order: str) -> None:
    raw = floats((301, 203), dtype)
    path = write_raster(raw, **PREDICTED, **layout, ENDIANNESS=order)
    with rasterio.open(path) as source:
        blocks = FloatBlocks.of(str(path), source, rows=128)
        assert blocks is not None
        for window in WINDOWS:
            read = blocks.read(1, window)
            assert read is not None
            assert read.dtype == dtype
            np.testing.assert_array_equal(read, source.read(1, window=window))
            np.testing.assert_array_equal(read, raw[window.toslices()])


def test_bands_that_lie_apart_are_read_each(write_raster: Write) -> None:
    raw = floats((2, 100, 130))
    path = write_raster(raw, **PREDICTED, **TILED, interleave="band")
    with rasterio.open(path) as source:
        blocks = FloatBlocks.of(str(path), source, rows=128)
        assert blocks is not None
        for band in (1, 2):
            np.testing.assert_array_equal(blocks.read(band, Window(10, 20, 90, 70)), raw[band - 1, 20:90, 10:100])


def test_a_cog_is_read_so(write_raster: Write, tmp_path: Path) -> None:
    raw = floats((700, 600))
    cog = tmp_path / "cog.tif"
    copy(write_raster(raw), cog, driver="COG", compress="deflate", predictor="yes", blocksize=256)
    with open_scene(str(cog)).reading() as reader:
        assert reader.blocks is not None
        rows, broken = reader.rows(1, 100, 500)
    np.testing.assert_array_equal(rows, raw[100:600])
    assert not broken


@pytest.mark.parametrize(
    ("shape", "dtype", "profile"),
    [
        ((60, 80), "float32", {"compress": "deflate"}),
        ((60, 80), "float32", {"compress": "deflate", "predictor": 2}),
        ((60, 80), "float32", {"compress": "lzw", "predictor": 3}),
        ((60, 80), "float32", {}),
        ((60, 80), "uint16", {"compress": "deflate", "predictor": 2}),
        ((2, 60, 80), "float32", {**PREDICTED, "interleave": "pixel"}),
        ((2100, 2100), "float32", {**PREDICTED, "blockysize": 2100}),
    ],
)
def test_other_files_are_left_to_gdal(
    write_raster: Write, shape: tuple[int, ...], dtype: str, profile: dict[str, Any]
) -> None:
    raw = np.nan_to_num(floats(shape)).astype(dtype)
    with open_scene(str(write_raster(raw, **profile))).reading() as reader:
        assert reader.blocks is None
        rows, _ = reader.rows(1, 0, shape[-2])
    np.testing.assert_array_equal(rows, raw if raw.ndim == 2 else raw[0])


def test_a_wide_scene_of_small_blocks_is_read_so_too(write_raster: Write) -> None:
    raw = floats((70, 20_000))
    with open_scene(str(write_raster(raw, **PREDICTED, **TILED))).reading() as reader:
        assert reader.blocks is not None
        rows, _ = reader.rows(1, 40, 20, 19_000, 1000)
    np.testing.assert_array_equal(rows, raw[40:60, 19_000:])


def test_a_block_that_was_never_written_is_gdals(write_raster: Write) -> None:
    path = write_raster(np.zeros((128, 128), np.float32), **PREDICTED, **TILED, sparse_ok=True)
    with rasterio.open(path, "r+") as sink:
        sink.write(np.ones((32, 64), np.float32), 1, window=Window(0, 0, 64, 32))
    with open_scene(str(path)).reading() as reader:
        assert reader.blocks is not None
        assert reader.blocks.read(1, Window(0, 0, 128, 128)) is None
        rows, broken = reader.rows(1, 0, 128)
    assert not broken
    assert rows.sum() == 32 * 64


@pytest.mark.parametrize("layout", [TILED, {"blockysize": 32}], ids=["tiles", "strips"])
def test_a_broken_block_costs_no_more_than_itself(write_raster: Write, layout: dict[str, Any]) -> None:
    raw = np.nan_to_num(floats((128, 128)))
    path = write_raster(raw, **PREDICTED, **layout)
    broken_at(path, "0_1")
    with open_scene(str(path)).reading() as reader:
        assert reader.blocks is not None
        rows, broken = reader.rows(1, 0, 128)
    width = 64 if layout is TILED else 128
    assert broken == [(slice(32, 64), slice(0, width))]
    whole = np.ones_like(raw, dtype=bool)
    whole[32:64, :width] = False
    np.testing.assert_array_equal(rows[whole], raw[whole])
