"""From matplotlib figures to inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure as Drawing

__all__ = ["FAINT", "HALO", "INK", "SERIES", "drawing", "inline_svg"]

INK = "#010203"
"""Stands for the page's text colour."""
FAINT = "#010204"
"""Stands for the page's colour of lines that should not be noticed."""
SERIES = tuple(f"#0102{number:02x}" for number in range(16, 24))
"""Stand for the page's eight series colours."""
HALO = "halo"
"""A text artist whose ``gid`` starts so is drawn with an outline in the page's colour, to be read over pictures."""

_CSS = {INK: "currentColor", FAINT: "var(--faint)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "knowlip",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def drawing(width_in: float, height_in: float) -> Iterator[Drawing]:
    """Open an empty figure in the reports' style; no window, no global state.

    Args:
        width_in: Width, inches.
        height_in: Height, inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Drawing(figsize=(width_in, height_in), layout="constrained")
        figure.patch.set_alpha(0.0)
        yield figure


def inline_svg(figure: Drawing, label: str, name: str) -> Markup:
    """Return a figure as an ``<svg>`` element that scales with the page.

    Args:
        figure: The figure; drawn with `INK`, `FAINT` and `SERIES`.
        label: What a screen reader says of it.
        name: Prefix of the ids inside; different for every figure of a page.
    """
    stream = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(stream, format="svg", dpi=150, metadata=_NO_METADATA)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    for stand_in, colour in _CSS.items():
        svg = svg.replace(stand_in, colour)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', _head(label), svg, count=1)
    return Markup(svg)  # noqa: S704 (matplotlib escapes the texts that it draws)


def _head(label: str) -> str:
    spoken = str(Markup.escape(label)).replace("\\", "\\\\")
    return (
        r'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" \g<1> role="img"'
        f' aria-label="{spoken}">'
    )
