"""Where in a tile: the nine-grid, and how things lie to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from knowlip.captioning.facts import compass

__all__ = ["NINE_GRID", "Arrangement", "arrangement", "region_name", "region_number", "side_of"]

NINE_GRID = (
    "upper-left",
    "upper-centre",
    "upper-right",
    "middle-left",
    "centre",
    "middle-right",
    "lower-left",
    "lower-centre",
    "lower-right",
)
"""The nine regions of a tile, numbered 1 to 9 row by row (Fig. 13)."""

Arrangement = tuple[str, float]
"""``single``, ``pair``, ``row``, ``compact group`` or ``scattered``, and the bearing of its long axis (degrees)."""


def region_number(row: float, col: float, height: float, width: float) -> int:
    """Number the nine-grid region of a pixel position, 1 (upper-left) to 9 (lower-right)."""
    third_row = min(max(int(3 * row / height), 0), 2)
    third_col = min(max(int(3 * col / width), 0), 2)
    return 3 * third_row + third_col + 1


def region_name(number: int) -> str:
    """Name a nine-grid region."""
    return NINE_GRID[number - 1]


def side_of(mask: npt.NDArray[np.bool_], up_deg: float = 0.0) -> str:
    """Name the wind towards which a mask's mass lies; empty when it lies about the centre or fills the tile.

    Args:
        mask: What to place (H, W).
        up_deg: Bearing of the image's upward direction.
    """
    rows = mask.sum(axis=1, dtype=np.int64)
    cols = mask.sum(axis=0, dtype=np.int64)
    total = int(rows.sum())
    if total == 0:
        return ""
    down = float(rows @ np.arange(len(rows))) / total / len(rows) - 0.5
    right = float(cols @ np.arange(len(cols))) / total / len(cols) - 0.5
    if math.hypot(down, right) < 0.1:
        return ""
    return compass(math.degrees(math.atan2(right, -down)) + up_deg)


def arrangement(points_m: Sequence[tuple[float, float]], extent_m: float, up_deg: float = 0.0) -> Arrangement:
    """Say how targets lie to each other.

    Args:
        points_m: Positions (down, right) in metres.
        extent_m: Side of the tile, metres.
        up_deg: Bearing of the image's upward direction.
    """
    if len(points_m) < 2:
        return ("single" if points_m else "none", math.nan)
    points = np.asarray(points_m, dtype=np.float64)
    offsets = points - points.mean(axis=0)
    spread, axes = np.linalg.eigh(offsets.T @ offsets / len(points))
    across, along = np.sqrt(np.maximum(spread, 0.0))
    down, right = axes[:, 1]
    bearing = (math.degrees(math.atan2(right, -down)) + up_deg) % 180.0
    if len(points) == 2:
        return ("pair", bearing)
    if along > 4.0 * max(across, 1e-9):
        return ("row", bearing)
    return ("compact group" if along < 0.15 * extent_m else "scattered", bearing)
