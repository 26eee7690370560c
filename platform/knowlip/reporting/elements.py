"""What a report is made of: sections that hold text, tables, figures and picture cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from markupsafe import Markup

__all__ = ["Card", "Cards", "Element", "Figure", "Paragraph", "Section", "Table"]


@dataclass(frozen=True)
class Paragraph:
    """A line or more of text."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a heading; numbers are set right.

    Attributes:
        columns: Names of the columns.
        rows: Values; floats are shown with three significant digits.
        caption: What the table shows.
        folded: Shown only when opened; for long tables.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing as inline SVG.

    Attributes:
        svg: The drawing.
        caption: What it shows.
    """

    kind: ClassVar[str] = "figure"
    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class Card:
    """A picture with what is said about it.

    Attributes:
        title: First line.
        picture: A ``data:`` URI; empty for none.
        facts: Short words under the title.
        texts: Name to text.
        note: A line below.
    """

    title: str
    picture: str = ""
    facts: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Cards:
    """Cards side by side, as many as the page is wide.

    Attributes:
        cards: The cards.
        heading: What they have in common.
        small: Four of them side by side on a wide page, instead of three.
    """

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]
    heading: str = ""
    small: bool = False


Element = Paragraph | Table | Figure | Cards


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: Its heading.
        elements: What it holds, in order.
    """

    title: str
    elements: Sequence[Element]

    @property
    def anchor(self) -> str:
        """Name by which the table of contents points to it."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split())
