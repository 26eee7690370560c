"""A data set's card: what it holds, how it was split, and what was wrong with it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from knowlip.errors import DataError
from knowlip.workspace import Workspace

__all__ = ["DatasetCard"]

NAME = "card.json"


class DatasetCard(BaseModel):
    """What stands beside ``datasets/NAME/``; `jobs.finetune` reads the task and the classes from it.

    Attributes:
        name: The data set.
        task: ``classification``, ``detection``, ``segmentation``, ``retrieval``, ``captioning`` or ``vqa``.
        layout: How it was published, or the data set or scenes it was built from.
        classes: Its classes; of segmentation, code *n* of a mask is class *n* counted from 1.
        counts: How many examples hold each class, or ask each kind of question.
        groups: How many groups there are.
        splits: SHA-256 of each split's file.
        conflicts: Examples with the same pixels and different labels, each with its label.
        set_aside: How many inputs were left out, by reason.
        set_aside_lines: One line of each, the first hundred.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    task: str
    layout: str
    classes: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    groups: int = 0
    splits: dict[str, str] = {}
    conflicts: tuple[tuple[tuple[str, str], ...], ...] = ()
    set_aside: dict[str, int] = {}
    set_aside_lines: tuple[str, ...] = ()

    @property
    def codes(self) -> dict[int, str]:
        """The class of each mask code (segmentation)."""
        return dict(enumerate(self.classes, start=1))

    def write(self, workspace: Workspace) -> None:
        """Publish beside the data set."""
        workspace.write_bytes(self.model_dump_json(indent=2).encode(), "datasets", self.name, NAME)

    @classmethod
    def read(cls, workspace: Workspace, name: str) -> DatasetCard:
        """Read the card of a data set.

        Raises:
            WorkspaceError: It has none.
            DataError: It is damaged.
        """
        data: Any = workspace.read_bytes("datasets", name, NAME)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            where = workspace.uri("datasets", name, NAME)
            raise DataError("is no card", where=where, fix="make the data set again") from error
