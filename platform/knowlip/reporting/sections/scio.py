"""What SCIO judged to be noise, and what it put in its place."""

from __future__ import annotations

from collections import Counter
from typing import Any

from knowlip.records import SUBTEXTS
from knowlip.reporting.elements import Card, Cards, Element, Section, Table
from knowlip.reporting.sections.overview import subfolders
from knowlip.workspace import Workspace

__all__ = ["scio_section"]

_EXAMPLES = 6


def scio_section(workspace: Workspace) -> Section | None:
    """Return the verdicts of every run that has some, with texts before and after."""
    elements: list[Element] = []
    for run in subfolders(workspace, "runs"):
        if workspace.exists("runs", run, "verdicts.parquet"):
            rows = workspace.read_table("runs", run, "verdicts.parquet").to_pylist()
            elements += [_rounds(run, rows), _kinds(rows), *_examples(rows)]
    return Section("Self-consistent optimisation", elements) if elements else None


def _rounds(run: str, rows: list[dict[str, Any]]) -> Table:
    counts = []
    for number in sorted({row["round"] for row in rows}):
        mine = [row for row in rows if row["round"] == number]
        counts.append((number, len(mine), *_verdicts(mine)))
    return Table(("round", "sub-texts judged", "noise", "rewritten", "accepted"), counts, f"Run {run}")


def _kinds(rows: list[dict[str, Any]]) -> Table:
    judged = Counter(row["subtext"] for row in rows)
    counts = []
    for kind in SUBTEXTS:
        mine = [row for row in rows if row["subtext"] == kind]
        counts.append((kind.replace("_", " "), judged[kind], *_verdicts(mine)))
    return Table(("sub-text", "judged", "noise", "rewritten", "accepted"), counts)


def _verdicts(rows: list[dict[str, Any]]) -> tuple[int, int, int]:
    noise = sum(bool(row["noise"]) for row in rows)
    rewritten = sum(row["reconstruction"] is not None for row in rows)
    return noise, rewritten, sum(bool(row["accepted"]) for row in rows)


def _examples(rows: list[dict[str, Any]]) -> list[Cards]:
    rewritten = [row for row in rows if row["reconstruction"] is not None]
    rewritten.sort(key=lambda row: (not row["accepted"], row["delta_itc"]))
    cards = [
        Card(
            title=row["tile_id"],
            facts=(
                row["subtext"].replace("_", " "),
                f"round {row['round']}",
                "accepted" if row["accepted"] else "not accepted",
            ),
            texts={"before": row["original"] or "", "after": row["reconstruction"]},
            note=f"ΔITC {row['delta_itc']:.3g}, ΔITM {row['delta_itm']:.3g} without the sub-text",
        )
        for row in rewritten[:_EXAMPLES]
    ]
    return [Cards(cards, "Before and after")] if cards else []
