"""The benchmark's results: one row a figure with all that made it, and tables of them (section 4, Tables 4 and 6)."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from knowlip.benchmark.held_out import read_figures
from knowlip.benchmark.metrics import Interval
from knowlip.errors import DataError
from knowlip.manifest import Manifest
from knowlip.records import RESULTS, conform
from knowlip.workspace import Workspace

__all__ = ["FIGURES", "FLOORS", "Cell", "markdown", "matrix", "results_of_run"]

FIGURES = {
    "classification": "top1",
    "detection": "map50",
    "segmentation": "miou",
    "retrieval": "retrieval_mean",
    "captioning": "cider",
    "vqa": "accuracy",
}
"""The figure of each task that stands in tables."""

FLOORS = {"majority_accuracy": "most frequent", "text_only_accuracy": "text only"}
"""Held-out figures of a run or a card that need no image, and what they are called as rows."""


@dataclass(frozen=True)
class Cell:
    """A task's figure for one row.

    Attributes:
        mean: Over runs: seeds and folds.
        spread: Standard deviation over runs; 0 for one.
        runs: How many.
        interval: Bootstrap interval of one run's figure; none for several runs, or a floor.
        beaten: The name of a floor that is not beaten; empty where all are, or the cell is one.
    """

    mean: float
    spread: float
    runs: int
    interval: Interval | None = None
    beaten: str = ""

    def __str__(self) -> str:
        """Write per cent, with the spread over runs or one's interval, and a mark where a floor is not beaten."""
        spread = f" ± {100 * self.spread:.1f}" if self.runs > 1 else ""
        if self.interval is not None:
            spread = f" ({100 * self.interval.low:.1f} to {100 * self.interval.high:.1f})"
        return f"{100 * self.mean:.1f}{spread}{' ▼' if self.beaten else ''}"


def results_of_run(
    workspace: Workspace, run: str, *, name: str, task: str, data: str, row: str, seed: int, floors: Mapping[str, float]
) -> pa.Table:
    """Return the held-out figures of a finished run, and the floors, as rows of `RESULTS`.

    Args:
        workspace: Where it lies.
        run: Its name, runs/NAME.
        name: The benchmark's task.
        task: Kind of task.
        data: Its data set.
        row: What was compared.
        seed: Of the run.
        floors: Figures of the data set's card that need no image.

    Raises:
        DataError: The run is not finished.
    """
    manifest = Manifest.read(workspace, f"runs/{run}")
    if manifest is None:
        raise DataError("is not finished", where=workspace.uri("runs", run), fix="run it again: it goes on")
    figures = read_figures(workspace, f"runs/{run}")
    common = {
        "name": name,
        "task": task,
        "data": data,
        "fold": (manifest.settings.get("split") or {}).get("fold"),
        "held_out": manifest.counts.get("test", manifest.counts.get("val")),
        "examples": manifest.inputs.get(f"datasets/{data}"),
        "split": manifest.inputs.get("split"),
        "commit": manifest.code.get("commit"),
        "libraries": json.dumps(manifest.libraries),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "made_at": manifest.made_at,
    }
    own = {
        "row": row,
        "seed": seed,
        "run": run,
        "checkpoint": manifest.inputs.get("checkpoint"),
        "settings": json.dumps(manifest.settings),
        "recipe": manifest.recipe,
        "seconds": manifest.seconds,
    }
    empty = dict.fromkeys(own)
    rows = [
        {**common, **own, "metric": metric, **asdict(figure)}
        for metric, figure in figures.items()
        if metric not in FLOORS
    ]
    known = dict(floors) | {metric: figure.value for metric, figure in figures.items()}
    rows += [
        {**common, **empty, "row": FLOORS[metric], "metric": FIGURES[task], "value": value, "low": None, "high": None}
        for metric, value in known.items()
        if metric in FLOORS
    ]
    return conform(pa.Table.from_pylist(rows, schema=RESULTS), RESULTS, where=f"results of {run}")


def matrix(results: pa.Table, *, figure: Mapping[str, str] = FIGURES) -> dict[str, dict[str, Cell]]:
    """Return the figure of each task for each row, tasks and rows in the order in which they come.

    Args:
        results: Of `RESULTS`.
        figure: Which figure of each kind of task.
    """
    found: dict[str, dict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
    seen: set[tuple[Any, ...]] = set()
    for one in results.to_pylist():
        key = (one["name"], one["row"], one["seed"], one.get("fold"))
        if one["metric"] == figure[one["task"]] and key not in seen:
            seen.add(key)
            low, high = (one["value"] if one[edge] is None else one[edge] for edge in ("low", "high"))
            found[one["name"]][one["row"]].append(Interval(one["value"], low, high))
    return {name: _cells(rows) for name, rows in found.items()}


def _cells(rows: Mapping[str, Sequence[Interval]]) -> dict[str, Cell]:
    means = {row: statistics.mean(one.value for one in found) for row, found in rows.items()}
    floors = {row: mean for row, mean in means.items() if row in FLOORS.values()}
    cells = {}
    for row, found in rows.items():
        values, mean = [one.value for one in found], means[row]
        cells[row] = Cell(
            mean=mean,
            spread=statistics.stdev(values) if len(values) > 1 else 0.0,
            runs=len(values),
            interval=found[0] if len(found) == 1 and found[0].low < found[0].high else None,
            beaten="" if row in floors else next((floor for floor, value in floors.items() if value >= mean), ""),
        )
    return cells


def markdown(cells: Mapping[str, Mapping[str, Cell]], tasks: Mapping[str, str]) -> str:
    """Return a Markdown table, one line a task, the best row of each set bold.

    Args:
        cells: Of `matrix`.
        tasks: Kind of each task.
    """
    rows = _rows(cells)
    lines = [f"| task | figure | {' | '.join(rows)} |", f"|---|---|{'---|' * len(rows)}"]
    for name, held in cells.items():
        compared = [cell.mean for row, cell in held.items() if row not in FLOORS.values()]
        best = max(compared, default=0.0)
        shown = [
            "—" if row not in held else f"**{held[row]}**" if held[row].mean == best else str(held[row]) for row in rows
        ]
        lines.append(f"| {name} | {FIGURES[tasks[name]]} | {' | '.join(shown)} |")
    note = (
        "Per cent; ± over seeds and folds, or one run's 95 % bootstrap interval; ▼ does not beat what needs no image."
    )
    return "\n".join([*lines, "", note, ""])


def _rows(cells: Mapping[str, Mapping[str, Cell]]) -> list[str]:
    """Name the rows in the order in which they come, floors last."""
    names: Iterable[str] = (row for held in cells.values() for row in held)
    ordered = list(dict.fromkeys(names))
    return [row for row in ordered if row not in FLOORS.values()] + [row for row in ordered if row in FLOORS.values()]
