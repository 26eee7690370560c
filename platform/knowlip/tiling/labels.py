"""Labelled tiles: what the nearest-neighbour filter learns from (section 3.1, step 5).

A label is a tile's scores and whether it is worth keeping. The default table lies beside this module; it was made from
simulated scenes, whose truth says what each tile shows, by ``benchmarks/screening.py --write-labels``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.errors import DataError
from knowlip.records import QUALITY, conform
from knowlip.tiling.texture import Quality

__all__ = ["LABELS", "default_labels", "labels_table", "package_path", "parse_labels", "read_labels"]

_DEFAULT = "screening_labels.parquet"

LABELS = pa.schema(
    [
        pa.field("tile_id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("quality", QUALITY, nullable=False),
    ]
)
"""One row a labelled tile: its id, the label, who gave it, and the scores it had."""


def default_labels() -> tuple[list[Quality], list[bool]]:
    """Return scores and labels of the simulated tiles that the package carries."""
    with resources.as_file(resources.files("knowlip.tiling") / _DEFAULT) as path:
        return _pairs(pq.read_table(path))


def read_labels(path: str) -> tuple[list[Quality], list[bool]]:
    """Return scores and labels of a table of `LABELS`, a file of this machine.

    Raises:
        DataError: It cannot be read, or is no such table.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"cannot be read ({error})", where=path, fix="give a table that jobs.screen made") from error
    return _pairs(conform(table, LABELS, where=path))


def labels_table(labels: Mapping[str, bool], qualities: Mapping[str, Mapping[str, float]], *, source: str) -> pa.Table:
    """Put labels and the scores of the tiles they are about together.

    Args:
        labels: Tile to whether it is worth keeping.
        qualities: Scores by tile; tiles without any are an error, for they teach nothing.
        source: Who labelled.

    Raises:
        DataError: A labelled tile is unknown.
    """
    unknown = sorted(set(labels) - set(qualities))
    if unknown:
        raise DataError(
            f"{len(unknown)} labelled tiles are not in the workspace, the first is {unknown[0]}",
            where=source,
            fix="label a contact sheet of this workspace",
        )
    rows = [
        {"tile_id": tile, "kept": kept, "source": source, "quality": dict(qualities[tile])}
        for tile, kept in sorted(labels.items())
    ]
    return conform(pa.Table.from_pylist(rows, schema=LABELS), LABELS, where=source)


def parse_labels(document: Any, *, where: str) -> dict[str, bool]:
    """Check the labels that a contact sheet saved: a JSON object of tile to ``keep`` or ``reject``.

    Raises:
        DataError: It is something else.
    """
    words = {"keep": True, "reject": False}
    if not isinstance(document, dict) or not all(str(value) in words for value in document.values()):
        raise DataError("is no object of tile to keep or reject", where=where, fix="save it from a contact sheet")
    return {str(tile): words[str(value)] for tile, value in document.items()}


def _pairs(table: pa.Table) -> tuple[list[Quality], list[bool]]:
    return [Quality(**row) for row in table["quality"].to_pylist()], table["kept"].to_pylist()


def package_path() -> Path:
    """Return where the default table lies in a checkout."""
    return Path(__file__).with_name(_DEFAULT)
