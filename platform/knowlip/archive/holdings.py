"""What an archive holds, in a few figures: for its filters, for its STAC collection, for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

__all__ = ["Holdings"]


class Holdings(BaseModel):
    """What an archive holds."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    tiles: int
    """Number of tiles."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north of all tiles, degrees."""
    time_from: datetime | None = None
    """Earliest acquisition."""
    time_to: datetime | None = None
    """Latest acquisition."""
    gsd_min_m: float | None = None
    """Finest ground sampling distance, metres a pixel."""
    gsd_max_m: float | None = None
    """Coarsest ground sampling distance, metres a pixel."""
    scales: dict[str, int] = {}
    """Scale to number of tiles."""
    sensors: dict[str, int] = {}
    """Satellite to number of tiles."""
    polarisations: dict[str, int] = {}
    """Polarisation to number of tiles."""

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """Sum up a table of tiles: their bounds, times, ground sampling distances, scales, sensors, polarisations."""
        bbox = (
            pc.min(table["xmin"]).as_py(),
            pc.min(table["ymin"]).as_py(),
            pc.max(table["xmax"]).as_py(),
            pc.max(table["ymax"]).as_py(),
        )
        if pc.any(pc.greater(table["xmin"], table["xmax"])).as_py():  # one lies over the antimeridian
            bbox = (-180.0, bbox[1], 180.0, bbox[3])
        return cls(
            tiles=table.num_rows,
            bbox=None if None in bbox else bbox,
            time_from=pc.min(table["time"]).as_py(),
            time_to=pc.max(table["time"]).as_py(),
            gsd_min_m=pc.min(table["gsd_m"]).as_py(),
            gsd_max_m=pc.max(table["gsd_m"]).as_py(),
            scales=_counted(table["scale"]),
            sensors=_counted(table["sensor"]),
            polarisations=_counted(table["polarisation"]),
        )


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(column.drop_null()).to_pylist()
    counts: dict[str, int] = {pair["values"]: pair["counts"] for pair in pairs}
    return dict(sorted(counts.items()))
