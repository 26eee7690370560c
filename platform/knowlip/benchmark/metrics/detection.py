"""Detection: average precision at an intersection over union of 0.5, averaged over categories (section 4.3, Table 4).

Both steps are pycocotools': boxes are matched image by image, so that a record holds only what the precision-recall
curve needs, and the curves of any selection of records are accumulated from them.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import iou

from knowlip.benchmark.metrics.records import Record

__all__ = ["OVERLAP", "detection_record", "detection_scores", "overlaps"]

OVERLAP = 0.5
"""Intersection over union from which a detection is right."""

MOST_DETECTIONS = 100
"""The likeliest detections of an image and category that count, as in COCO."""


def detection_record(given: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a record of one image: for each category its ``truths`` and the ``scores`` and ``right`` of detections.

    Args:
        given: Detections with ``category``, ``box`` (xmin, ymin, xmax, ymax) and ``score``.
        right: True boxes with ``category`` and ``box``.
    """
    names = sorted({str(one["category"]) for one in (*given, *right)})
    if not names:
        return {"categories": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_image(right, names), _image(given, names), "bbox")
        _fix(evaluation, images=1, categories=len(names))
        evaluation.evaluate()
    categories = {}
    for name, found in zip(names, evaluation.evalImgs, strict=True):
        # A box whose edges are the wrong way round has no area in range: pycocotools leaves it out of account.
        counted = ~found["dtIgnore"][0].astype(bool)
        categories[name] = {
            "truths": len(found["gtIgnore"]),
            "scores": np.array(found["dtScores"], np.float64)[counted].tolist(),
            "right": (found["dtMatches"][0] > 0)[counted].tolist(),
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
    occurring = [parts for parts in pooled.values() if any(part["truths"] for part in parts)]
    if not occurring:
        return {}
    images = max(map(len, occurring))
    evaluation = COCOeval(iouType="bbox")
    _fix(evaluation, images=images, categories=len(occurring))
    # By category and then by image; where an image holds nothing of a category, pycocotools expects none.
    evaluation.evalImgs = [
        _matched(parts[place]) if place < len(parts) else None for parts in occurring for place in range(images)
    ]
    evaluation._paramsEval = copy.deepcopy(evaluation.params)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    found = sum(sum(part["right"]) for parts in occurring for part in parts)
    there = sum(part["truths"] for parts in occurring for part in parts)
    return {"map50": float(evaluation.eval["precision"].mean()), "recall50": found / there}


def overlaps(first_D4: npt.NDArray[np.float64], second_T4: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the intersection over union (D, T) of boxes (xmin, ymin, xmax, ymax)."""
    if not len(first_D4) or not len(second_T4):
        return np.zeros((len(first_D4), len(second_T4)))
    sized = [
        np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64) for boxes in (first_D4, second_T4)
    ]
    share: npt.NDArray[np.float64] = iou(*sized, [False] * len(second_T4))
    return share


def _image(boxes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> COCO:
    """Return one image's boxes as pycocotools holds them."""
    annotations = []
    for number, one in enumerate(boxes, start=1):
        left, top, right, bottom = (float(edge) for edge in one["box"])
        size = [right - left, bottom - top]
        row: dict[str, Any] = {
            "id": number,
            "image_id": 0,
            "category_id": names.index(str(one["category"])),
            "iscrowd": 0,
        }
        row |= {"bbox": [left, top, *size], "area": size[0] * size[1], "score": float(one.get("score", 1.0))}
        annotations.append(row)
    held = COCO()
    held.dataset = {
        "images": [{"id": 0}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": annotations,
    }
    held.createIndex()
    return held


def _fix(evaluation: COCOeval, *, images: int, categories: int) -> None:
    """Set what is evaluated: one overlap, boxes of any size."""
    parameters = evaluation.params
    parameters.imgIds, parameters.catIds = list(range(images)), list(range(categories))
    parameters.iouThrs, parameters.maxDets = np.array([OVERLAP]), [MOST_DETECTIONS]
    parameters.areaRng, parameters.areaRngLbl = [[0.0, float("inf")]], ["all"]


def _matched(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pycocotools keeps of an image and category."""
    return {
        "dtScores": list(part["scores"]),
        "dtMatches": np.array([part["right"]], np.float64).reshape(1, -1),
        "dtIgnore": np.zeros((1, len(part["scores"]))),
        "gtIgnore": np.zeros(part["truths"]),
    }
