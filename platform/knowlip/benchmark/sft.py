"""Language and class data built from what images hold: labels, captions, and questions with answers (4.4, Fig. 13).

Captions say category, quantity and place of the targets, in five sentence templates. Questions about objects: how many,
which, and in which region of the nine-grid; about land cover: the main landform, all landforms, and the landform of a
region. Everything is drawn from a seed and the image's id.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from knowlip.benchmark.content import LEAST_SHARE, Content
from knowlip.captioning.positions import region_name
from knowlip.captioning.wording import counted, joined, plural, spoken

__all__ = ["KINDS", "TARGET_CLASSES", "captions", "classification", "questions"]

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
_CAPTIONS = (
    "This SAR image shows {placed}.",
    "There {are} {things} in this radar image: {where}.",
    "{placed} can be seen.",
    "The number of targets is {total}: {placed}.",
    "Region by region, the image holds: {by_region}.",
)


def classification(content: Content) -> str | None:
    """Return the class of a tile: its most frequent target class, else its main landform; nothing if it has neither."""
    counts = {kind: number for kind, number in content.counts.items() if kind in TARGET_CLASSES}
    if counts:
        return max(counts, key=lambda kind: (counts[kind], -TARGET_CLASSES.index(kind)))
    return content.landforms[0][0] if content.landforms else None


def captions(content: Content, *, tile_id: str, seed: int) -> list[str]:
    """Describe the targets of an image in five sentences that say the same; nothing where there are none.

    Args:
        content: What it holds.
        tile_id: The image, which with the seed decides the order of the sentences.
        seed: Seed of the data set.
    """
    if not content.targets:
        return []
    counts, regions = content.counts, _regions(content)
    fields = {
        "placed": joined([f"{counted(n, kind)} in the {joined(regions[kind])}" for kind, n in counts.items()]),
        "things": joined([counted(number, kind) for kind, number in counts.items()]),
        "where": "; ".join(f"{kind} in the {joined(regions[kind])}" for kind in counts),
        "are": "is" if next(iter(counts.values())) == 1 else "are",
        "total": spoken(len(content.targets)),
        "by_region": "; ".join(_region_by_region(content)),
    }
    texts = [template.format_map(fields) for template in _CAPTIONS]
    random.Random(f"{seed}:{tile_id}").shuffle(texts)
    return [text[:1].upper() + text[1:] for text in texts]


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
            yield "count", plural(kind), str(counts.get(kind, 0))
    if content.categories or content.source != "annotated":
        # Masks say nothing about targets.
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
    usual = content.categories or ("aircraft", "ship" if content.source == "truth" else "vessel")
    absent = [kind for kind in usual if kind not in counts]
    nothing_said = content.source == "annotated" and not content.categories
    return [*counts, *([] if nothing_said else absent[:1])]


def _regions(content: Content) -> dict[str, list[str]]:
    """Return the regions of each category, by name, in the order of their numbers."""
    kinds = {kind for kind, _ in content.targets}
    return {
        kind: [region_name(number) for number in sorted({spot for held, spot in content.targets if held == kind})]
        for kind in kinds
    }


def _region_by_region(content: Content) -> Iterator[str]:
    held = Counter(content.targets)
    for spot in sorted({region for _, region in content.targets}):
        here = [counted(held[kind, spot], kind) for kind in content.counts if held[kind, spot]]
        yield f"in the {region_name(spot)} {joined(here)}"
