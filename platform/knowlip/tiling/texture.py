"""What a tile's grey levels say about its worth: co-occurrence texture and statistics (section 3.1, step 5).

Texture is measured on the tile's view and at a distance that is a fixed share of its ground side, so that tiles of one
scale compare across sensors, and a 0.2 m tile costs no more than a 3 m one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats
from skimage.feature import graycomatrix

from knowlip.scenes.radiometry import Transfer
from knowlip.tiling.tile import Tile

__all__ = ["ENL_BLOCK_PX", "Quality", "calm_looks", "measure_quality"]

_LEVELS = 32
_LEVEL_OF = np.array([0, *(1 + level // (256 // _LEVELS) for level in range(255))], dtype=np.uint8)
"""Level of the co-occurrence matrix of each 8-bit value."""

_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_DISTANCE_SHARE = 1 / 32
"""Co-occurrence distance as a share of the tile's side (32 m of 1024 m): beyond the reach of resampled speckle."""

_BRIGHT_DB = 6.0
"""A scatterer is bright this far above the tile's median …"""

_FALSE_ALARM = 1e-6
"""… where speckle alone would be as bright with this probability only …"""

_SMALLEST_BRIGHT_PX = 3
"""… and in so many adjoining pixels, which speckle fills one by one."""

ENL_BLOCK_PX = 16
_ENL_BLOCKS = 256
_CALM_BLOCKS = 4096
_ROUNDING = 1e-12
"""A spread below this share of the squared mean is none."""

_ENL_QUANTILE = 0.75
_CALM_QUANTILE = 0.9
_TAILS = (0.01, 0.99)


@dataclass(frozen=True)
class Quality:
    """Scores of one tile (`knowlip.records.QUALITY`).

    Attributes:
        contrast: Mean squared difference of co-occurring levels (32 levels, four directions).
        homogeneity: Weight of like neighbours, 0 to 1.
        energy: Root of the sum of squared co-occurrences, 0 to 1.
        correlation: Correlation of co-occurring levels, −1 to 1; near 0 for speckle alone.
        entropy: Entropy of the view's 8-bit values, bits.
        saturation: Share of valid pixels at the upper clip limit.
        nodata_share: Share of pixels without data.
        enl: Equivalent number of looks of the calmer blocks.
        dynamic_range_db: Decibels between the 1st and 99th percentile.
        bright_density: Bright scatterers a square kilometre.
        structure: The dynamic range over what the scene's speckle alone would span; 1 is nothing but
            speckle (of small tiles: averaging calms the speckle of larger ones).
    """

    contrast: float
    homogeneity: float
    energy: float
    correlation: float
    entropy: float
    saturation: float
    nodata_share: float
    enl: float
    dynamic_range_db: float
    bright_density: float
    structure: float

    def record(self) -> dict[str, float]:
        """Return the columns of `knowlip.records.QUALITY`."""
        return dict(vars(self))


def measure_quality(tile: Tile, view: Tile, transfer: Transfer, *, looks: float) -> Quality:
    """Measure a tile.

    Args:
        tile: The stored image.
        view: The same, averaged to at most 256 px a side.
        transfer: How its 8-bit values go back to decibels.
        looks: Equivalent number of looks of the scene where it is calm (`calm_looks`).
    """
    counts, shown = _histogram(tile.pixels), _histogram(view.pixels)
    valid = int(counts[1:].sum())
    range_db = _range_db(counts, transfer.decibels)
    contrast, homogeneity, energy, correlation = _cooccurrence(view.pixels)
    return Quality(
        contrast=contrast,
        homogeneity=homogeneity,
        energy=energy,
        correlation=correlation,
        entropy=_entropy(shown[1:]),
        saturation=float(counts[255]) / valid if valid else 0.0,
        nodata_share=1.0 - valid / tile.pixels.size,
        enl=_looks(tile.pixels, transfer.decibels),
        dynamic_range_db=range_db,
        bright_density=_bright_density(view, shown, transfer.decibels),
        structure=range_db / _speckle_range_db(round(looks, 2)),
    )


def calm_looks(images: Iterable[NDArray[np.uint8]], transfer: Transfer) -> float:
    """Estimate a scene's equivalent number of looks from 8-bit samples of it, where it is calm.

    Speckle alone lowers mean²/variance of power to the number of looks, structure lowers it further; so the upper
    blocks tell what the speckle is.
    """
    looks = [_block_looks(image, transfer.decibels, most=_CALM_BLOCKS) for image in images]
    found = np.concatenate(looks) if looks else np.zeros(0)
    return max(0.5, _quantile(found, _CALM_QUANTILE)) if found.size else 1.0


@lru_cache(maxsize=1024)
def _speckle_range_db(looks: float) -> float:
    low, high = stats.gamma.ppf(_TAILS, looks)
    return float(10.0 * np.log10(high / low))


@lru_cache(maxsize=1024)
def _speckle_tail_db(looks: float) -> float:
    return float(10.0 * np.log10(stats.gamma.isf(_FALSE_ALARM, looks) / looks))


def _histogram(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.array(Image.fromarray(pixels).histogram(), dtype=np.int64)


def _cooccurrence(pixels: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    # Level 0 of the matrix collects no data; its row and column are dropped, so edges of the scene make no texture.
    levels = np.take(_LEVEL_OF, pixels)
    distance = max(1, round(max(pixels.shape) * _DISTANCE_SHARE))
    matrix: NDArray[np.float64] = graycomatrix(  # type: ignore[no-untyped-call]
        levels, [distance], _ANGLES, levels=_LEVELS + 1, symmetric=True
    )[1:, 1:].astype(np.float64)
    totals = matrix.sum(axis=(0, 1), keepdims=True)
    if not totals.all():
        return 0.0, 1.0, 1.0, 0.0
    return _properties((matrix / totals).reshape(_LEVELS * _LEVELS, -1))


def _properties(shares_PA: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return contrast, homogeneity, energy and correlation, each the mean over the directions A.

    They are `skimage.feature.graycoprops` of the pairs P of levels, in a third of its time: that normalises and lays
    out its weights anew for each of the four.
    """
    rows_P, cols_P = _level_pairs()
    apart_P = (rows_P - cols_P) ** 2
    contrast_A, homogeneity_A = np.stack([apart_P, 1.0 / (1.0 + apart_P)]) @ shares_PA
    row_A, row2_A, col_A, col2_A, both_A = np.stack([rows_P, rows_P**2, cols_P, cols_P**2, rows_P * cols_P]) @ shares_PA
    spread_A = np.sqrt(np.maximum(row2_A - row_A**2, 0.0) * np.maximum(col2_A - col_A**2, 0.0))
    alike = spread_A < _ROUNDING * _LEVELS**2
    correlation_A = np.where(alike, 1.0, (both_A - row_A * col_A) / np.where(alike, 1.0, spread_A))
    energy_A = np.sqrt(np.einsum("pa,pa->a", shares_PA, shares_PA))
    return float(contrast_A.mean()), float(homogeneity_A.mean()), float(energy_A.mean()), float(correlation_A.mean())


@cache
def _level_pairs() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both levels of each pair of a co-occurrence matrix."""
    rows, cols = np.divmod(np.arange(_LEVELS * _LEVELS, dtype=np.float64), _LEVELS)
    return rows, cols


def _entropy(counts: NDArray[np.int64]) -> float:
    total = counts.sum()
    if not total:
        return 0.0
    shares = counts[counts > 0] / total
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def _looks(pixels: NDArray[np.uint8], decibels: NDArray[np.float32]) -> float:
    """Estimate looks of a tile; its calmer blocks are free of structure."""
    looks = _block_looks(pixels, decibels)
    return _quantile(looks, _ENL_QUANTILE) if looks.size else 0.0


def _block_looks(
    pixels: NDArray[np.uint8], decibels: NDArray[np.float32], *, most: int = _ENL_BLOCKS
) -> NDArray[np.float64]:
    """Return mean²/variance of power of each block, for about ``most`` of them, without no data."""
    side = ENL_BLOCK_PX
    down, across = pixels.shape[0] // side, pixels.shape[1] // side
    if not down * across:
        return np.zeros(0)
    step = max(1, int(np.sqrt(down * across / most)))
    whole = pixels[: down * side, : across * side].reshape(down, side, across, side)[::step, :, ::step]
    blocks = whole.transpose(0, 2, 1, 3).reshape(-1, side * side)
    blocks = blocks[blocks.min(axis=1) > 0]
    power = np.take(10.0 ** (decibels.astype(np.float64) / 10.0), blocks)
    mean = power.mean(axis=1)
    spread = np.einsum("ij,ij->i", power, power) / side**2 - mean**2
    calm = spread > _ROUNDING * mean**2
    return np.asarray(mean[calm] ** 2 / spread[calm], dtype=np.float64)


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return what `np.quantile` does, without the checks that take it longer than the sorting."""
    return float(np.interp(share * (len(values) - 1), np.arange(len(values)), np.sort(values)))


def _range_db(counts: NDArray[np.int64], decibels: NDArray[np.float32]) -> float:
    cumulated = np.cumsum(counts[1:])
    if not cumulated[-1]:
        return 0.0
    low, high = np.searchsorted(cumulated, np.array(_TAILS) * cumulated[-1]) + 1
    return float(decibels[high] - decibels[low])


def _bright_density(view: Tile, counts: NDArray[np.int64], decibels: NDArray[np.float32]) -> float:
    valid = int(counts[1:].sum())
    if not valid:
        return 0.0
    looks = round(max(_looks(view.pixels, decibels), 0.5), 1)
    limit = decibels[_median_level(counts)] + max(_BRIGHT_DB, _speckle_tail_db(looks))
    level = int(np.searchsorted(decibels[1:], limit)) + 1
    if level > 255 or counts[level:].sum() < _SMALLEST_BRIGHT_PX:
        return 0.0
    labels, _ = ndimage.label(view.pixels >= level, structure=np.ones((3, 3)))
    scatterers = np.count_nonzero(np.bincount(labels.ravel())[1:] >= _SMALLEST_BRIGHT_PX)
    return scatterers / (valid * view.gsd_m**2 / 1e6)


def _median_level(counts: NDArray[np.int64]) -> int:
    """Return the median of valid levels, from how many pixels there are of each."""
    cumulated = np.cumsum(counts[1:])
    middle = (cumulated[-1] - 1) // 2, cumulated[-1] // 2
    return int(np.searchsorted(cumulated, middle, side="right").sum() // 2) + 1
