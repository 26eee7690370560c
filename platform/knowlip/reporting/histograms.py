"""Histograms side by side, each of several series over the same bins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from knowlip.reporting.drawing import FAINT, SERIES, drawing, inline_svg

__all__ = ["histograms"]

_BINS = 60
_TAIL = 0.5
"""Per cent of the values at each end that are drawn in the outermost bins, so that a few do not flatten the rest."""

Values = npt.NDArray[np.float64]


def histograms(panels: Mapping[str, Mapping[str, Values]], name: str) -> Markup:
    """Draw one panel a quantity, with a line at zero.

    Args:
        panels: For each quantity, its series by label.
        name: Name of the figure, unique in a page.
    """
    shown = {title: series for title, series in panels.items() if any(len(values) for values in series.values())}
    columns = min(2, max(len(shown), 1))
    rows = -(-len(shown) // columns) or 1
    with drawing(4.5 * columns, 2.3 * rows + 0.3) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, (title, series) in zip(axes, shown.items(), strict=False):
            whole = np.concatenate([values for values in series.values() if len(values)])
            low, high = np.percentile(whole, [_TAIL, 100 - _TAIL])
            edges = np.linspace(min(low, 0.0), max(high, 1e-6), _BINS + 1)
            for place, (label, values) in enumerate(series.items()):
                colour = SERIES[place % len(SERIES)]
                held = np.clip(values, edges[0], edges[-1])
                panel.hist(held, bins=edges, histtype="stepfilled", alpha=0.35, color=colour, label=label)
                panel.hist(held, bins=edges, histtype="step", linewidth=1.2, color=colour)
            panel.axvline(0.0, color=FAINT, linewidth=1.0)
            panel.set_title(title)
        for panel in axes[len(shown) :]:
            panel.set_visible(False)
        handles = {
            label: patch for panel in axes for patch, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles) or 1, frameon=False
        )
        return inline_svg(figure, f"Histograms of {', '.join(shown)}", name)
