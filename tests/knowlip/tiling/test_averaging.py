"""Averaging in parts is averaging at once, wherever the image was divided and whatever of it is no data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from knowlip.tiling.averaging import Averager, PartMaker, parts_from, parts_table
from knowlip.tiling.grid import Window
from knowlip.tiling.strips import PlannedTile
from knowlip.tiling.tile import area_average


def reference(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Mean of valid pixels, halves rounded up; valid where at least half of a cell is."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    found = np.zeros((height, width), dtype=np.uint8)
    for row, col in np.ndindex(height, width):
        cell = pixels[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
        valid = cell[cell > 0].astype(np.float64)
        if 2 * valid.size >= factor * factor:
            found[row, col] = np.floor(valid.sum() / valid.size + 0.5)
    return found


@given(seed=st.integers(0, 2**32 - 1), factor=st.integers(1, 6), empty=st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_a_whole_factor_averages_each_cell(seed: int, factor: int, empty: float) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (7 * factor, 5 * factor), dtype=np.uint8)
    pixels[rng.random(pixels.shape) < empty] = 0
    averaged, expected = area_average(pixels, 7, 5).astype(int), reference(pixels, factor).astype(int)
    assert ((averaged > 0) == (expected > 0)).all()
    # Pillow divides by a product with a reciprocal, which may round a tie down.
    assert np.abs(averaged - expected).max() <= (0 if factor in (1, 2, 4) else 1)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1), factor=st.integers(1, 5))
def test_parts_join_to_the_whole(data: st.DataObject, seed: int, factor: int) -> None:
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (60, 40), dtype=np.uint8)
    row = data.draw(st.integers(0, 20))
    window = Window("M", row, 5, 8 * factor, 6 * factor, factor)
    planned = PlannedTile(window, "m", None)
    cuts = sorted(data.draw(st.sets(st.integers(row, row + window.height), max_size=5)) | {0, 60})
    joined = Averager(window.height, window.width, factor)
    sink = pa.BufferOutputStream()
    for first, last in pairwise(cuts):
        if first < row + window.height and last > row:
            maker = PartMaker(planned, first, last)
            for at in range(maker.first, maker.last, 3):
                maker.take(scene[at : min(at + 3, maker.last), 5 : 5 + window.width])
            sink = pa.BufferOutputStream()
            pq.write_table(parts_table([maker.part()]), sink)
            joined.join(parts_from(pq.read_table(pa.BufferReader(sink.getvalue())))["m"])
    area = scene[row : row + window.height, 5 : 5 + window.width]
    assert (joined.image == area_average(area, 8, 6)).all()
    assert not len(joined.rest)
