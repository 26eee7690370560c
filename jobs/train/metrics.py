"""What a run measured: a Parquet file an epoch (a killed epoch leaves none), a table a run, TensorBoard beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch.utils.tensorboard import SummaryWriter

from knowlip.records import METRICS, conform
from knowlip.workspace import Workspace

__all__ = ["MetricsLog", "collect", "held_out"]

_PARTS = "_metrics"


class MetricsLog:
    """The figures of one phase of a run, written epoch by epoch by one worker.

    Args:
        workspace: Where the run lies.
        run: Folder of the run.
        phase: Name of the training phase.
    """

    def __init__(self, workspace: Workspace, run: str, phase: str) -> None:
        self._workspace, self._run, self._phase = workspace, run, phase
        self._rows: list[dict[str, Any]] = []
        self._folder = Path(tempfile.mkdtemp(prefix="knowlip-events-"))

    def add(self, figures: Mapping[str, float], *, epoch: int, step: int, phase: str = "") -> None:
        """Note figures at a step; ``phase`` is ``val`` or ``test`` for held-out ones."""
        for metric, value in figures.items():
            place = {"phase": phase or self._phase, "epoch": epoch, "step": step}
            self._rows.append({**place, "metric": metric, "value": float(value)})

    def flush(self, epoch: int) -> None:
        """Publish an epoch's figures; done again after a crash, it replaces them."""
        name = f"{self._phase}-{epoch:05d}"
        table = pa.Table.from_pylist(self._rows, schema=METRICS)
        self._workspace.write_table(conform(table, METRICS, where=name), self._run, _PARTS, f"{name}.parquet")
        self._publish_events(name)
        self._rows = []

    def close(self) -> None:
        """Remove the temporary files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _publish_events(self, name: str) -> None:
        """Write the epoch as one TensorBoard event file, whole, so that object stores hold it too."""
        with SummaryWriter(str(self._folder / name), filename_suffix=f".{name}") as writer:
            for row in self._rows:
                writer.add_scalar(f"{_board(row)}/{row['metric']}", row["value"], row["step"])
        for old in self._workspace.files(self._run, "tensorboard", suffix=f".{name}"):
            self._workspace.delete(self._run, "tensorboard", old)
        self._workspace.write_folder(self._folder / name, self._run, "tensorboard")


def collect(
    workspace: Workspace, run: str, floors: Mapping[str, float] | None = None, *, split: str = "val"
) -> pa.Table:
    """Gather the epochs of a run into ``metrics.parquet`` and return them, in the order of the steps.

    Args:
        workspace: Where the run lies.
        run: Folder of the run.
        floors: Held-out figures that no training was needed for, such as the most frequent answer's.
        split: The split that they were counted on.
    """
    table = conform(workspace.read_table(run, _PARTS), METRICS, where=f"{run}/metrics.parquet")
    place = {"phase": split, "epoch": 0, "step": 0}
    rows = [{**place, "metric": metric, "value": value} for metric, value in (floors or {}).items()]
    table = pa.concat_tables([pa.Table.from_pylist(rows, schema=METRICS), table])
    table = table.sort_by([("step", "ascending"), ("phase", "ascending"), ("metric", "ascending")])
    workspace.write_table(table, run, "metrics.parquet")
    return table


def held_out(metrics: pa.Table, names: Sequence[str]) -> dict[str, float]:
    """Return the last value on the held-out split of each of some metrics that were measured."""
    values = {row["metric"]: row["value"] for row in metrics.to_pylist() if row["phase"] == "val"}
    return {name: values[name] for name in names if name in values}


def _board(row: Mapping[str, Any]) -> str:
    return row["phase"] if row["phase"] in ("val", "test") else "train"
