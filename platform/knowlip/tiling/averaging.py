"""Averaging an image down while its rows go by, whole or in parts that are joined later.

A medium or large tile spans several strips. Each strip leaves behind the *part* it saw: rows that are averaged, and
at either end the few raw rows of a cell that the strip next door completes. Joined, they are the same as if the tile
had been read at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from knowlip.tiling.grid import Window
from knowlip.tiling.strips import PlannedTile
from knowlip.tiling.tile import area_average

__all__ = ["PARTS", "Averager", "Part", "PartMaker", "parts_from", "parts_table"]

Pixels = NDArray[np.uint8]

PARTS = pa.schema(
    [
        pa.field("tile_id", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("factor", pa.int32(), nullable=False),
        *(pa.field(name, pa.binary(), nullable=False) for name in ("lead", "cells", "rest")),
    ]
)
"""`tiles/_parts`, while scenes are tiled: what one strip saw of a larger tile (`Part`)."""


@dataclass(frozen=True)
class Part:
    """The rows of a larger tile that one strip saw.

    Attributes:
        tile_id: The larger tile.
        factor: Scene pixels a side that are averaged to one.
        lead: Raw rows (n, width) that complete a cell begun by the strip above.
        cells: Averaged rows (m, width / factor).
        rest: Raw rows (k, width) of a cell that the strip below completes.
    """

    tile_id: str
    factor: int
    lead: Pixels
    cells: Pixels
    rest: Pixels


class Averager:
    """An image that grows from above.

    Args:
        height: Rows that will come in, pixels.
        width: Columns, pixels.
        factor: Pixels a side that become one.
    """

    def __init__(self, height: int, width: int, factor: int) -> None:
        self.image: Pixels = np.zeros((height // factor, width // factor), dtype=np.uint8)
        self.rest: Pixels = np.zeros((0, width), dtype=np.uint8)
        self._factor = factor
        self._done = 0

    def take(self, rows: Pixels) -> None:
        """Take the next raw rows; fewer columns than the image has leave it without data on the right."""
        if self._factor == 1:
            self.image[self._done : self._done + len(rows), : rows.shape[1]] = rows
            self._done += len(rows)
            return
        if len(self.rest):
            rows = np.concatenate([self.rest, rows])
        whole = len(rows) // self._factor
        if whole:
            self.place(area_average(rows[: whole * self._factor], whole, self.image.shape[1]))
        self.rest = rows[whole * self._factor :].copy()

    def place(self, cells: Pixels) -> None:
        """Take the next rows that are averaged already."""
        self.image[self._done : self._done + len(cells)] = cells
        self._done += len(cells)

    def join(self, part: Part) -> None:
        """Take what a strip left behind."""
        self.take(part.lead)
        self.place(part.cells)
        self.take(part.rest)


class PartMaker:
    """What one strip sees of a larger tile.

    Args:
        planned: The larger tile.
        first: First scene row that the strip answers for.
        last: Scene row after the last one.
    """

    def __init__(self, planned: PlannedTile, first: int, last: int) -> None:
        self.planned = planned
        window = planned.window
        self.first, self.last = max(first, window.row), min(last, window.row + window.height)
        self._missing = min((window.row - self.first) % window.factor, self.last - self.first)
        self._lead: list[Pixels] = []
        self._averager = Averager(self.last - self.first - self._missing, window.width, window.factor)

    @property
    def window(self) -> Window:
        """The larger tile's place."""
        return self.planned.window

    def take(self, rows: Pixels) -> None:
        """Take the next raw rows."""
        if self._missing:
            self._lead.append(rows[: self._missing].copy())
            rows = rows[self._missing :]
            self._missing -= len(self._lead[-1])
        if len(rows):
            self._averager.take(rows)

    def part(self) -> Part:
        """Return what was seen."""
        lead = np.concatenate(self._lead) if self._lead else np.zeros((0, self.window.width), dtype=np.uint8)
        return Part(self.planned.tile_id, self.window.factor, lead, self._averager.image, self._averager.rest)


def parts_table(parts: Iterable[Part]) -> pa.Table:
    """Return parts as they are stored (`PARTS`)."""
    rows = [
        {
            "tile_id": part.tile_id,
            "width": part.lead.shape[1],
            "factor": part.factor,
            **{name: getattr(part, name).tobytes() for name in ("lead", "cells", "rest")},
        }
        for part in parts
    ]
    return pa.Table.from_pylist(rows, schema=PARTS)


def parts_from(table: pa.Table) -> dict[str, Part]:
    """Return stored parts by tile."""
    found = {}
    for row in table.to_pylist():
        lead, cells, rest = (np.frombuffer(row[name], dtype=np.uint8) for name in ("lead", "cells", "rest"))
        width, factor = row["width"], row["factor"]
        cells = cells.reshape(-1, width // factor)
        found[row["tile_id"]] = Part(row["tile_id"], factor, lead.reshape(-1, width), cells, rest.reshape(-1, width))
    return found
