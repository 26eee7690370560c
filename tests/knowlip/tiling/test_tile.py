"""A tile keeps its geometry through every transform, and its pixels through storage."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from knowlip.errors import DataError
from knowlip.tiling.encoding import decode_png, encode_png
from knowlip.tiling.tile import Tile, area_average, stitch

RNG = np.random.default_rng(3)


def tile_of(pixels: np.ndarray) -> Tile:
    return Tile(pixels, Affine(2.0, 0.1, 500.0, -0.1, -2.0, 900.0), "EPSG:32611", 2.0)


@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70))), step=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_cut_then_stitch_is_the_identity(pixels: np.ndarray, step: int) -> None:
    tile = tile_of(pixels)
    parts = [
        (row, col, tile.crop(row, col, step, step))
        for row in range(0, tile.height, step)
        for col in range(0, tile.width, step)
    ]
    assert (stitch(parts, tile.height, tile.width) == pixels).all()


@given(row=st.integers(-20, 60), col=st.integers(-20, 60), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_crop_lies_where_it_was_cut(row: int, col: int, height: int, width: int) -> None:
    tile = tile_of(RNG.integers(1, 256, (50, 50)).astype(np.uint8))
    part = tile.crop(row, col, height, width)
    assert part.affine @ (0.0, 0.0) == pytest.approx(tile.affine @ (float(col), float(row)))
    assert part.pixels.shape == (height, width)
    for r, c in ((0, 0), (height - 1, width - 1)):
        inside = 0 <= row + r < 50 and 0 <= col + c < 50
        assert part.pixels[r, c] == (tile.pixels[row + r, col + c] if inside else 0)


@given(height=st.integers(257, 700), width=st.integers(200, 700))
@settings(max_examples=20, deadline=None)
def test_a_view_covers_exactly_the_same_ground(height: int, width: int) -> None:
    tile = tile_of(np.full((height, width), 9, np.uint8))
    view = tile.view(256)
    assert max(view.height, view.width) == 256
    assert np.allclose(view.outline(), tile.outline())
    area, whole = (t.height * t.width * t.gsd_m**2 for t in (view, tile))
    assert area == pytest.approx(whole)


def test_a_small_tile_is_its_own_view() -> None:
    tile = tile_of(np.ones((40, 60), np.uint8))
    assert tile.view(256) is tile


def test_averaging_leaves_out_no_data() -> None:
    pixels = np.full((8, 8), 100, np.uint8)
    pixels[:4, :4] = 0
    pixels[4, 4:] = 0
    averaged = area_average(pixels, 2, 2)
    assert averaged[0, 0] == 0
    assert (averaged.ravel()[1:] == 100).all()


def test_averaging_is_the_mean_of_each_cell() -> None:
    pixels = RNG.integers(1, 256, (64, 96)).astype(np.uint8)
    cells = pixels.reshape(16, 4, 16, 6).mean(axis=(1, 3))
    assert np.abs(area_average(pixels, 16, 16) - cells).max() <= 1.01


def test_the_outline_follows_the_edge() -> None:
    x, y = tile_of(np.ones((10, 20), np.uint8)).outline(3)
    assert len(x) == 8
    assert (x[0], y[0]) == pytest.approx((500.0, 900.0))
    assert (x[4], y[4]) == pytest.approx((500 + 40 + 1, 900 - 2 - 20))


@given(pixels=arrays(np.uint8, st.tuples(st.integers(1, 80), st.integers(1, 80))))
@settings(max_examples=60, deadline=None)
def test_png_is_lossless_for_other_readers(pixels: np.ndarray) -> None:
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
        assert (np.asarray(image) == pixels).all()
    assert (decode_png(data) == pixels).all()


def test_png_is_smaller_than_raw_for_an_image() -> None:
    rows = np.cumsum(RNG.integers(-2, 3, (256, 256)), axis=0).astype(np.uint8)
    assert len(encode_png(rows)) < 0.6 * rows.size
    assert zlib.crc32(encode_png(rows)) == zlib.crc32(encode_png(rows))


def test_other_bytes_are_no_png() -> None:
    with pytest.raises(DataError):
        decode_png(b"not a picture")
