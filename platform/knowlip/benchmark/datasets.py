"""Downstream data sets: rows of `knowlip.records.EXAMPLES` made from tiles, with the corpus's splits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from knowlip.benchmark.content import Content, SceneTruth, from_measurements, from_truth
from knowlip.benchmark.sft import classification, questions
from knowlip.captioning.chain import decode
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import measure
from knowlip.errors import DataError
from knowlip.manifest import digest

__all__ = ["TASKS", "content_of", "examples_of", "shuffled"]

TASKS = ("classification", "vqa")
"""Data sets that can be built."""


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
        task: One of `TASKS`.
        split: The tile's split in the corpus.
        seed: Seed of the data set.
        most: At most so many questions a tile.

    Raises:
        DataError: The task is unknown.
    """
    common = {"tile_id": row["tile_id"], "split": split, "view": row["view"]}
    blank = {"label": None, "question": None, "answer": None, "kind": None}
    if task == "classification":
        label = classification(content)
        if label is not None:
            yield {**blank, **common, "example_id": f"{row['tile_id']}-class", "label": label, "kind": content.source}
    elif task == "vqa":
        for asked in questions(content, tile_id=row["tile_id"], seed=seed, most=most):
            key = digest([row["tile_id"], asked["question"]])[:8]
            yield {**blank, **common, "example_id": f"{row['tile_id']}-{key}", **asked}
    else:
        raise DataError(f"unknown task {task!r}", where="examples", fix=f"use one of {TASKS}")


def shuffled(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Return rows in an order that depends on the seed and on nothing else."""
    rows = sorted(rows, key=lambda row: row["example_id"])
    random.Random(seed).shuffle(rows)
    return rows
