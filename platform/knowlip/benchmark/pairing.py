"""Rows of the benchmark against one another: paired differences on the same held-out examples, over seeds and folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations

import pyarrow as pa

from knowlip.benchmark.held_out import read_records
from knowlip.benchmark.metrics import SCORERS, Record, differences
from knowlip.benchmark.results import FIGURES
from knowlip.records import PAIRED, conform
from knowlip.workspace import Workspace

__all__ = ["pairs_of", "shown_pairs"]


def pairs_of(workspace: Workspace, results: pa.Table) -> pa.Table:
    """Return each later row of `results` less each earlier one, task by task, as rows of `PAIRED`.

    Args:
        workspace: Where the runs lie that the results are of.
        results: Of `knowlip.records.RESULTS`; floors have no run, and are not compared.
    """
    runs: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in results.to_pylist():
        if one["run"] and one["run"] not in runs[one["name"], one["task"], one["data"]][one["row"]]:
            runs[one["name"], one["task"], one["data"]][one["row"]].append(one["run"])
    rows = []
    for (name, task, data), by_row in runs.items():
        groups = _groups(workspace, data)
        held = {row: _records(workspace, found, groups) for row, found in by_row.items()}
        for other, row in combinations(held, 2):
            if held[row] and held[other]:
                found = differences(held[row], held[other], SCORERS[task])[FIGURES[task]]
                rows.append({"name": name, "task": task, "row": row, "other": other, **asdict(found)})
    return conform(pa.Table.from_pylist(rows, schema=PAIRED), PAIRED, where="benchmark/paired.parquet")


def shown_pairs(pairs: pa.Table) -> list[tuple[str, str, str, str, str]]:
    """Return lines of a table: task, figure, which rows, the difference in points, which is better beyond chance."""
    lines = []
    for one in pairs.to_pylist():
        value, low, high = (100 * one[name] for name in ("value", "low", "high"))
        surer = one["row"] if low > 0 else one["other"] if high < 0 else ""
        points = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
        lines.append((one["name"], FIGURES[one["task"]], f"{one['row']} − {one['other']}", points, surer))
    return lines


def _groups(workspace: Workspace, data: str) -> Mapping[str, str]:
    table = workspace.read_table(f"datasets/{data}", columns=["example_id", "group"]).to_pydict()
    return {name: group or name for name, group in zip(table["example_id"], table["group"], strict=True)}


def _records(workspace: Workspace, runs: Sequence[str], groups: Mapping[str, str]) -> list[Record]:
    records = [record for run in runs for record in read_records(workspace, f"runs/{run}")]
    return [{**record, "group": groups[record["example_id"]]} for record in records]
