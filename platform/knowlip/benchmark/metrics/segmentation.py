"""Segmentation: overall accuracy and mean intersection over union (section 4.3, Table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from knowlip.benchmark.metrics.records import Record

__all__ = ["segmentation_record", "segmentation_scores"]


def segmentation_record(given: npt.NDArray[Any], right: npt.NDArray[Any], classes: int) -> dict[str, Any]:
    """Return a record of one image: ``confusion``, pixels by right class (rows) and given class (columns).

    Args:
        given: Class of each pixel, 0 … classes − 1.
        right: The same; negative where nothing is known, which is left out.
        classes: How many classes there are.
    """
    known = right >= 0
    places = right[known].astype(np.int64) * classes + given[known]
    return {"confusion": np.bincount(places, minlength=classes * classes).reshape(classes, classes).tolist()}


def segmentation_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``oa`` and ``miou`` over all pixels; a class that is neither there nor given does not count.

    Args:
        records: Of `segmentation_record`.
    """
    if not records:
        return {}
    confusion = np.sum([record["confusion"] for record in records], axis=0, dtype=np.int64)
    shared = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - shared
    total = int(confusion.sum())
    if not total:
        return {}
    occurring = union > 0
    return {
        "oa": float(shared.sum() / total),
        "miou": float((shared[occurring] / union[occurring]).mean()),
    }
