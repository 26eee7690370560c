"""A data set's card: what it holds, how it was split, and what was wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from knowlip.benchmark.majority import answer_balance, language_floors
from knowlip.errors import DataError
from knowlip.records import SPLITS
from knowlip.workspace import Workspace

__all__ = ["DatasetCard", "describe"]

NAME = "card.json"


class DatasetCard(BaseModel):
    """What stands beside ``datasets/NAME/``; `jobs.finetune` reads the task and the classes from it.

    Attributes:
        name: The data set.
        task: ``classification``, ``detection``, ``segmentation``, ``retrieval``, ``captioning`` or ``vqa``.
        layout: How it was published, or the data set or scenes it was built from.
        classes: Its classes; of segmentation, code *n* of a mask is class *n* counted from 1.
        counts: How many examples hold each class, or ask each kind of question.
        floors: What questions can be answered by without looking (`knowlip.benchmark.majority.language_floors`).
        balance: How evenly the answers to each kind of question are spread.
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
    floors: dict[str, float] = {}
    balance: dict[str, dict[str, float]] = {}
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


def describe(
    workspace: Workspace,
    name: str,
    *,
    task: str,
    layout: str,
    classes: tuple[str, ...] = (),
    splits: Mapping[str, str] | None = None,
) -> tuple[DatasetCard, dict[str, Any]]:
    """Describe a data set by its table.

    Args:
        workspace: Where it lies.
        name: What it is called.
        task: What it is for.
        layout: What it was built from.
        classes: Its classes, where the table does not say them (segmentation).
        splits: SHA-256 of each split's file.

    Returns:
        Its card, and what a closing table says of it.
    """
    columns = ["example_id", "split", "label", "kind", "question", "answer", "boxes", "texts", "group"]
    held = workspace.read_table("datasets", name, columns=columns).to_pydict()
    categories = [box["category"] for boxes in held["boxes"] for box in boxes or ()]
    named = {"classification": held["label"], "vqa": held["kind"], "detection": categories}.get(task, [])
    counts = dict(Counter(named).most_common())
    floors, balance = {}, {}
    if task == "vqa":
        floors = language_floors(held, held="test" if "test" in held["split"] else "val")
        balance = answer_balance(held["kind"], held["answer"])
    if task in ("classification", "detection"):
        classes = tuple(sorted(counts))
    card = DatasetCard(
        name=name,
        task=task,
        layout=layout,
        classes=classes,
        counts=counts,
        floors=floors,
        balance=balance,
        groups=len({group or example for group, example in zip(held["group"], held["example_id"], strict=True)}),
        splits=dict(splits or {}),
    )
    by_split = Counter(held["split"])
    shown: dict[str, Any] = {"examples": len(held["split"]), **{split: by_split[split] for split in SPLITS}}
    if counts:
        column = {"classification": "labels", "vqa": "kinds", "detection": "boxes"}[task]
        shown[column] = ", ".join(f"{label} {number}" for label, number in counts.items())
    if floors:
        shown |= {name: floors[name] for name in ("majority_accuracy", "text_only_accuracy")}
    return card, shown
