"""Floors learn what they can see and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from knowlip.benchmark.floors import FLOORS, features_of, floor_records
from knowlip.benchmark.metrics import classification_scores


def chips(kinds: int = 3, each: int = 16, *, sizes: bool) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """Chips whose class is their size, or the direction of their stripes at one size."""
    rng = np.random.default_rng(0)
    made, examples = [], []
    for place in range(kinds * each):
        kind = place % kinds
        side = 40 + 12 * kind + int(rng.integers(0, 4)) if sizes else 64
        rows, cols = np.mgrid[:side, :side]
        wave = np.sin((rows * np.cos(kind) + cols * np.sin(kind)) / 2 + rng.uniform(0, 6))
        mean = 90.0 if sizes else 90.0 + 60.0 * wave
        made.append(np.clip(mean * rng.gamma(8, 1 / 8, (side, side)), 1, 255).astype(np.uint8))
        examples.append({"example_id": str(place), "label": f"class {kind}", "group": str(place)})
    return made, examples


def top1(floor: str, made: list[np.ndarray], examples: list[dict[str, Any]]) -> float:
    splits = {one["example_id"]: ("train", "val", "test")[place // 3 % 3] for place, one in enumerate(examples)}
    records = floor_records(floor, features_of(floor, made), examples, splits)
    assert len(records) == sum(part == "test" for part in splits.values())
    assert all(sorted(record["ranked"]) == ["class 0", "class 1", "class 2"] for record in records)
    return classification_scores(records)["top1"]


@pytest.mark.parametrize("floor", FLOORS)
def test_size_is_seen_by_what_keeps_it(floor: str) -> None:
    score = top1(floor, *chips(sizes=True))
    assert score > 0.9 if floor in ("chip_size", "hog_svm") else score < 0.9


def test_structure_is_seen_by_gradients_and_not_by_size() -> None:
    assert top1("hog_svm", *chips(sizes=False)) > 0.9
    assert top1("chip_size", *chips(sizes=False)) < 0.5


def test_a_copy_is_found_by_the_nearest_neighbour() -> None:
    made, examples = chips(sizes=False)
    noise = [np.random.default_rng(n).integers(1, 256, (50, 50), dtype=np.uint8) for n in range(len(made))]
    copies = [noise[place - 3] if place // 3 % 3 == 2 else chip for place, chip in enumerate(noise)]
    assert top1("nearest_pixels", copies, examples) == 1.0
    assert top1("nearest_pixels", noise, examples) < 0.7
