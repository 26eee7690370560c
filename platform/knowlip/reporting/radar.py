"""Several figures of several models around a circle, as Fig. 1 shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from knowlip.reporting.drawing import FAINT, SERIES, drawing, inline_svg

__all__ = ["radar"]

_LEAST_AXES = 3


def radar(axes: Sequence[str], models: Mapping[str, Sequence[float | None]], name: str) -> Markup:
    """Draw one closed line a model, each axis from 0 at the centre to its own best at the rim.

    Args:
        axes: What is measured, clockwise from the top; three or more.
        models: For each model, one figure an axis; None where it has none.
        name: Name of the figure, unique in a page.
    """
    if len(axes) < _LEAST_AXES:
        raise ValueError(f"a radar needs {_LEAST_AXES} axes")
    best = [max((values[place] or 0.0 for values in models.values()), default=0.0) for place in range(len(axes))]
    angles = [2 * math.pi * place / len(axes) for place in range(len(axes))]
    with drawing(7.0, 5.6) as figure:
        panel: Any = figure.add_subplot(projection="polar")
        panel.set_theta_offset(math.pi / 2)
        panel.set_theta_direction(-1)
        for place, (model, values) in enumerate(models.items()):
            shares = [(value or 0.0) / top if top else 0.0 for value, top in zip(values, best, strict=True)]
            panel.plot([*angles, angles[0]], [*shares, shares[0]], color=SERIES[place % 7], linewidth=1.6, label=model)
        labels = [f"{axis}\n{100 * top:.1f}" for axis, top in zip(axes, best, strict=True)]
        panel.set_xticks(angles, labels)
        panel.set_yticks([0.25, 0.5, 0.75, 1.0], [])
        panel.set_ylim(0.0, 1.05)
        panel.grid(visible=True, color=FAINT, linewidth=0.5)
        panel.spines["polar"].set_color(FAINT)
        figure.legend(loc="outside right upper", frameon=False)
        return inline_svg(figure, f"Figures of {', '.join(models)}: {', '.join(axes)}", name)
