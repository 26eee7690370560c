"""Strong scatterers: a constant-false-alarm-rate detector, and what it found, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from knowlip.captioning.crescents import gather_crescents
from knowlip.captioning.positions import region_number

__all__ = ["Scatterer", "detect", "grown"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FALSE_ALARM_RATE = 1e-6
LEAST_RATIO = 4.0
"""A target stands at least 6 dB above its surroundings."""

GUARD_M, RING_M = 60.0, 120.0
"""Half-widths of the square that a target may fill and of the one whose rest is its background."""

LINK_M = 9.0
"""Scatterers closer than this belong to one target: engines, wing roots and tail of one aircraft."""

ISLAND_M = 450.0
"""What stands alone on open water and is no longer than this is one target."""

SMALLEST_M, LARGEST_M = 8.0, 600.0
LEAST_AREA_M2 = 8.0
"""What is shorter, longer or smaller is no target."""


@dataclass(frozen=True)
class Scatterer:
    """One cluster of strong scatterers.

    Attributes:
        row: Centre, pixels of the tile's image.
        col: Centre, pixels of the tile's image.
        region: Nine-grid region, 1 to 9.
        length_m: Extent along its long axis.
        width_m: Extent across it.
        heading_deg: Image angle of the long axis, clockwise from up, 0 to 180.
        contrast_db: Peak above the surroundings.
        dark_around: Part of its surroundings that is dark and smooth: near one for a ship at sea.
        arcs: Whether it is several arcs of one cylinder: a storage tank.
    """

    row: float
    col: float
    region: int
    length_m: float
    width_m: float
    heading_deg: float
    contrast_db: float
    dark_around: float
    arcs: bool = False


def detect(intensity: Floats, valid: Mask, dark: Mask, basin: Mask, gsd_m: float) -> tuple[Scatterer, ...]:
    """Find clusters of strong scatterers.

    A cell-averaging CFAR: the background of each pixel is censored of other targets, edge-safe (the second greatest of
    its four sides) and gamma-distributed with the spread that is measured there, so forest needs more than grass.

    Args:
        intensity: Squared 8-bit amplitude (H, W).
        valid: Where there is data (H, W).
        dark: Where the ground is dark and smooth (H, W).
        basin: Where it is wide, too: open water, not a street (H, W).
        gsd_m: Metres a pixel.

    Returns:
        Clusters, the strongest first.
    """
    if not valid.any():
        return ()
    ceiling = float(intensity.max())
    cells = _mean(intensity, valid, 1) if gsd_m < 5.0 else intensity
    background, ratio = _clutter(cells, valid, gsd_m)
    # 8-bit values saturate: a target on bright ground cannot exceed the ceiling, only touch it.
    limit = np.minimum(ratio * background, np.maximum(0.9 * ceiling, LEAST_RATIO * background))
    hits = valid & (cells > limit) & (background > 0)
    joined = grown(hits, LINK_M / gsd_m / 2.0)
    labels, count = ndimage.label(joined, structure=np.ones((3, 3)))
    if not count:
        return ()
    labels = np.where(hits, labels, 0)
    if basin.any():
        water = dark & grown(basin, GUARD_M / gsd_m)  # also what lies between two ships
        count = _gather(labels, count, hits, ~water, cells > 2.0 * background, gsd_m)
    tanks = gather_crescents(labels, gsd_m)
    # The glare about a target is not its surroundings: smoothing spread it by a few pixels.
    beyond = valid & ~ndimage.binary_dilation(labels > 0, iterations=3)
    around = _mean(dark.astype(np.float32), beyond, max(12, int(GUARD_M / gsd_m / 2)))
    contrast = np.asarray(cells / np.maximum(background, 1.0), dtype=np.float32)
    return _clusters(labels, count, contrast, around, gsd_m, tanks)


def grown(mask: Mask, radius_px: float) -> Mask:
    """Grow a mask by a square of half a side, rounded to pixels."""
    half = round(radius_px)
    if half < 1:
        return mask
    return np.asarray(ndimage.maximum_filter(mask.astype(np.uint8), 2 * half + 1), dtype=np.bool_)


def _gather(labels: npt.NDArray[np.int32], count: int, hits: Mask, lit: Mask, body: Mask, gsd_m: float) -> int:
    """Make one cluster of all that stands together on open water: bow, bridge and stern of one ship.

    What reaches the edge of the tile may be a shore, and stays as it is.

    Args:
        labels: Cluster numbers of the hits (H, W); changed in place.
        count: Number of clusters.
        hits: Pixels over the threshold.
        lit: Ground that is not open water.
        body: Pixels that stand out from the surroundings, though below the threshold.
        gsd_m: Metres a pixel.

    Returns:
        The largest cluster number after it.
    """
    islands, number = ndimage.label(lit | hits, structure=np.ones((3, 3)))
    held = np.zeros(number + 1, dtype=bool)
    held[np.unique(islands[hits])] = True
    for island, box in enumerate(ndimage.find_objects(islands), start=1):
        sides = [(side.start, side.stop, length) for side, length in zip(box, labels.shape, strict=True)]
        at_edge = any(start == 0 or stop == length for start, stop, length in sides)
        if at_edge or not held[island] or max(stop - start for start, stop, _ in sides) * gsd_m > ISLAND_M:
            continue
        mine = islands[box] == island
        labels[box][mine & (body[box] | hits[box])] = count + 1
        labels[box][mine & ~(body[box] | hits[box])] = 0
        count += 1
    return count


def _mean(values: Floats, valid: Mask, half: int) -> Floats:
    """Mean of the valid pixels in a square; zero where there are none."""
    size = 2 * half + 1
    weight = ndimage.uniform_filter(valid.astype(np.float32), size, mode="constant")
    total = ndimage.uniform_filter(np.where(valid, values, 0.0).astype(np.float32), size, mode="constant")
    return np.asarray(np.where(weight > 1e-4, total / np.maximum(weight, 1e-4), 0.0), dtype=np.float32)


def _clutter(cells: Floats, valid: Mask, gsd_m: float) -> tuple[Floats, Floats]:
    """Return the mean clutter about every pixel, and the ratio to it above which a pixel is a target."""
    smallest = min(cells.shape)  # in a small tile the windows shrink, so that most pixels still have their sides
    guard = int(np.clip(GUARD_M / gsd_m, 3, max(3, min(48, smallest // 8))))
    ring = max(int(np.clip(RING_M / gsd_m, 6, max(6, min(96, smallest // 4)))), guard + 3)
    clutter = valid & (cells < LEAST_RATIO * _mean(cells, valid, ring))
    weight, total = clutter.astype(np.float32), np.where(clutter, cells, 0).astype(np.float32)
    whole = float(cells[clutter].mean()) if clutter.any() else 0.0
    half = (ring - guard) // 2
    offset = guard + half
    area = (2 * half + 1) ** 2
    boxes = [ndimage.uniform_filter(values, 2 * half + 1, mode="constant") * area for values in (weight, total)]
    sides = np.stack(
        [_side(boxes, down, right) for down, right in ((-offset, 0), (offset, 0), (0, -offset), (0, offset))]
    )
    greatest = np.max(sides, axis=0)
    # The second greatest: beside an edge at least two sides see the brighter ground, beside one quay only one does.
    # A side that lies outside the image could have been the brighter one, so it counts as such.
    background = np.sort(np.where(sides >= 0, sides, greatest), axis=0)[2]
    background = np.where(greatest >= 0, background, whole).astype(np.float32)
    return background, np.maximum(_threshold(total, clutter, guard), LEAST_RATIO)


def _side(boxes: list[npt.NDArray[np.float32]], down: int, right: int) -> Floats:
    """Mean clutter in the box that lies beside each pixel; -1 where it lies outside the image or holds no clutter."""
    weight, total = (ndimage.shift(box, (-down, -right), order=0, mode="constant", cval=0.0) for box in boxes)
    return np.asarray(np.where(weight > 4, total / np.maximum(weight, 1.0), -1.0), dtype=np.float32)


def _threshold(total: Floats, clutter: Mask, half: int) -> Floats:
    """Ratio to the mean that the clutter about each pixel exceeds with the false alarm rate."""
    mean = _mean(total, clutter, half)
    square = _mean(total * total, clutter, half)
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0)) / np.maximum(mean, 1e-6)
    known, ratios = _gamma_ratios()
    return np.asarray(np.interp(spread, known, ratios), dtype=np.float32)


@lru_cache(maxsize=1)
def _gamma_ratios() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Upper quantile of gamma clutter of mean one, by its coefficient of variation."""
    spread = np.linspace(0.05, 1.0, 39)
    return spread, stats.gamma.isf(FALSE_ALARM_RATE, spread**-2, scale=spread**2)


def _clusters(
    labels: npt.NDArray[np.int32], count: int, ratio: Floats, around: Floats, gsd_m: float, tanks: frozenset[int]
) -> tuple[Scatterer, ...]:
    """Measure every labelled cluster by its second moments."""
    rows, cols = np.nonzero(labels)
    of = labels[rows, cols]

    def total(weights: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float64]:
        return np.bincount(of, weights, count + 1)[1:].astype(np.float64)

    size = np.maximum(total(), 1.0)
    row, col = total(rows.astype(float)) / size, total(cols.astype(float)) / size
    var_row = np.maximum(total(rows.astype(float) ** 2) / size - row**2, 0.0) + 1 / 12
    var_col = np.maximum(total(cols.astype(float) ** 2) / size - col**2, 0.0) + 1 / 12
    cov = total(rows.astype(float) * cols) / size - row * col
    root = np.sqrt(((var_row - var_col) / 2) ** 2 + cov**2)
    middle = (var_row + var_col) / 2
    # A uniform bar of length l has variance l²/12 along itself.
    length = np.sqrt(12 * (middle + root)) * gsd_m
    width = np.sqrt(12 * np.maximum(middle - root, 1 / 12)) * gsd_m
    heading = (90.0 + np.degrees(0.5 * np.arctan2(2 * cov, var_col - var_row))) % 180.0
    peak = np.zeros(count + 1, dtype=np.float32)
    np.maximum.at(peak, of, ratio[rows, cols])
    kept = (
        (total() > 0)
        & (length >= max(SMALLEST_M, 1.5 * gsd_m))
        & (length <= LARGEST_M)
        & (size * gsd_m**2 >= LEAST_AREA_M2)
    )
    height_px, width_px = labels.shape
    found = [
        Scatterer(
            row=float(row[i]),
            col=float(col[i]),
            region=region_number(row[i], col[i], height_px, width_px),
            length_m=float(length[i]),
            width_m=float(width[i]),
            heading_deg=float(heading[i]),
            contrast_db=float(10 * np.log10(max(peak[i + 1], 1.0))),
            dark_around=float(around[round(row[i]), round(col[i])]),
            arcs=int(i) + 1 in tanks,
        )
        for i in np.flatnonzero(kept)
    ]
    return tuple(sorted(found, key=lambda one: (-one.contrast_db, one.row, one.col)))
