"""Horizontal bars by name, side by side in panels, with intervals where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from knowlip.reporting.drawing import FAINT, INK, SERIES, drawing, inline_svg

__all__ = ["Bar", "bars"]

_ROW_IN = 0.21


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: What it stands for.
        value: Its length.
        interval: Ends of a whisker, if it has one.
    """

    label: str
    value: float
    interval: tuple[float, float] | None = None


def bars(panels: Mapping[str, Sequence[Bar]], name: str, *, limit: float | None = None) -> Markup:
    """Draw one panel a title, the first bar at the top.

    Args:
        panels: For each title, its bars.
        name: Name of the figure, unique in a page.
        limit: Right end of every panel; by default each panel's own.
    """
    rows = max((len(series) for series in panels.values()), default=1)
    with drawing(9.0, _ROW_IN * rows + 0.8) as figure:
        axes = figure.subplots(1, max(len(panels), 1), squeeze=False).ravel()
        for place, (panel, (title, series)) in enumerate(zip(axes, panels.items(), strict=False)):
            heights = range(len(series), 0, -1)
            panel.barh(heights, [bar.value for bar in series], color=SERIES[place % 7], height=0.7)
            for height, bar in zip(heights, series, strict=True):
                if bar.interval:
                    panel.plot(bar.interval, (height, height), color=INK, linewidth=1.2)
            panel.set_yticks(list(heights), [bar.label for bar in series])
            panel.set_ylim(0.4, rows + 0.6)
            panel.set_xlim(0.0, limit)
            panel.tick_params(axis="y", length=0)
            panel.grid(visible=True, axis="x", color=FAINT, linewidth=0.5)
            panel.set_axisbelow(True)
            panel.set_title(title)
        return inline_svg(figure, f"Bars of {', '.join(panels)}", name)
