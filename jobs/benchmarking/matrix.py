"""One cell of the benchmark: a row's model fine-tuned on a task, and what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.benchmarking.simulated import demo_config
from jobs.finetune import FinetuneSettings, finetune
from jobs.train.settings import overlaid
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.results import results_of_run
from knowlip.benchmark.splits import SplitChoice
from knowlip.workspace import Workspace

__all__ = ["Case", "measure"]


@dataclass(frozen=True)
class Case:
    """One task on one data set.

    Attributes:
        name: What tables call it.
        task: Its kind.
        data: The data set.
    """

    name: str
    task: str
    data: str


def measure(
    workspace: Workspace,
    case: Case,
    row: str,
    checkpoint: str,
    seed: int,
    *,
    epochs: int,
    split: SplitChoice | None,
    overwrite: bool,
) -> pa.Table:
    """Fine-tune once, or read what was finished before; return rows of `knowlip.records.RESULTS`.

    Args:
        workspace: Where the data set lies.
        case: The task.
        row: What is compared: ``scratch``, a pretrained model's name, or NAME=START.
        checkpoint: The model; only its architecture where the row starts elsewhere.
        seed: Of the run.
        epochs: Passes over the training split; 0 for the task's own.
        split: Which frozen split; None for the one of the column ``split``.
        overwrite: Do runs anew that were made with other settings.
    """
    # The last epoch counts: nothing is chosen by the figures that are reported.
    changes: dict[str, Any] = {"train": {"seed": seed, "keep": "last", "evaluate_every": 1000, "save_every": 1000}}
    changes |= {"scaling": {"workers": 1}, **({"epochs": epochs} if epochs else {})}
    title, _, start = row.partition("=")
    if start or title == "scratch":
        changes["tuning"] = {"start": start or "scratch"}
    values = overlaid(demo_config(f"finetune-{case.task}"), changes)
    name = f"benchmark-{case.name}-{title}-{seed}"
    given = {"data": case.data, "run": name, "checkpoint": checkpoint, "workspace": workspace.root}
    finetune(FinetuneSettings(**values, **given, split=split, overwrite=overwrite))
    known = {"name": case.name, "task": case.task, "data": case.data, "row": title, "seed": seed}
    return results_of_run(workspace, name, **known, floors=DatasetCard.read(workspace, case.data).floors)
