"""What SCIO judged to be noise, and what it put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from knowlip.corpus.verdicts import tallied
from knowlip.records import SCALES, SUBTEXTS
from knowlip.reporting.elements import Card, Cards, Element, Figure, Section, Table
from knowlip.reporting.histograms import Values, histograms
from knowlip.reporting.pictures import data_uri, thumbnail
from knowlip.reporting.sections.overview import subfolders
from knowlip.workspace import Workspace

__all__ = ["scio_section", "verdict_elements", "verdict_examples"]

_EXAMPLES = 6
_VIEW_PX = 160
_COUNTS = ("judged", "noise", "rewritten", "accepted")


def scio_section(workspace: Workspace) -> Section | None:
    """Return the verdicts of every run that has some, with texts before and after."""
    elements: list[Element] = []
    for run in subfolders(workspace, "runs"):
        if workspace.exists("runs", run, "verdicts.parquet"):
            verdicts = workspace.read_table("runs", run, "verdicts.parquet")
            counts = tallied(verdicts, {})
            by_round = _summed(counts, "round", sorted(set(counts["round"].to_pylist())))
            elements += [
                Table(("round", *_COUNTS), by_round, f"Run {run}"),
                _by_kind(counts),
                *verdict_examples(verdicts, {}, _EXAMPLES),
            ]
    return Section("Self-consistent optimisation", elements) if elements else None


def verdict_elements(verdicts: pa.Table, counts: pa.Table, name: str) -> list[Element]:
    """Return the counts by round, kind and scale, and the histograms of all differences.

    Args:
        verdicts: Rows of `knowlip.records.VERDICTS`.
        counts: From `knowlip.corpus.verdicts.tallied`.
        name: Name of the figure, unique in a page.
    """
    rounds = sorted(set(counts["round"].to_pylist()))
    scales = [scale for scale in (*SCALES, "") if scale in set(counts["scale"].to_pylist())]
    noise = pc.fill_null(verdicts["noise"], False)
    apart = {"noise": verdicts.filter(noise), "kept": verdicts.filter(pc.invert(noise))}
    taken = pc.fill_null(verdicts["accepted"], False)
    refused = pc.and_(pc.is_valid(verdicts["accepted"]), pc.invert(taken))
    written = {"accepted": verdicts.filter(taken), "refused": verdicts.filter(refused)}
    panels = {
        "ΔITC without the sub-text (eq. 10)": _series(apart, "delta_itc"),
        "ΔITM without the sub-text (eq. 11)": _series(apart, "delta_itm"),
        "ΔITC of the reconstruction (eq. 14)": _series(written, "reconstruction_delta_itc"),
        "ΔITM of the reconstruction (eq. 15)": _series(written, "reconstruction_delta_itm"),
    }
    return [
        Table(("round", *_COUNTS), _summed(counts, "round", rounds), "By round"),
        _by_kind(counts),
        Table(("scale", *_COUNTS), _summed(counts, "scale", scales), "By scale"),
        Figure(histograms(panels, name), "Differences; one half per cent at each end is drawn in the outermost bin"),
    ]


def verdict_examples(verdicts: pa.Table, views: Mapping[str, bytes], most: int) -> list[Element]:
    """Return cards of sub-texts before and after, accepted ones first and the clearest noise first of those.

    Args:
        verdicts: Rows of `knowlip.records.VERDICTS`.
        views: Pictures of tiles, as PNG.
        most: Most cards.
    """
    rewritten = verdicts.filter(pc.is_valid(verdicts["reconstruction"])).to_pylist()
    rewritten.sort(key=lambda row: (not row["accepted"], row["delta_itc"]))
    cards = [
        Card(
            title=row["tile_id"],
            picture=data_uri(thumbnail(views[row["tile_id"]], _VIEW_PX)) if row["tile_id"] in views else "",
            facts=(
                row["subtext"].replace("_", " "),
                f"round {row['round']}",
                "accepted" if row["accepted"] else "not accepted",
            ),
            texts={"before": row["original"] or "", "after": row["reconstruction"]},
            note=f"ΔITC {row['delta_itc']:.3g}, ΔITM {row['delta_itm']:.3g} without the sub-text",
        )
        for row in rewritten[:most]
    ]
    return [Cards(cards, "Before and after")] if cards else []


def _by_kind(counts: pa.Table) -> Table:
    rows = [(kind.replace("_", " "), *values) for kind, *values in _summed(counts, "subtext", SUBTEXTS)]
    return Table(("sub-text", *_COUNTS), rows)


def _summed(counts: pa.Table, key: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    rows = counts.to_pylist()
    return [
        (value or "—", *(sum(row[count] for row in rows if row[key] == value) for count in _COUNTS)) for value in values
    ]


def _series(parts: Mapping[str, pa.Table], column: str) -> dict[str, Values]:
    return {label: np.asarray(part[column].drop_null().to_numpy(), dtype=np.float64) for label, part in parts.items()}
