"""Language and class data built from what tiles hold: labels, and questions with answers (section 4.4, Fig. 13).

From objects: how many, which, and in which region of the nine-grid. From land cover: the main landform, all landforms,
and the landform of a region. Everything is drawn from a seed and the tile's id.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from knowlip.benchmark.content import LEAST_SHARE, Content

__all__ = ["KINDS", "TARGET_CLASSES", "classification", "questions"]

TARGET_CLASSES = ("aircraft", "ship", "vessel", "storage tank", "crane", "bridge")
"""What makes the class of a tile when it is there, rarest first; buildings and roads belong to the landform."""

KINDS = ("count", "category", "region", "main_landform", "landforms", "region_landform")
"""The six kinds of question (Table 7)."""

MOST_COUNTED = 20
"""Larger numbers are not asked for: nobody counts them."""

_WORDINGS = {
    "count": ("How many {what} are there?", "What is the number of {what}?", "Count the {what} in this image."),
    "category": ("Which kinds of targets are visible?", "What targets does this image show?"),
    "region": (
        "In which region of the nine-grid is the {what}?",
        "Which of the nine regions, numbered row by row, holds the {what}?",
    ),
    "main_landform": ("What is the main landform?", "Which land cover dominates this image?"),
    "landforms": ("Which landforms are present?", "List the land covers of this image."),
    "region_landform": (
        "What is the landform in region {what}?",
        "Which land cover fills region {what} of the nine-grid?",
    ),
}
_PLURALS = {"aircraft": "aircraft"}


def classification(content: Content) -> str | None:
    """Return the class of a tile: its most frequent target class, else its main landform; nothing if it has neither."""
    counts = {kind: number for kind, number in content.counts.items() if kind in TARGET_CLASSES}
    if counts:
        return max(counts, key=lambda kind: (counts[kind], -TARGET_CLASSES.index(kind)))
    return content.landforms[0][0] if content.landforms else None


def questions(content: Content, *, tile_id: str, seed: int, most: int) -> list[dict[str, Any]]:
    """Ask about a tile.

    Args:
        content: What it holds.
        tile_id: The tile, which with the seed decides what is asked and how.
        seed: Seed of the data set.
        most: At most so many questions, of different kinds as far as there are.

    Returns:
        Mappings with ``question``, ``answer`` and ``kind``.
    """
    rng = random.Random(f"{seed}:{tile_id}")
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for kind, what, answer in _askable(content):
        by_kind.setdefault(kind, []).append((what, answer))
    asked: list[dict[str, Any]] = []
    while by_kind and len(asked) < most:
        for kind in rng.sample(sorted(by_kind), len(by_kind)):
            choices = by_kind[kind]
            what, answer = choices.pop(rng.randrange(len(choices)))
            if not choices:
                del by_kind[kind]
            wording = rng.choice(_WORDINGS[kind]).format(what=what)
            asked.append({"question": wording, "answer": answer, "kind": kind})
    return asked[:most]


def _askable(content: Content) -> Iterator[tuple[str, str, str]]:
    """Yield every (kind, what, answer) that the content gives."""
    counts = content.counts
    for kind in _asked_about(content, counts):
        if counts.get(kind, 0) <= MOST_COUNTED:
            yield "count", _PLURALS.get(kind, f"{kind}s"), str(counts.get(kind, 0))
    yield "category", "", ", ".join(sorted(counts)) or "none"
    for kind, region in content.targets:
        if counts[kind] == 1:
            yield "region", kind, str(region)
    present = [name for name, share in content.landforms if share >= LEAST_SHARE]
    if present:
        yield "main_landform", "", present[0]
        yield "landforms", "", ", ".join(sorted(present))
    for region, name in content.region_landforms.items():
        yield "region_landform", str(region), name


def _asked_about(content: Content, counts: Mapping[str, int]) -> list[str]:
    """What is there, and one thing that could be and is not, so that zero is an answer too."""
    usual = ("aircraft", "ship") if content.source == "truth" else ("aircraft", "vessel")
    absent = [kind for kind in usual if kind not in counts]
    return [*counts, *absent[:1]]
