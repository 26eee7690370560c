"""What a tuned model gave for each held-out example, kept beside its weights, and the figures that come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.benchmark.metrics import Interval, Record, Scorer, intervals
from knowlip.records import FIGURES, HELD_OUT, conform
from knowlip.workspace import Workspace

__all__ = ["read_figures", "read_records", "scored", "write_figures", "write_records"]

_RECORDS, _FIGURES = "held_out.parquet", "figures.parquet"


def write_records(folder: Path, records: Sequence[Record]) -> None:
    """Write records into a checkpoint's folder.

    Args:
        folder: Where the weights lie.
        records: What the model gave; each names its ``example_id``.
    """
    rows = [{"example_id": record["example_id"], "record": json.dumps(record)} for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=HELD_OUT), folder / _RECORDS, compression="zstd")


def read_records(workspace: Workspace, artefact: str) -> list[Record]:
    """Return what the model that a run kept gave for its held-out examples; nothing where it had none."""
    if not workspace.exists(artefact, "checkpoint", _RECORDS):
        return []
    rows = workspace.read_table(artefact, "checkpoint", _RECORDS)["record"].to_pylist()
    return [json.loads(row) for row in rows]


def scored(
    workspace: Workspace, artefact: str, score: Scorer, *, groups: Mapping[str, str], floors: Mapping[str, float]
) -> dict[str, Interval]:
    """Score the held-out examples of a run, and leave ``figures.parquet``.

    Args:
        workspace: Where it lies.
        artefact: Folder of the run.
        score: From records to figures.
        groups: Which examples are near-identical: they are resampled together.
        floors: Figures for which no model was needed; they have no interval.
    """
    records = [
        {**record, "group": groups.get(record["example_id"]) or record["example_id"]}
        for record in read_records(workspace, artefact)
    ]
    found = intervals(records, score) if records else {}
    found |= {name: Interval(value, value, value) for name, value in floors.items()}
    write_figures(workspace, artefact, found)
    return found


def write_figures(workspace: Workspace, artefact: str, figures: Mapping[str, Interval]) -> None:
    """Leave figures with their intervals as ``figures.parquet``."""
    rows = [{"metric": name, **asdict(figure)} for name, figure in figures.items()]
    table = conform(pa.Table.from_pylist(rows, schema=FIGURES), FIGURES, where=f"{artefact}/{_FIGURES}")
    workspace.write_table(table, artefact, _FIGURES)


def read_figures(workspace: Workspace, artefact: str) -> dict[str, Interval]:
    """Return the figures that a run left; nothing where it left none."""
    if not workspace.exists(artefact, _FIGURES):
        return {}
    rows = workspace.read_table(artefact, _FIGURES).to_pylist()
    return {row["metric"]: Interval(row["value"], row["low"], row["high"]) for row in rows}
