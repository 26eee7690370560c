"""The filter's default table is what the code measures today, and it tells held-out tiles apart as well as we say."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from knowlip.tiling.labels import default_labels, package_path
from knowlip.tiling.screening import NeighbourFilter

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def screening() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("benchmarks_screening", BENCHMARKS / "screening.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(BENCHMARKS))
        patched.setitem(sys.modules, spec.name, module)  # its dataclass looks its own module up
        spec.loader.exec_module(module)
        yield module


def test_the_default_table_holds_the_scores_that_are_measured_today(screening: ModuleType) -> None:
    stored = {row["tile_id"]: row["quality"] for row in pq.read_table(package_path()).to_pylist()}
    measured = screening.labelled_tiles(next(screening.scenes(screening.TRAINING_SEEDS)))
    shared = [tile for tile in measured if tile.tile_id in stored]
    assert len(shared) >= 50, "run `python benchmarks/screening.py --write-labels`"
    for tile in shared:
        assert stored[tile.tile_id] == pytest.approx(tile.quality.record(), rel=0.01, abs=0.01), (
            "run `python benchmarks/screening.py --write-labels`"
        )


def test_precision_and_recall_on_scenes_that_nothing_was_trained_on(screening: ModuleType) -> None:
    tiles, _ = screening.dataset(screening.HELD_OUT_SEEDS[:1])
    kept = NeighbourFilter(*default_labels()).scores([tile.quality for tile in tiles]) >= 0.5
    precision, recall = screening.measured(kept, np.array([tile.worth for tile in tiles], dtype=bool))
    assert precision >= 0.95
    assert recall >= 0.95
