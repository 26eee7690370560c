"""Which examples are one observation: near-identical pictures, found as tiling finds repeats; and labels that clash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from knowlip.tiling.duplicates import DuplicateSettings, find_duplicates

__all__ = ["Seen", "conflicts", "groups_of"]


@dataclass(frozen=True)
class Seen:
    """What grouping needs to know of an example.

    Attributes:
        example_id: The example.
        label: Its class, or empty.
        digest: SHA-256 of its pixels.
        hash: Its perceptual hash.
        group: Its group as far as the source says; empty otherwise.
    """

    example_id: str
    label: str
    digest: str
    hash: int
    group: str = ""


def groups_of(seen: Iterable[Seen]) -> dict[str, str]:
    """Return the group of each example: the source's where it gives one, else by perceptual hashes."""
    examples = sorted(seen, key=lambda one: one.example_id)
    found = {one.example_id: f"g{one.group}" for one in examples if one.group}
    rows = [
        {"tile_id": one.example_id, "scale": "", "series": "", "geometry": None, "hash": one.hash}
        for one in examples
        if not one.group
    ]
    repeats = find_duplicates(rows, DuplicateSettings()).to_pydict() if rows else {"tile_id": [], "duplicate_of": []}
    first: Mapping[str, str] = dict(zip(repeats["tile_id"], repeats["duplicate_of"], strict=True))
    return {one.example_id: found.get(one.example_id) or first.get(one.example_id, one.example_id) for one in examples}


def conflicts(seen: Iterable[Seen]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Return the examples that have the same pixels and different labels, each with its label."""
    same: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        same[one.digest].append(one)
    clashing = [held for held in same.values() if len({one.label for one in held}) > 1]
    return tuple(sorted(tuple(sorted((one.example_id, one.label) for one in held)) for held in clashing))
