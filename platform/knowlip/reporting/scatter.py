"""Points of several kinds on one plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from knowlip.reporting.drawing import SERIES, drawing, inline_svg

__all__ = ["scatter"]


def scatter(series: Mapping[str, npt.NDArray[np.float64]], name: str) -> Markup:
    """Draw points (N, 2) by kind; the axes have no unit and are not drawn.

    Args:
        series: Points by label.
        name: Name of the figure, unique in a page.
    """
    with drawing(7.0, 5.4) as figure:
        axes = figure.subplots()
        for place, (label, points) in enumerate(series.items()):
            axes.scatter(points[:, 0], points[:, 1], s=9, color=SERIES[place], alpha=0.7, linewidths=0, label=label)
        axes.set_axis_off()
        figure.legend(loc="outside upper left", ncols=max(len(series), 1), frameon=False)
        return inline_svg(figure, f"Points of {', '.join(series)}", name)
