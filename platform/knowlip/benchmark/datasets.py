"""Downstream data sets: rows of `knowlip.records.EXAMPLES` made from tiles, or from another data set's annotations."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from knowlip.benchmark.annotations import mask_of, targets_of
from knowlip.benchmark.content import Content, SceneTruth, from_annotations, from_measurements, from_truth
from knowlip.benchmark.sft import TARGET_CLASSES, captions, classification, questions
from knowlip.captioning.chain import decode
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import measure
from knowlip.errors import DataError
from knowlip.manifest import digest
from knowlip.records import EXAMPLES
from knowlip.tiling.encoding import decode_png, encode_png

__all__ = ["ANNOTATED", "LANGUAGE", "TASKS", "annotated", "content_of", "examples_of", "shuffled", "spoken_of"]

LANGUAGE = ("retrieval", "captioning", "vqa")
"""Data sets of images with texts."""

ANNOTATED = ("detection", "segmentation")
"""Data sets that need exact truth."""

TASKS = ("classification", *ANNOTATED, *LANGUAGE)
"""Data sets that can be built from tiles."""


def content_of(row: Mapping[str, Any], truth: SceneTruth | None) -> Content:
    """Say what a tile holds, by truth where there is one.

    Args:
        row: A row of `tiles/`.
        truth: Truth of its scene.

    Raises:
        DataError: The tile's image cannot be decoded.
    """
    if truth is not None:
        return from_truth(row, truth)
    facts = TileFacts.from_row(row)
    return from_measurements(facts, measure(decode(row["image"]), facts.gsd_m, up_deg=facts.up_deg))


def examples_of(
    row: Mapping[str, Any], content: Content, *, task: str, split: str, seed: int, most: int
) -> Iterator[dict[str, Any]]:
    """Make the examples of one tile.

    Args:
        row: A row of `tiles/`.
        content: What it holds.
        task: ``classification`` or one of `LANGUAGE`.
        split: The tile's split in the corpus.
        seed: Seed of the data set.
        most: At most so many questions a tile.

    Raises:
        DataError: The task is unknown.
    """
    if task == "classification":
        label = classification(content)
        if label is not None:
            key = f"{row['tile_id']}-class"
            yield _row(row, split, example_id=key, label=label, kind=content.source)
    elif task in LANGUAGE:
        if content.source == "truth" and task != "vqa":
            # Buildings and roads belong to the landform; nobody would count them in a sentence.
            content = replace(content, targets=tuple(one for one in content.targets if one[0] in TARGET_CLASSES))
        for said in _said(content, row["tile_id"], task=task, seed=seed, most=most):
            yield _row(row, split, **said)
    else:
        raise DataError(f"{task!r} is not made from content", where="examples", fix=f"use one of {TASKS}")


def annotated(row: Mapping[str, Any], truth: SceneTruth | None, *, task: str, split: str) -> Iterator[dict[str, Any]]:
    """Make the example of one tile that needs exact truth: its boxes or its mask; nothing where there is none.

    Args:
        row: A row of `tiles/`.
        truth: Truth of its scene.
        task: One of `ANNOTATED`.
        split: The tile's split in the corpus.
    """
    if truth is None:
        return
    shape, key = decode_png(row["view"]).shape, f"{row['tile_id']}-{task}"
    if task == "detection":
        placed = {**row, "shape": decode_png(row["image"]).shape}
        yield _row(row, split, example_id=key, boxes=targets_of(placed, truth, (shape[0], shape[1])))
        return
    codes = mask_of(row, truth, (shape[0], shape[1]))
    if codes is not None:
        yield _row(row, split, example_id=key, mask=encode_png(codes))


def spoken_of(
    row: Mapping[str, Any], classes: Sequence[str], *, task: str, seed: int, most: int
) -> Iterator[dict[str, Any]]:
    """Make language examples from one annotated example: its boxes or its mask.

    Args:
        row: A row of `knowlip.records.EXAMPLES` with ``boxes`` or ``mask``.
        classes: The data set's classes.
        task: One of `LANGUAGE`.
        seed: Seed of the new data set.
        most: At most so many questions an image.
    """
    codes = None if row["mask"] is None else decode_png(row["mask"])
    height, width = (decode_png(row["view"]) if codes is None else codes).shape
    content = from_annotations(row["boxes"] or (), codes, classes, (height, width))
    for said in _said(content, row["example_id"], task=task, seed=seed, most=most):
        yield _row({**row, "tile_id": row["example_id"]}, row["split"], group=row["group"], **said)


def _said(content: Content, name: str, *, task: str, seed: int, most: int) -> Iterator[dict[str, Any]]:
    if task == "vqa":
        for asked in questions(content, tile_id=name, seed=seed, most=most):
            yield {"example_id": f"{name}-{digest([name, asked['question']])[:8]}", **asked}
    elif texts := captions(content, tile_id=name, seed=seed):
        yield {"example_id": f"{name}-{task}", "texts": texts}


def _row(row: Mapping[str, Any], split: str, **columns: Any) -> dict[str, Any]:
    common = {"tile_id": row["tile_id"], "split": split, "view": row["view"]}
    return {**dict.fromkeys(EXAMPLES.names), **common, **columns}


def shuffled(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return rows in an order that depends on the seed and on nothing else."""
    rows = sorted(rows, key=lambda row: row["example_id"])
    random.Random(seed).shuffle(rows)
    return rows
