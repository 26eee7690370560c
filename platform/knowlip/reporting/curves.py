"""Curves of what a run measured, over its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from knowlip.reporting.drawing import FAINT, SERIES, drawing, inline_svg

__all__ = ["metric_curves"]

Series = list[tuple[int, float]]
_COLUMNS = 3


def metric_curves(metrics: pa.Table, names: Sequence[str], name: str) -> Markup:
    """Draw one small panel a metric; training phases and held-out values in colours of their own.

    Args:
        metrics: Rows of `knowlip.records.METRICS`.
        names: Which metrics, in order.
        name: Name of the figure, unique in a page.
    """
    rows = -(-len(names) // _COLUMNS)
    phases = sorted(
        {phase for phase in metrics["phase"].to_pylist() if phase}, key=lambda phase: (phase in ("test", "val"), phase)
    )
    colours = {phase: SERIES[place % len(SERIES)] for place, phase in enumerate(phases)}
    with drawing(9.0, 2.3 * rows + 0.3) as figure:
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for panel, metric in zip(panels, names, strict=False):
            for phase, points in _series(metrics, metric).items():
                steps, values = zip(*sorted(points), strict=True)
                marker = "o" if len(points) < 25 else None
                panel.plot(
                    steps, values, color=colours[phase], label=phase, marker=marker, markersize=2.5, linewidth=1.4
                )
            panel.set_title(metric)
            panel.grid(visible=True, color=FAINT, linewidth=0.5)
            panel.set_axisbelow(True)
        for panel in panels[len(names) :]:
            panel.set_visible(False)
        handles = {
            label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles) or 1, frameon=False
        )
        figure.supxlabel("optimiser step", fontsize=9)
        return inline_svg(figure, f"Curves of {', '.join(names)}", name)


def _series(metrics: pa.Table, metric: str) -> dict[str, Series]:
    found: dict[str, Series] = defaultdict(list)
    for row in metrics.filter(pc.field("metric") == metric).to_pylist():
        found[row["phase"]].append((row["step"], row["value"]))
    return found
