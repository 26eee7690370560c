"""The page: sections poured into the one template."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from numbers import Number
from typing import Any

import jinja2

from knowlip import __version__
from knowlip.reporting.elements import Section

__all__ = ["render"]


def render(title: str, sections: Sequence[Section], *, subtitle: str = "", made_at: datetime | None = None) -> str:
    """Return a report as one HTML file that loads nothing from elsewhere.

    Args:
        title: Heading of the page.
        sections: Its parts, in order.
        subtitle: A line below the heading.
        made_at: Time of making; now by default.
    """
    return _template().render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        version=__version__,
        made_at=(made_at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("knowlip.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["shown"] = _shown
    environment.tests["numeric"] = _is_number
    return environment.get_template("template.html")


def _shown(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)
