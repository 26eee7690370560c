"""What a tile shows, in numbers: ground shares, texture, dark strips, strong scatterers, and how they lie.

Everything is measured on the tile's 8-bit image (amplitude, 0 is no data) and its ground sampling distance. Grey levels
that part dark from bright ground are taken from the largest scale and handed down, so a child that is all runway still
knows that it is dark (equations 2 and 3: the parent informs the child).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from knowlip.captioning.cfar import Scatterer, detect, grown
from knowlip.captioning.positions import arrangement, region_number, side_of
from knowlip.captioning.strips import Strip, find

__all__ = ["Levels", "Measurements", "grey_levels", "measure"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LARGEST_PX = 1024
"""Larger images are averaged down before they are measured."""

OPEN_WATER_M = 90.0
"""A dark area wider than this is a surface, not a strip."""

TEXTURE_PX = 13
"""Side of the window in which texture is measured."""

MOTTLED, SPIKY = 1.3, 1.9
"""Spread, as a multiple of what speckle makes, from which ground is mottled (trees), and from which it is built-up."""

SPECKLE = (0.08, 0.3)
"""Spread of amplitude that is speckle's; a tile without any even ground shows no less than the upper one."""

SATURATED = 215.0
"""Smoothed amplitude near the top of the 8-bit range, where the spread is cut off."""

_SEPARATION_DB = 3.5


@dataclass(frozen=True)
class Levels:
    """Grey levels of the smoothed amplitude that part the ground classes of a scene.

    Attributes:
        dark: Below it: water, pavement, shadow.
        bright: Above it: built-up ground, metal, rough rock.
    """

    dark: float
    bright: float


@dataclass(frozen=True)
class Measurements:
    """What was measured on one tile.

    Attributes:
        gsd_m: Metres a pixel of the image that was measured.
        height_m: Ground extent down.
        width_m: Ground extent across.
        shape: Height and width of the measured image, pixels; positions of strips and scatterers refer to it.
        levels: Grey levels used.
        valid_share: Part of the tile that holds data.
        dark_share: Part of the data that is dark and smooth, whatever its shape.
        basin_share: Part that is dark and wider than any strip (open water, or an apron).
        bright_share: Part that is densely bright (built-up).
        rough_share: Part of medium backscatter and mottled texture (trees, mixed ground).
        plain_share: Part of medium backscatter and even texture (grass, fields, bare soil).
        texture: ``smooth``, ``fine-grained``, ``mottled``, ``coarse`` or ``highly heterogeneous``.
        variation: Coefficient of variation of the smoothed amplitude.
        basin_side: Wind towards which the dark basins lie, or empty.
        bright_side: Wind towards which the bright ground lies, or empty.
        bright_region: Nine-grid region with the most bright ground, or 0.
        strips: Dark linear strips, the longest first.
        scatterers: Clusters of strong scatterers, the strongest first.
        pattern: How the scatterers lie: ``none``, ``single``, ``pair``, ``row``, ``compact group`` or ``scattered``.
        pattern_deg: Bearing of the pattern's long axis.
        spacing_m: Median distance of a scatterer to its nearest neighbour.
        up_deg: Bearing of the image's upward direction.
    """

    gsd_m: float
    height_m: float
    width_m: float
    shape: tuple[int, int]
    levels: Levels
    valid_share: float
    dark_share: float
    basin_share: float
    bright_share: float
    rough_share: float
    plain_share: float
    texture: str
    variation: float
    basin_side: str = ""
    bright_side: str = ""
    bright_region: int = 0
    strips: tuple[Strip, ...] = field(default=())
    scatterers: tuple[Scatterer, ...] = field(default=())
    pattern: str = "none"
    pattern_deg: float = float("nan")
    spacing_m: float = float("nan")
    up_deg: float = 0.0


def measure(
    image: npt.NDArray[np.uint8], gsd_m: float, *, levels: Levels | None = None, up_deg: float = 0.0
) -> Measurements:
    """Measure one tile.

    Args:
        image: 8-bit amplitude (H, W); 0 is no data.
        gsd_m: Metres a pixel.
        levels: The parent's grey levels; the tile's own when there is no parent.
        up_deg: Bearing of the image's upward direction.
    """
    amplitude, valid, gsd_m = _at_most(image, gsd_m)
    intensity = amplitude * amplitude
    smooth = np.sqrt(_local_mean(intensity, valid, 5))
    levels = levels or _levels_of(smooth, valid)
    dark, basin, bright, rough = _ground(amplitude, smooth, valid, levels, gsd_m)
    scatterers = detect(intensity, valid, dark, basin, gsd_m)
    points = [(one.row * gsd_m, one.col * gsd_m) for one in scatterers]
    height, width = amplitude.shape
    pattern, bearing = arrangement(points, max(height, width) * gsd_m, up_deg)
    total = max(int(valid.sum()), 1)
    shares = [float(mask.sum()) / total for mask in (dark, basin, bright, rough)]
    variation = _variation(smooth, valid)
    return Measurements(
        gsd_m=gsd_m,
        height_m=height * gsd_m,
        width_m=width * gsd_m,
        shape=(height, width),
        levels=levels,
        valid_share=float(valid.mean()),
        dark_share=shares[0],
        basin_share=shares[1],
        bright_share=shares[2],
        rough_share=shares[3],
        plain_share=max(0.0, 1.0 - shares[0] - shares[2] - shares[3]),
        texture=_texture(variation),
        variation=variation,
        basin_side=side_of(basin, up_deg),
        bright_side=side_of(bright, up_deg),
        bright_region=_densest_region(bright),
        strips=find(dark & ~basin, gsd_m),
        scatterers=scatterers,
        pattern=pattern,
        pattern_deg=bearing,
        spacing_m=_spacing(points),
        up_deg=up_deg,
    )


def grey_levels(image: npt.NDArray[np.uint8]) -> Levels:
    """Part the ground of an image into dark, medium and bright by Otsu's method on its smoothed amplitude in dB."""
    amplitude, valid, _ = _at_most(image, 1.0)
    return _levels_of(np.sqrt(_local_mean(amplitude * amplitude, valid, 5)), valid)


def _at_most(image: npt.NDArray[np.uint8], gsd_m: float) -> tuple[Floats, Mask, float]:
    """Average an image down to the size that is measured; a block with any data is data."""
    factor = -(-max(image.shape) // LARGEST_PX)
    valid = image > 0
    amplitude = image.astype(np.float32)
    if factor == 1:
        return amplitude, valid, gsd_m
    rows, cols = image.shape[0] // factor, image.shape[1] // factor
    blocks = (slice(rows * factor), slice(cols * factor))

    def pooled(values: npt.NDArray[np.float32]) -> Floats:
        sums = values[blocks].reshape(rows, factor, cols, factor).sum(axis=(1, 3), dtype=np.float32)
        return np.asarray(sums, dtype=np.float32)

    weight = pooled(valid.astype(np.float32))
    return np.asarray(pooled(amplitude) / np.maximum(weight, 1.0), dtype=np.float32), weight > 0, gsd_m * factor


def _local_mean(values: Floats, valid: Mask, size: int) -> Floats:
    if valid.all():
        return np.asarray(ndimage.uniform_filter(values, size, mode="reflect"), dtype=np.float32)
    weight = ndimage.uniform_filter(valid.astype(np.float32), size, mode="reflect")
    total = ndimage.uniform_filter(np.where(valid, values, 0).astype(np.float32), size, mode="reflect")
    return np.asarray(np.maximum(total, 0) / np.maximum(weight, 1e-4), dtype=np.float32)


def _levels_of(smooth: Floats, valid: Mask) -> Levels:
    """Three-class Otsu in dB; where the classes are not apart, levels about the median stand in."""
    values = smooth[valid]
    if values.size == 0:
        return Levels(dark=0.0, bright=255.0)
    values = values[:: max(1, values.size // 65536)]
    db = 20 * np.log10(np.maximum(values, 1.0))
    middle = float(np.median(db))
    dark_db, bright_db = middle - 6.0, middle + 5.0
    counts, edges = np.histogram(db, bins=96)
    if np.count_nonzero(counts) >= 3:
        centres = (edges[1:] + edges[:-1]) / 2
        low, high = threshold_multiotsu(hist=(counts, centres), classes=3)  # type: ignore[no-untyped-call]
        parts = [db[db <= low], db[(db > low) & (db <= high)], db[db > high]]
        means = [float(part.mean()) if part.size else middle for part in parts]
        if means[1] - means[0] >= _SEPARATION_DB:
            dark_db = float(low)
        if means[2] - means[1] >= _SEPARATION_DB:
            bright_db = float(high)
    return Levels(dark=10 ** (dark_db / 20), bright=10 ** (bright_db / 20))


def _ground(
    amplitude: Floats, smooth: Floats, valid: Mask, levels: Levels, gsd_m: float
) -> tuple[Mask, Mask, Mask, Mask]:
    """Part the ground into dark, dark and wide, densely bright, and mottled; the rest is plain."""
    dark = valid & (smooth < levels.dark)
    half_width = OPEN_WATER_M / gsd_m / 2.0
    core = ndimage.distance_transform_edt(np.pad(dark, 1, mode="edge"))[1:-1, 1:-1] > max(half_width, 3.0)
    basin = dark & grown(core, half_width + 2.0)
    # Along an edge between two even grounds the spread is high too, but only as far as the window reaches: opened away.
    spread = ndimage.grey_opening(_spread(amplitude, valid), TEXTURE_PX + 2)
    spread /= _speckle(spread[valid])
    high = _local_mean(smooth, valid, TEXTURE_PX) > levels.bright
    bright = valid & ~dark & ((high & (spread > MOTTLED)) | (spread > SPIKY) | (smooth > SATURATED))
    rough = valid & ~dark & ~bright & (spread > MOTTLED)
    return dark, basin, bright, rough


def _spread(amplitude: Floats, valid: Mask) -> Floats:
    """Local coefficient of variation of the amplitude."""
    mean = _local_mean(amplitude, valid, TEXTURE_PX)
    square = _local_mean(amplitude * amplitude, valid, TEXTURE_PX)
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)) / np.maximum(mean, 1.0), dtype=np.float32)


def _speckle(spread: Floats) -> float:
    """What speckle alone makes of the spread: that of the evenest ground, within what one to forty looks can make."""
    if spread.size == 0:
        return SPECKLE[1]
    return float(np.clip(np.percentile(spread[:: max(1, spread.size // 16384)], 10), *SPECKLE))


def _variation(smooth: Floats, valid: Mask) -> float:
    values = smooth[valid]
    return float(values.std() / max(float(values.mean()), 1e-6)) if values.size else 0.0


def _texture(variation: float) -> str:
    names = ("smooth", "fine-grained", "mottled", "coarse", "highly heterogeneous")
    return names[int(np.searchsorted((0.12, 0.25, 0.42, 0.65), variation))]


def _densest_region(mask: Mask) -> int:
    if not mask.any():
        return 0
    height, width = mask.shape
    best, most = 0, 0.0
    for third_row in range(3):
        for third_col in range(3):
            rows = slice(third_row * height // 3, (third_row + 1) * height // 3)
            cols = slice(third_col * width // 3, (third_col + 1) * width // 3)
            share = float(mask[rows, cols].mean()) if mask[rows, cols].size else 0.0
            if share > most:
                best, most = region_number(third_row, third_col, 3, 3), share
    return best


def _spacing(points_m: list[tuple[float, float]]) -> float:
    if len(points_m) < 2:
        return float("nan")
    points = np.asarray(points_m)
    gaps = np.hypot(*(points[:, None, :] - points[None, :, :]).transpose(2, 0, 1))
    np.fill_diagonal(gaps, np.inf)
    return float(np.median(gaps.min(axis=1)))
