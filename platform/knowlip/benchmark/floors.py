"""Floors of classification: what takes seconds to minutes and no pretraining (nearest neighbour, HOG, size alone).

A model that does not beat these has learnt nothing worth its cost; on a random split of a set that repeats itself,
the nearest neighbour shows how much of a figure is memory. Gradients are taken at native scale: size in metres is a
feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import hog
from sklearn.base import ClassifierMixin
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from knowlip.benchmark.layouts.pictures import padded

__all__ = ["FLOORS", "Floor", "features_of", "floor_records"]

_SIDE_PX = 32
_HOG = {"orientations": 9, "pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}


def _pixels(chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    size = (_SIDE_PX, _SIDE_PX)
    small = [np.asarray(Image.fromarray(chip).resize(size, Image.Resampling.BILINEAR)) for chip in chips]
    return np.stack(small).reshape(len(chips), -1).astype(np.float32)


def _sizes(chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.array([chip.shape for chip in chips], np.float32)


def _gradients(chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return how alike each two chips' gradients are: a kernel, computed once for all folds."""
    # Room for nearly all chips; the square root evens speckle out.
    side = int(np.ceil(np.percentile([max(chip.shape) for chip in chips], 95) / 8) * 8)
    seen = np.stack([hog(np.sqrt(padded(chip, side) / 255.0), **_HOG) for chip in chips]).astype(np.float32)
    alike: NDArray[np.float32] = rbf_kernel(seen, gamma=1.0 / (seen.shape[1] * float(seen.var())))
    return alike


@dataclass(frozen=True)
class Floor:
    """One floor.

    Attributes:
        see: From chips to features, one row a chip; without labels.
        learn: Makes the classifier.
        pairwise: Whether a feature is the likeness to another chip.
    """

    see: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]]
    learn: Callable[[], ClassifierMixin]
    pairwise: bool = False


FLOORS: Mapping[str, Floor] = {
    "nearest_pixels": Floor(_pixels, lambda: KNeighborsClassifier(1)),
    "chip_size": Floor(_sizes, lambda: make_pipeline(StandardScaler(), SVC(C=1.0))),
    "hog_svm": Floor(_gradients, lambda: SVC(C=10.0, kernel="precomputed"), pairwise=True),
}
"""The floors by name."""


def features_of(floor: str, chips: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return what a floor sees of chips (rows): computed once for all folds.

    Args:
        floor: One of `FLOORS`.
        chips: 8-bit pictures at their native scale.
    """
    return FLOORS[floor].see(chips)


def floor_records(
    floor: str,
    features: NDArray[np.float32],
    examples: Sequence[Mapping[str, Any]],
    splits: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Train a floor and return records for `knowlip.benchmark.metrics.classification_scores`.

    It has no settings to choose, so it trains on the validation split too.

    Args:
        floor: One of `FLOORS`.
        features: Of `features_of`, one row an example.
        examples: With ``example_id``, ``label`` and ``group``.
        splits: Split of each example.
    """
    parts = [splits.get(example["example_id"]) for example in examples]
    train = [place for place, part in enumerate(parts) if part in ("train", "val")]
    test = [place for place, part in enumerate(parts) if part == "test"]
    labels = np.array([example["label"] for example in examples])
    seen = features[:, train] if FLOORS[floor].pairwise else features
    model: Any = FLOORS[floor].learn().fit(seen[train], labels[train])
    margins = model.decision_function if hasattr(model, "decision_function") else model.predict_proba
    scores = margins(seen[test])
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    # What the classifier itself says comes first: its vote and its margins need not agree.
    given = model.predict(seen[test])
    records = []
    for place, first, row in zip(test, given.tolist(), scores, strict=True):
        ranked = [str(model.classes_[index]) for index in np.argsort(-row, kind="stable")]
        ranked = [first, *(name for name in ranked if name != first)]
        example = examples[place]
        records.append(
            {
                "example_id": example["example_id"],
                "group": example["group"],
                "label": example["label"],
                "ranked": ranked,
            }
        )
    return records
