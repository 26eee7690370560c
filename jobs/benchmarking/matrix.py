"""The benchmark's matrix: each row's model fine-tuned on each task, some cells at a time, and what they reached."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.benchmarking.rows import Row
from jobs.benchmarking.simulated import demo_config
from jobs.finetune import FinetuneSettings, finetune
from jobs.train.settings import overlaid
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.pairing import pairs_of
from knowlip.benchmark.results import Cell as Figure
from knowlip.benchmark.results import markdown, matrix, results_of_run
from knowlip.benchmark.splits import SplitChoice
from knowlip.workspace import Workspace

__all__ = ["ARTEFACT", "Case", "Cell", "measured", "publish"]

ARTEFACT = "benchmark"


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


@dataclass(frozen=True)
class Cell:
    """One run of the matrix.

    Attributes:
        case: The task.
        row: What is compared.
        seed: Of the run.
        split: Which frozen split; None for the one of the column ``split``.
    """

    case: Case
    row: Row
    seed: int
    split: SplitChoice | None = None

    @property
    def run(self) -> str:
        """Name of the run."""
        fold = f"-{self.split.scheme}-{self.split.fold}" if self.split else ""
        return f"benchmark-{self.case.name}-{self.row.name}-{self.seed}{fold}"


def measured(
    workspace: Workspace,
    cells: Sequence[Cell],
    *,
    concurrent: int,
    epochs: int,
    tuned: Mapping[str, Any] | None,
    overwrite: bool,
) -> list[pa.Table]:
    """Fine-tune each cell, or read what was finished before; return rows of `knowlip.records.RESULTS` for each.

    A small run is mostly its workers' start, so several at a time are done sooner; each is told its share of the cores,
    and of a GPU.

    Args:
        workspace: Where the data sets lie.
        cells: What is to be run.
        concurrent: How many at a time.
        epochs: Passes over the training split; 0 for each task's own.
        tuned: Settings of `jobs.finetune` for every cell; None takes each task's demo.
        overwrite: Do runs anew that were made with other settings.
    """
    # The last epoch counts: nothing is chosen by the figures that are reported.
    common: dict[str, Any] = {"train": {"keep": "last", "evaluate_every": 1000, "save_every": 1000}}
    threads = max(1, (os.cpu_count() or 1) // concurrent)
    common |= {"scaling": {"workers": 1, "threads": threads, "gpus_per_worker": 1 / concurrent}}
    common |= {"epochs": epochs} if epochs else {}
    pool = ThreadPoolExecutor(concurrent, thread_name_prefix="cell")
    try:
        runs = [pool.submit(_measure, workspace, cell, common, tuned, overwrite=overwrite) for cell in cells]
        return [run.result() for run in runs]
    except Exception:
        pool.shutdown(cancel_futures=True)  # what runs already ends, and need not be done again
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _measure(
    workspace: Workspace, cell: Cell, common: Mapping[str, Any], tuned: Mapping[str, Any] | None, *, overwrite: bool
) -> pa.Table:
    case, row = cell.case, cell.row
    changes = overlaid(common, {"train": {"seed": cell.seed}, "tuning": {"start": row.start}})
    values = overlaid(tuned or demo_config(f"finetune-{case.task}"), {**changes, "task": case.task})
    own = {"data": case.data, "run": cell.run, "checkpoint": row.checkpoint, "workspace": workspace.root}
    own |= {"split": cell.split, "overwrite": overwrite}
    finetune(FinetuneSettings.filled({**values, **own}, where=f"finetune-{case.task}", fix="mend --finetune"))
    known = {"name": case.name, "task": case.task, "data": case.data, "row": row.name, "seed": cell.seed}
    return results_of_run(workspace, cell.run, **known, floors=DatasetCard.read(workspace, case.data).floors)


def publish(workspace: Workspace, results: pa.Table) -> dict[str, dict[str, Figure]]:
    """Write results, how rows differ, and the table; return each task's figure for each row.

    Args:
        workspace: Where to.
        results: Of `knowlip.records.RESULTS`.
    """
    workspace.write_table(results, ARTEFACT, "results.parquet")
    workspace.write_table(pairs_of(workspace, results), ARTEFACT, "paired.parquet")
    figures = matrix(results)
    kinds = dict(zip(results["name"].to_pylist(), results["task"].to_pylist(), strict=True))
    workspace.write_bytes(markdown(figures, kinds).encode(), ARTEFACT, "results.md")
    return figures
