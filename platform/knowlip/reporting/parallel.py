"""Parallel coordinates: one axis a setting, one line a trial, coloured by what it reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from knowlip.reporting.drawing import FAINT, INK, drawing, inline_svg

__all__ = ["parallel_coordinates"]

Row = tuple[Mapping[str, Any], float | None]


def parallel_coordinates(rows: Sequence[Row], metric: str, name: str, *, higher_is_better: bool = True) -> Markup:
    """Draw trials.

    Args:
        rows: Settings of each trial, and what it reached; nothing where it failed.
        metric: What that is.
        name: Name of the figure, unique in a page.
        higher_is_better: The best lines lie on top.
    """
    reached = [(settings, value) for settings, value in rows if value is not None and math.isfinite(value)]
    reached.sort(key=lambda row: row[1] if higher_is_better else -row[1])
    names = sorted({key for settings, _ in rows for key in settings})
    axes = [_Axis([settings.get(key) for settings, _ in reached]) for key in names]
    axes.append(_Axis([value for _, value in reached]))
    colours = mpl.colormaps["viridis"]
    with drawing(max(5.0, 2.0 * len(axes)), 3.6) as figure:
        panel = figure.subplots()
        panel.set_axis_off()
        for place, (axis, label) in enumerate(zip(axes, [*names, metric], strict=True)):
            panel.plot([place, place], [0, 1], color=FAINT, linewidth=1)
            panel.text(place, 1.07, label, ha="center", va="bottom", color=INK)
            for height, text in axis.ticks:
                panel.text(place - 0.03, height, text, ha="right", va="center", color=INK, fontsize=7)
        for number, (settings, value) in enumerate(reached):
            values = [*(settings.get(key) for key in names), value]
            heights = [axis.height(one) for axis, one in zip(axes, values, strict=True)]
            share = axes[-1].height(value)
            top = number == len(reached) - 1
            panel.plot(range(len(axes)), heights, color=colours(share), linewidth=2.4 if top else 1.2, alpha=0.9)
        panel.set_xlim(-0.5, len(axes) - 0.7)
        panel.set_ylim(-0.05, 1.2)
        return inline_svg(figure, f"{len(reached)} trials over {', '.join(names)} and {metric}", name)


class _Axis:
    """Where values lie between 0 and 1: numbers by size (by their logarithm over two decades), others in their order.

    Args:
        values: All of the axis.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        there = [value for value in values if value is not None]
        self._numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
        if not self._numeric:
            self._order = sorted({str(value) for value in there})
            last = max(1, len(self._order) - 1)
            self.ticks = [(place / last, text) for place, text in enumerate(self._order)]
            return
        low, high = (min(there), max(there)) if there else (0.0, 1.0)
        self._log = low > 0 and high / low >= 100
        self._low, self._high = self._scaled(low), self._scaled(high)
        self.ticks = [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")] if high > low else [(0.5, f"{low:.3g}")]

    def height(self, value: Any) -> float:
        """Return where a value lies; nothing is drawn where there is none."""
        if value is None:
            return math.nan
        if not self._numeric:
            return self._order.index(str(value)) / max(1, len(self._order) - 1)
        if self._high == self._low:
            return 0.5
        return (self._scaled(value) - self._low) / (self._high - self._low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else float(value)
