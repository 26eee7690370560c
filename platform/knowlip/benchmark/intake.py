"""From a published data set to rows of `knowlip.records.EXAMPLES`: examined once, dealt, then written in parts.

Nothing here knows where it runs: `jobs.dataset` maps `examine` and `rows_of` over parts of a listing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.grouping import Seen, conflicts, groups_of
from knowlip.benchmark.layouts import Entry, Faults, Listing, load
from knowlip.benchmark.splits import FrozenSplit, Member, SplitChoice, deal
from knowlip.errors import DataError
from knowlip.records import EXAMPLES

__all__ = ["Dealt", "Examined", "card_of", "deal_examples", "examine", "rows_of"]


_SHOWN = 100
"""Lines of what was set aside that a card keeps."""


@dataclass(frozen=True)
class Examined:
    """What was found in a part of a listing.

    Attributes:
        seen: The examples that can be used.
        holds: Classes of each: its label, the categories of its boxes, or the classes of its pixels.
        faults: What could not be used.
    """

    seen: list[Seen]
    holds: dict[str, list[str]]
    faults: Faults

    def add(self, other: Examined) -> None:
        """Take over what was found in another part."""
        self.seen.extend(other.seen)
        self.holds.update(other.holds)
        self.faults.lines.extend(other.faults.lines)
        self.faults.counts.update(other.faults.counts)


@dataclass(frozen=True)
class Dealt:
    """A data set, dealt.

    Attributes:
        files: The file of each split.
        splits: Split of each example, as the data set's default choice has it.
        groups: Group of each example.
        counts: How many examples hold each class.
    """

    files: dict[str, bytes]
    splits: dict[str, str]
    groups: dict[str, str]
    counts: dict[str, int]


def examine(entries: Sequence[Entry], listing: Listing, *, band: int, skip: bool) -> Examined:
    """Decode entries, hold them against their annotations, and hash them.

    Raises:
        DataError: An entry cannot be used, and ``skip`` is off.
    """
    found = Examined([], {}, Faults(skip))
    for entry in entries:
        try:
            loaded = load(entry, listing.legend, band=band)
        except DataError as error:
            found.faults.add(error)
            continue
        if loaded.codes is not None:
            held = [listing.classes[code - 1] for code in np.unique(loaded.codes[loaded.codes > 0]).tolist()]
        else:
            held = [box.category for box in loaded.boxes or ()] or ([entry.label] if entry.label else [])
        found.holds[entry.name] = held
        found.seen.append(Seen(entry.name, entry.label or "", loaded.digest, loaded.hash, entry.group))
    return found


def deal_examples(listing: Listing, examined: Examined, *, folds: int, seed: int, choice: SplitChoice) -> Dealt:
    """Group and deal the examples, and see that every class is both trained on and tested.

    A class that is not (code ``missing_class``) is set aside with its examples where each has one class; where images
    hold several, it is only counted.

    Raises:
        DataError: There are too few examples, the set was not published with a split that is asked for, or a class is
            missing and nothing is skipped.
    """
    groups, names = groups_of(examined.seen), sorted(examined.holds)
    by_name = {entry.name: entry for entry in listing.entries}
    whole = listing.task != "classification"
    while True:
        files = deal(_members(names, by_name, examined.holds, groups), folds=folds, seed=seed)
        if choice.scheme not in files:
            what = f"the set has no split {choice.scheme!r}"
            raise DataError(what, where="--split.scheme", fix=f"use one of {', '.join(files)}")
        splits = FrozenSplit.parsed(files[choice.scheme]).members(choice)
        missing = _missing(splits, examined.holds)
        examined.faults.extend(missing.values())
        if whole or not missing:
            break
        names = [name for name in names if not missing.keys() & set(examined.holds[name])]
    counts = Counter(label for name in names for label in set(examined.holds[name]))
    return Dealt(files, splits, groups, dict(sorted(counts.items())))


def rows_of(
    entries: Sequence[Entry], listing: Listing, *, band: int, splits: Mapping[str, str], groups: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of entries that have a split."""
    for entry in entries:
        if entry.name in splits:
            row = load(entry, listing.legend, band=band).row()
            yield dict.fromkeys(EXAMPLES.names) | row | {"split": splits[entry.name], "group": groups[entry.name]}


def card_of(
    name: str, layout: str, listing: Listing, examined: Examined, dealt: Dealt, digests: Mapping[str, str]
) -> DatasetCard:
    """Return the card of a data set that was read from a folder.

    Args:
        name: What it is called.
        layout: How it was published.
        listing: What the folder holds.
        examined: What could be used of it.
        dealt: How it was dealt.
        digests: SHA-256 of each split's file.
    """
    occurring = tuple(label for label in listing.classes if dealt.counts.get(label))
    return DatasetCard(
        name=name,
        task=listing.task,
        layout=layout,
        classes=listing.classes if listing.task == "segmentation" else occurring,
        counts=dealt.counts,
        groups=len({dealt.groups[name] for name in dealt.splits}),
        splits=dict(digests),
        conflicts=conflicts(examined.seen) if listing.task == "classification" else (),
        set_aside=dict(examined.faults.counts),
        set_aside_lines=tuple(examined.faults.lines[:_SHOWN]),
    )


def _members(
    names: Sequence[str], entries: Mapping[str, Entry], holds: Mapping[str, Sequence[str]], groups: Mapping[str, str]
) -> list[Member]:
    """Name each example by the rarest class that it holds, so that rare classes are spread."""
    counts = Counter(label for name in names for label in set(holds[name]))
    members = []
    for name in names:
        label = min(holds[name], key=lambda held: (counts[held], held), default="")
        members.append(Member(name, label, groups[name], entries[name].split, entries[name].fold))
    return members


def _missing(splits: Mapping[str, str], holds: Mapping[str, Sequence[str]]) -> dict[str, DataError]:
    """Return an error for each class that is trained on and not tested, or tested and not trained on."""
    there = {
        part: {label for name, split in splits.items() if split == part for label in holds[name]}
        for part in ("train", "test")
    }
    found = {}
    for label in sorted(there["train"] ^ there["test"]):
        part = "test" if label in there["train"] else "train"
        found[label] = DataError(
            f"class {label!r} is missing from {part}",
            where="splits",
            fix="add examples of it in other groups, choose another --split.fold, or --skip-bad",
            code="missing_class",
        )
    return found
