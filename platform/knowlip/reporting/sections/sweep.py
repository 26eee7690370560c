"""What a sweep tried, and what came of it."""

from __future__ import annotations

import json

import pyarrow as pa

from knowlip.reporting.elements import Element, Figure, Section, Table
from knowlip.reporting.parallel import parallel_coordinates

__all__ = ["sweep_section"]


def sweep_section(trials: pa.Table, metric: str, *, higher_is_better: bool) -> Section:
    """Return the section of a sweep.

    Args:
        trials: Rows of `knowlip.records.TRIALS`.
        metric: By which they were judged.
        higher_is_better: Whether more of it is better.
    """
    rows = [(json.loads(row["settings"]), row) for row in trials.to_pylist()]
    names = sorted({name for settings, _ in rows for name in settings})
    worst = float("-inf") if higher_is_better else float("inf")
    ranked = sorted(rows, key=lambda one: worst if one[1]["value"] is None else one[1]["value"])
    ranked = ranked[::-1] if higher_is_better else ranked
    columns = ("trial", metric, "status", "epoch", "seconds", *names, "error")
    cells = [
        (
            row["trial"],
            row["value"],
            row["status"],
            row["epoch"],
            row["seconds"],
            *(settings.get(name) for name in names),
            row["error"],
        )
        for settings, row in ranked
    ]
    elements: list[Element] = []
    if any(row["value"] is not None for _, row in rows):
        drawn = [(settings, row["value"]) for settings, row in rows]
        picture = parallel_coordinates(drawn, metric, "sweep", higher_is_better=higher_is_better)
        elements.append(Figure(picture, "Each line is a trial; the lighter, the higher it ended. The best is bold."))
    elements.append(Table(columns, cells, "Trials, the best first"))
    return Section("Trials", elements)
