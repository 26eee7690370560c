"""Detection: average precision at an intersection over union of 0.5, averaged over categories (section 4.3, Table 4).

Boxes are matched image by image as COCO does, so that a record holds only what the precision-recall curve needs; the
figure agrees with torchmetrics' (COCO's 101 recall points), which a test holds it against.

Shape letters: D detections, T true boxes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from knowlip.benchmark.metrics.records import Record

__all__ = ["OVERLAP", "detection_record", "detection_scores", "overlaps"]

OVERLAP = 0.5
"""Intersection over union from which a detection is right."""

MOST_DETECTIONS = 100
"""The likeliest detections of an image and category that count, as in COCO."""

_RECALLS = np.linspace(0.0, 1.0, 101)


def detection_record(
    given: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]], *, overlap: float = OVERLAP
) -> dict[str, Any]:
    """Return a record of one image: for each category its ``truths`` and the ``scores`` and ``right`` of detections.

    Args:
        given: Detections with ``category``, ``box`` (xmin, ymin, xmax, ymax) and ``score``.
        right: True boxes with ``category`` and ``box``.
        overlap: From which intersection over union a detection is right.
    """
    categories = {}
    for name in sorted({str(one["category"]) for one in (*given, *right)}):
        truths = np.array([one["box"] for one in right if one["category"] == name], np.float64).reshape(-1, 4)
        found = [one for one in given if one["category"] == name]
        found = sorted(found, key=lambda one: -one["score"])[:MOST_DETECTIONS]
        boxes = np.array([one["box"] for one in found], np.float64).reshape(-1, 4)
        categories[name] = {
            "truths": len(truths),
            "scores": [float(one["score"]) for one in found],
            "right": _matched(overlaps(boxes, truths), overlap),
        }
    return {"categories": categories}


def detection_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``map50`` over the categories that occur, and ``recall50``: the share of true boxes that was found.

    Args:
        records: Of `detection_record`.
    """
    pooled: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        for name, part in record["categories"].items():
            pooled[name].append(part)
    precisions, found, there = [], 0, 0
    for parts in pooled.values():
        truths = sum(part["truths"] for part in parts)
        if truths:
            right = np.concatenate([np.array(part["right"], bool) for part in parts])
            scores = np.concatenate([np.array(part["scores"], np.float64) for part in parts])
            precisions.append(_average_precision(scores, right, truths))
            found, there = found + int(right.sum()), there + truths
    return {"map50": float(np.mean(precisions)), "recall50": found / there} if precisions else {}


def overlaps(first_D4: npt.NDArray[np.float64], second_T4: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the intersection over union (D, T) of boxes (xmin, ymin, xmax, ymax)."""
    low = np.maximum(first_D4[:, None, :2], second_T4[None, :, :2])
    high = np.minimum(first_D4[:, None, 2:], second_T4[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1) for boxes in (first_D4, second_T4)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    share: npt.NDArray[np.float64] = shared / np.maximum(union, 1e-12)
    return share


def _matched(overlap_DT: npt.NDArray[np.float64], least: float) -> list[bool]:
    """Give each detection, the likeliest first, the free true box that it covers best."""
    free = np.ones(overlap_DT.shape[1], bool)
    right = []
    for row in overlap_DT:
        candidates = np.where(free, row, -1.0)
        best = int(candidates.argmax()) if len(candidates) else -1
        hit = best >= 0 and bool(candidates[best] >= least)
        if hit:
            free[best] = False
        right.append(hit)
    return right


def _average_precision(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], truths: int) -> float:
    order = np.argsort(-scores, kind="mergesort")
    hits = np.cumsum(right[order])
    if not len(hits):
        return 0.0
    recall = hits / truths
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(places < len(envelope), envelope[np.minimum(places, len(envelope) - 1)], 0.0).mean())
