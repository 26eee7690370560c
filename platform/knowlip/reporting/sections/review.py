"""What reviewers say of the texts: accuracy by kind, family and scale, and how far they agree (Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from knowlip.captioning.reviewing import Agreement, Tally
from knowlip.records import FAMILIES
from knowlip.reporting.bars import Bar, bars
from knowlip.reporting.elements import Element, Figure, Paragraph, Section, Table

__all__ = ["ACCURACIES", "accuracy_table", "review_sections"]

ACCURACIES = "accuracy"
"""Ending of the files that hold the figures of a sheet."""

_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("reviewer", "group", "kind")]
    + [(name, pa.int64()) for name in ("correct", "wrong", "unsure")]
    + [(name, pa.float64()) for name in ("accuracy", "low", "high")]
)


def accuracy_table(found: Sequence[Tally]) -> pa.Table:
    """Return one row a reviewer, group and kind: numbers of verdicts, accuracy and its Wilson 95 % interval."""
    rows = [
        {name: getattr(tally, name) for name in _SCHEMA.names[:7]}
        | dict(zip(("low", "high"), tally.interval or (None, None), strict=True))
        for tally in found
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def review_sections(found: Sequence[Tally], agreed: Sequence[Agreement], tiles: int) -> list[Section]:
    """Return the accuracy as bars and as a table, and the agreement of reviewers.

    Args:
        found: Tallies, those of the first reviewer (or of all together) first.
        agreed: Agreement of every two reviewers.
        tiles: Tiles on the sheet.
    """
    first = [tally for tally in found if tally.reviewer == found[0].reviewer] if found else []
    elements: list[Element] = [
        Paragraph(
            f"The sheet has {tiles:,} tiles. Whiskers are Wilson's 95 % intervals; texts of which the reviewers are "
            "unsure, or which as many call correct as wrong, count neither way."
        )
    ]
    groups = [group for group in ("all", *FAMILIES) if any(tally.group == group for tally in first)]
    for group in groups:
        if shown := _bars(first, group):
            title = group.replace("_", " ")
            elements.append(Figure(bars({title: shown}, f"accuracy-{group}", limit=1.0)))
    sections = [Section("Accuracy", [*elements, _tallied(found)])]
    if agreed:
        rows = [
            (" and ".join(one.reviewers), one.kind.replace("_", " "), one.both, one.same / one.both, one.kappa)
            for one in agreed
        ]
        columns = ("reviewers", "sub-text", "texts that both judged", "same verdict", "Cohen's kappa")
        sections.append(Section("Agreement", [Table(columns, rows)]))
    return sections


def _bars(tallies: Sequence[Tally], group: str) -> list[Bar]:
    return [
        Bar(tally.kind.replace("_", " "), tally.accuracy, tally.interval)
        for tally in tallies
        if tally.group == group and tally.accuracy is not None
    ]


def _tallied(found: Sequence[Tally]) -> Table:
    columns = ("reviewer", "tiles", "sub-text", "correct", "wrong", "unsure", "accuracy", "from", "to")
    rows = [
        (
            tally.reviewer,
            tally.group.replace("_", " "),
            tally.kind.replace("_", " "),
            tally.correct,
            tally.wrong,
            tally.unsure,
            tally.accuracy,
            *(tally.interval or (None, None)),
        )
        for tally in found
    ]
    return Table(columns, rows)
