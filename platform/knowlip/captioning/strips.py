"""Dark linear strips: runways, roads, canals. Found as straight runs along the skeleton of dark ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize
from skimage.transform import hough_line

from knowlip.captioning.positions import region_number

__all__ = ["Strip", "find"]

Mask = npt.NDArray[np.bool_]

MOST = 6
"""At most so many strips are described."""

ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 90, endpoint=False)
LEAST_PX = 16
SLENDERNESS = 5.0
ATE_PX = 4.0
"""What smoothing over five pixels takes off the width of something dark between bright sides."""


@dataclass(frozen=True)
class Strip:
    """One straight dark strip.

    Attributes:
        row: Middle, pixels of the tile's image.
        col: Middle, pixels of the tile's image.
        region: Nine-grid region of the middle, 1 to 9.
        length_m: Length.
        width_m: Mean width.
        heading_deg: Image angle, clockwise from up, 0 to 180.
    """

    row: float
    col: float
    region: int
    length_m: float
    width_m: float
    heading_deg: float


def find(dark: Mask, gsd_m: float) -> tuple[Strip, ...]:
    """Find the straight strips of a mask.

    The strongest line of the Hough transform takes its longest gap-free run of skeleton pixels with it, and so on.

    Args:
        dark: Dark ground without open water (H, W).
        gsd_m: Metres a pixel.

    Returns:
        Strips at least five times as long as wide, the longest first.
    """
    spine = np.asarray(skeletonize(dark), dtype=np.bool_)  # type: ignore[no-untyped-call]
    least = max(LEAST_PX, 0.12 * max(dark.shape))
    if np.count_nonzero(spine) < least:
        return ()
    depth = ndimage.distance_transform_edt(np.pad(dark, 1))[1:-1, 1:-1]
    found: list[Strip] = []
    for _ in range(MOST):
        if np.count_nonzero(spine) < least:
            break
        rows, cols = _longest_run(spine)
        _erase(spine, rows, cols)
        if len(rows) < least:
            break
        strip = _measured(rows, cols, depth, gsd_m, dark.shape)
        if strip.length_m >= SLENDERNESS * strip.width_m:
            found.append(strip)
    return tuple(sorted(found, key=lambda one: -one.length_m))


def _longest_run(spine: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the skeleton pixels of the longest run along the strongest line."""
    votes, angles, distances = hough_line(spine, theta=ANGLES)  # type: ignore[no-untyped-call]
    # Neighbouring distances vote together: a strip's skeleton wavers by a pixel or two.
    votes = ndimage.uniform_filter1d(votes.astype(np.float32), 3, axis=0)
    best = np.unravel_index(int(np.argmax(votes)), votes.shape)
    angle, distance = float(angles[best[1]]), float(distances[best[0]])
    rows, cols = np.nonzero(spine)
    near = np.abs(cols * math.cos(angle) + rows * math.sin(angle) - distance) <= 2.0
    rows, cols = rows[near], cols[near]
    if len(rows) == 0:
        return rows, cols
    along = -cols * math.sin(angle) + rows * math.cos(angle)
    order = np.argsort(along, kind="stable")
    rows, cols, along = rows[order], cols[order], along[order]
    breaks = np.flatnonzero(np.diff(along) > 4.0) + 1
    runs = np.split(np.arange(len(rows)), breaks)
    run = max(runs, key=len)
    return rows[run], cols[run]


def _erase(spine: Mask, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> None:
    """Take a run, and what wavers beside it, off the skeleton, so that it is found once."""
    for down in range(-2, 3):
        for right in range(-2, 3):
            spine[
                np.clip(rows + down, 0, spine.shape[0] - 1),
                np.clip(cols + right, 0, spine.shape[1] - 1),
            ] = False


def _measured(
    rows: npt.NDArray[np.intp],
    cols: npt.NDArray[np.intp],
    depth: npt.NDArray[np.float64],
    gsd_m: float,
    shape: tuple[int, ...],
) -> Strip:
    down, right = float(rows[-1] - rows[0]), float(cols[-1] - cols[0])
    row, col = float(rows.mean()), float(cols.mean())
    return Strip(
        row=row,
        col=col,
        region=region_number(row, col, shape[0], shape[1]),
        length_m=math.hypot(down, right) * gsd_m,
        width_m=float(2.0 * np.median(depth[rows, cols]) - 1.0 + ATE_PX) * gsd_m,
        heading_deg=math.degrees(math.atan2(right, -down)) % 180.0,
    )
