"""Frozen splits: who is trained on and who is tested, dealt once, kept as a file, known by its SHA-256.

Two ways to deal, always both: ``random``, five folds of single examples (4:1, as the paper), and ``grouped``, five
folds that keep near duplicates and examples of one place together. A set that was published with a split has
``published`` too. A file holds, of each example, its fold and its *rank*, both drawn from the seed: the lowest ranks of
the training part validate, and a label fraction takes the next ones, so that 10 % lie within 20 %.
"""

from __future__ import annotations

import hashlib
import json
import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from knowlip.errors import DataError
from knowlip.settings import Section
from knowlip.workspace import Workspace

__all__ = [
    "SCHEMES",
    "FrozenSplit",
    "Member",
    "Scheme",
    "SplitChoice",
    "deal",
    "derived",
    "in_turn",
    "read_split",
    "write_split",
]

Scheme = Literal["random", "grouped", "published"]
SCHEMES: tuple[Scheme, ...] = ("random", "grouped", "published")

FOLDER = "_splits"


class SplitChoice(Section):
    """Which of a data set's frozen splits is used, and how much of it."""

    scheme: Scheme = "grouped"
    """`grouped` (near duplicates stay together), `random` (as the paper; it leaks), or `published`."""

    fold: int = Field(0, ge=0)
    """Which fold is tested."""

    val_share: float = Field(0.1, ge=0, lt=1)
    """Share of the training part that validates."""

    label_fraction: float = Field(1.0, gt=0, le=1)
    """Share of the rest that is trained on (0.2 for SAR-AIRcraft in the paper)."""


@dataclass(frozen=True)
class Member:
    """What dealing needs to know of an example.

    Attributes:
        example_id: The example.
        label: Its class; of images with several, what is rarest in it; empty where there is none.
        group: What it must not be parted from.
        split: The split it was published in, or none.
        fold: The group fold it was published in, or none.
    """

    example_id: str
    label: str
    group: str
    split: str | None = None
    fold: int | None = None


@dataclass(frozen=True)
class FrozenSplit:
    """A split of a data set.

    Attributes:
        scheme: One of `SCHEMES`.
        folds: How many there are; 0 for ``published``.
        parts: Fold of each example; of ``published`` its split's name.
        ranks: Rank of each example, from 0 up to 1; a group has one.
        sha256: Of the file.
    """

    scheme: str
    folds: int
    parts: Mapping[str, int | str]
    ranks: Mapping[str, float]
    sha256: str

    @classmethod
    def parsed(cls, data: bytes) -> FrozenSplit:
        """Read a split's file."""
        held = json.loads(data)
        names = held["examples"]
        parts, ranks = dict(zip(names, held["parts"], strict=True)), dict(zip(names, held["ranks"], strict=True))
        return cls(held["scheme"], int(held["folds"]), parts, ranks, hashlib.sha256(data).hexdigest())

    def members(self, choice: SplitChoice) -> dict[str, str]:
        """Return the split of each example: ``train``, ``val`` or ``test``; what no fraction takes is left out.

        Args:
            choice: The fold that is tested, and the shares; its scheme is not looked at.

        Raises:
            DataError: There is no such fold, or a split is empty (code ``empty_split``).
        """
        if self.folds and choice.fold >= self.folds:
            raise DataError(
                f"has no fold {choice.fold}", where=f"split {self.scheme}", fix=f"use 0 to {self.folds - 1}"
            )
        found = {name: self._side(part, choice.fold) for name, part in self.parts.items()}
        ordered = sorted((name for name in found if found[name] == "train"), key=lambda name: self.ranks[name])
        val_share = 0.0 if "val" in found.values() else choice.val_share
        held, rest = self._cut(ordered, val_share)
        _, left = self._cut(rest, choice.label_fraction)
        found |= dict.fromkeys(held, "val")
        for name in left:
            del found[name]
        counts = Counter(found.values())
        wanted = ("train", "test") if val_share == 0.0 else ("train", "val", "test")
        empty = [split for split in wanted if not counts[split]]
        if empty:
            raise DataError(
                f"{empty[0]} is empty ({dict(counts)})",
                where=f"split {self.scheme}",
                fix="add examples, or change --split",
                code="empty_split",
            )
        return found

    @staticmethod
    def _side(part: int | str, fold: int) -> str:
        if isinstance(part, str):
            return part
        return "test" if part == fold else "train"

    def _cut(self, ordered: Sequence[str], share: float) -> tuple[list[str], list[str]]:
        """Cut off the first share of some examples, at least one if any, between two ranks."""
        place = round(share * len(ordered)) or (1 if share else 0)
        while 0 < place < len(ordered) and self.ranks[ordered[place]] == self.ranks[ordered[place - 1]]:
            place += 1
        return list(ordered[:place]), list(ordered[place:])


def deal(members: Sequence[Member], *, folds: int, seed: int) -> dict[str, bytes]:
    """Deal the examples of a data set in every way that it offers.

    Args:
        members: Its examples.
        folds: How many folds; one of them is tested, so 5 gives 4:1.
        seed: Draws folds and ranks.

    Returns:
        The file of each scheme.

    Raises:
        DataError: There are fewer examples or groups than folds (code ``empty_split``).
    """
    ordered = sorted(members, key=lambda member: member.example_id)
    groups = len({member.group for member in ordered})
    if min(groups, len(ordered)) < folds:
        raise DataError(
            f"{len(ordered)} examples in {groups} groups cannot be dealt to {folds} folds",
            where="splits",
            fix="add examples, or lower --folds",
            code="empty_split",
        )
    alone = [Member(one.example_id, one.label, one.example_id) for one in ordered]
    files = {
        "random": _file("random", folds, seed, alone, _folds(alone, folds, seed)),
        "grouped": _file("grouped", folds, seed, ordered, _published_folds(ordered) or _folds(ordered, folds, seed)),
    }
    if any(one.split for one in ordered):
        parts = [one.split or "train" for one in ordered]
        files["published"] = _file("published", 0, seed, ordered, parts)
    return files


def write_split(workspace: Workspace, artefact: str, scheme: str, data: bytes) -> str:
    """Publish a split's file beside the data set and return its SHA-256."""
    workspace.write_bytes(data, artefact, FOLDER, f"{scheme}.json")
    return hashlib.sha256(data).hexdigest()


def in_turn(choice: SplitChoice | None, folds: int) -> list[SplitChoice | None]:
    """Return the same choice with each of the first folds tested in turn; of none, the choice as it is."""
    chosen = choice or SplitChoice()
    return [chosen.model_copy(update={"fold": fold}) for fold in range(folds)] or [choice]


def derived(split: FrozenSplit, owners: Mapping[str, str]) -> bytes:
    """Return the file of a split that new examples inherit from those that they were made from.

    Args:
        split: Of the data set that they were made from.
        owners: The example that each new one was made from.
    """
    names = sorted(name for name, owner in owners.items() if owner in split.parts)
    held: dict[str, Any] = {"scheme": split.scheme, "folds": split.folds, "from": split.sha256, "examples": names}
    held |= {"parts": [split.parts[owners[name]] for name in names]}
    held |= {"ranks": [split.ranks[owners[name]] for name in names]}
    return json.dumps(held, separators=(",", ":")).encode()


def read_split(workspace: Workspace, artefact: str, scheme: str, *, sha256: str = "") -> FrozenSplit:
    """Read a split.

    Args:
        workspace: Where the data set lies.
        artefact: Its folder (``datasets/NAME``).
        scheme: One of `SCHEMES`.
        sha256: What the file must be; not looked at when empty.

    Raises:
        WorkspaceError: The data set has no such split.
        DataError: The file is another than it was.
    """
    data = workspace.read_bytes(artefact, FOLDER, f"{scheme}.json")
    found = hashlib.sha256(data).hexdigest()
    where = workspace.uri(artefact, FOLDER, f"{scheme}.json")
    if sha256 and sha256 != found:
        raise DataError(
            f"was changed: its SHA-256 is {found[:12]}… and was {sha256[:12]}…", where=where, fix="restore it"
        )
    return FrozenSplit.parsed(data)


def _file(scheme: str, folds: int, seed: int, members: Sequence[Member], parts: Sequence[int | str]) -> bytes:
    ranks = _ranks(members, seed)
    held: dict[str, Any] = {"scheme": scheme, "folds": folds, "seed": seed}
    held |= {"examples": [one.example_id for one in members], "parts": list(parts), "ranks": ranks}
    return json.dumps(held, separators=(",", ":")).encode()


def _published_folds(members: Sequence[Member]) -> list[int]:
    """Return the folds that the set came with, if every example has one."""
    folds = [one.fold for one in members if one.fold is not None]
    return folds if len(folds) == len(members) else []


def _folds(members: Sequence[Member], folds: int, seed: int) -> list[int]:
    """Deal to folds so that groups stay together and classes are spread."""
    labels = np.array([one.label for one in members])
    groups = np.array([one.group for one in members])
    grouped = len(set(groups.tolist())) < len(members)
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    # Classes are numbered before, so that how labels are spelt never moves anything.
    _, numbers = np.unique(labels, return_inverse=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        dealt = kind(n_splits=folds, shuffle=True, random_state=seed).split(
            numbers, _splittable(numbers, folds), groups if grouped else None
        )
        found = np.zeros(len(members), np.int64)
        for fold, (_, held) in enumerate(dealt):
            found[held] = fold
    return [int(fold) for fold in found]


def _splittable(numbers: np.ndarray, folds: int) -> np.ndarray:
    """Treat all as one class where no class has an example for each fold; scikit-learn refuses such."""
    return numbers if np.bincount(numbers).max() >= folds else np.zeros_like(numbers)


def _ranks(members: Sequence[Member], seed: int) -> list[float]:
    """Rank the groups so that any first share of them holds every class in its proportion, as far as it can.

    Members of a group share their rank, so that no share parts it.
    """
    by_label: dict[str, list[str]] = defaultdict(list)
    for group, label in _majority(members).items():
        by_label[label].append(group)
    places: dict[str, float] = {}
    for label, groups in by_label.items():
        rng = random.Random(f"{seed}:{label}")
        order = sorted(groups)
        rng.shuffle(order)
        start = rng.random()
        places |= {group: (place + start) / len(order) for place, group in enumerate(order)}
    number = {group: place for place, group in enumerate(sorted(places, key=lambda group: (places[group], group)))}
    return [round(number[one.group] / len(number), 6) for one in members]


def _majority(members: Sequence[Member]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in members:
        counts[one.group][one.label] += 1
    return {group: min(held, key=lambda label: (-held[label], label)) for group, held in counts.items()}
