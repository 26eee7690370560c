"""A labelled data set as the loop reads it: its examples, in the split that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from ray.data import Dataset

from jobs.train.data import count, held_in_memory, open_split
from jobs.train.settings import ScalingSettings
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.splits import FrozenSplit, SplitChoice, read_split
from knowlip.errors import DataError
from knowlip.manifest import inputs_digest
from knowlip.records import SPLITS
from knowlip.workspace import Workspace

__all__ = ["Labelled"]

_LABELS = ["example_id", "split", "kind", "label", "answer", "boxes", "mask", "group"]


@dataclass(frozen=True)
class Labelled:
    """``datasets/NAME`` of a workspace.

    Attributes:
        workspace: Where it lies.
        name: The data set.
        choice: Which of its frozen splits; without, the one of the examples' column ``split``.
    """

    workspace: Workspace
    name: str
    choice: SplitChoice | None = None

    @property
    def artefact(self) -> str:
        """Folder below the workspace."""
        return f"datasets/{self.name}"

    @cached_property
    def card(self) -> DatasetCard | None:
        """Its card, where it has one."""
        there = self.workspace.exists(self.artefact, "card.json")
        return DatasetCard.read(self.workspace, self.name) if there else None

    @cached_property
    def frozen(self) -> FrozenSplit | None:
        """The split that was chosen.

        Raises:
            WorkspaceError: The data set has no such split.
            DataError: The split is not what the card says.
        """
        if self.choice is None:
            return None
        known = self.card.splits.get(self.choice.scheme, "") if self.card else ""
        return read_split(self.workspace, self.artefact, self.choice.scheme, sha256=known)

    @cached_property
    def members(self) -> Mapping[str, str] | None:
        """Split of each example, where one was chosen."""
        return self.frozen.members(self.choice) if self.frozen and self.choice else None

    @cached_property
    def labels(self) -> pa.Table:
        """All but the images, with the chosen split in the column ``split``; what it leaves out is not there."""
        table = self.workspace.read_table(self.artefact, columns=_LABELS)
        if self.members is None:
            return table
        sides = [self.members.get(name) for name in table["example_id"].to_pylist()]
        table = table.set_column(table.column_names.index("split"), "split", pa.array(sides, pa.string()))
        return table.filter(table["split"].is_valid())

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """Group of each example that has one."""
        names, groups = (self.labels[column].to_pylist() for column in ("example_id", "group"))
        return {name: group for name, group in zip(names, groups, strict=True) if group}

    def rows(self) -> dict[str, int]:
        """Count the rows of ``train``, and of ``val`` and ``test`` where there are any.

        Raises:
            WorkspaceError: The data set is not there.
            DataError: Nothing is to be trained on.
        """
        if self.members is None:
            found = count(self.workspace, self.artefact, SPLITS)
        else:
            held = self.labels["split"].to_pylist()
            found = {split: held.count(split) for split in SPLITS}
        if not found["train"]:
            raise DataError("has no rows of split 'train'", where=self.workspace.uri(self.artefact), code="empty")
        return {split: rows for split, rows in found.items() if rows}

    def inputs(self) -> dict[str, str]:
        """Return digests of what decides the examples and their split."""
        chosen = {"split": self.frozen.sha256} if self.frozen else {}
        return {**inputs_digest(self.workspace, self.artefact), **chosen}

    def held(self, limit_mb: float) -> bool:
        """Whether it is no larger than a limit."""
        return held_in_memory(self.workspace, self.artefact, limit_mb)

    def open(self, split: str, columns: Sequence[str], scaling: ScalingSettings) -> Dataset:
        """Open a split for the workers."""
        only = None if self.members is None else [name for name, side in self.members.items() if side == split]
        return open_split(self.workspace, self.artefact, split, columns, scaling, only=only)
