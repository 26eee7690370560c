"""From drawn ground to a SAR image: texture, point response, speckle and receiver noise.

Intensity is ``(ground x texture x visibility + volumes + noise floor) x gamma speckle + points``; the image is its
square root. All of it runs in strips of rows, so that no second image-sized array of floats is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from knowlip.scenes.simulate.canvas import Canvas, Frame
from knowlip.scenes.simulate.surfaces import Z_PER_STEP, Illumination, cover_codes, texture_tables

__all__ = ["NOISE_FLOOR_DB", "image"]

STRIP_ROWS = 256
FINE_TEXTURE_M = 3.0
COARSE_TEXTURE_M = 90.0
NOISE_FLOOR_DB = -27.0
"""Noise-equivalent backscatter: what a perfect shadow returns."""

_BICUBIC_GAIN = 1.25
"""Interpolating between independent values lowers their spread by about this much."""

Field = Callable[[int, int], npt.NDArray[np.uint8]]


def image(
    canvas: Canvas, illumination: Illumination, looks: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Render a canvas.

    Args:
        canvas: The drawn ground.
        illumination: Band, incidence angle and polarisation.
        looks: Number of looks: the order of the gamma speckle.

    Returns:
        Amplitude (H, W), the square root of backscatter, and land cover (H, W) with the codes of `LANDCOVER`.
    """
    frame = canvas.frame
    surfaces, lit, amplitude = canvas.surfaces(), canvas.lit(), canvas.volumes()
    points = _splat(canvas.points(), frame)
    fine, coarse = texture_tables(illumination)
    fine_field = _field(canvas.rng("fine texture"), frame, FINE_TEXTURE_M)
    coarse_field = _field(canvas.rng("coarse texture"), frame, COARSE_TEXTURE_M)
    speckle = canvas.rng("speckle")
    noise = np.float32(10 ** (NOISE_FLOOR_DB / 10))
    for top in range(0, frame.height_px, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, frame.height_px))
        index = surfaces[rows].astype(np.intp) << 8
        ground = fine.ravel()[index | fine_field(rows.start, rows.stop)]
        ground *= coarse.ravel()[index | coarse_field(rows.start, rows.stop)]
        ground *= lit[rows]
        strip = amplitude[rows]  # holds the volumes' backscatter until here
        strip += ground
        strip += noise
        strip *= speckle.standard_gamma(looks, strip.shape, dtype=np.float32)
        strip *= np.float32(1 / looks)
        strip += points[rows]
        np.sqrt(strip, out=strip)
    return amplitude, cover_codes()[surfaces]


def _field(rng: np.random.Generator, frame: Frame, grain_m: float) -> Field:
    """Return a function of (first row, last row) that gives a smooth normal field as bytes."""
    grain_px = grain_m / frame.gsd_m

    def white(start: int, stop: int) -> npt.NDArray[np.uint8]:
        return _as_bytes(rng.standard_normal((stop - start, frame.width_px), dtype=np.float32))

    if grain_px < 1.5:
        return white
    shape = (int(frame.height_px / grain_px) + 3, int(frame.width_px / grain_px) + 3)
    knots = Image.fromarray(rng.standard_normal(shape, dtype=np.float32) * np.float32(_BICUBIC_GAIN))

    def smooth(start: int, stop: int) -> npt.NDArray[np.uint8]:
        box = (1.0, 1 + start / grain_px, 1 + frame.width_px / grain_px, 1 + stop / grain_px)
        strip = knots.resize((frame.width_px, stop - start), Image.Resampling.BICUBIC, box=box)
        return _as_bytes(np.asarray(strip))

    return smooth


def _as_bytes(z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    levels = z * np.float32(1 / Z_PER_STEP) + np.float32(128.5)
    return np.asarray(np.clip(levels, 0, 255), dtype=np.uint8)


def _splat(points: npt.NDArray[np.float64], frame: Frame) -> npt.NDArray[np.float32]:
    """Spread point scatterers over pixels with the system's point response, keeping their energy.

    A cross section σ in a pixel of ground area A reads σ/A, so finer sensors see points brighter, as real ones do.
    """
    shape = (frame.height_px, frame.width_px)
    col, row = points[:, 0] / frame.gsd_m - 0.5, points[:, 1] / frame.gsd_m - 0.5
    left, top = np.floor(col).astype(np.intp), np.floor(row).astype(np.intp)
    east, south = col - left, row - top
    energy = points[:, 2] / frame.gsd_m**2
    total = np.zeros(shape[0] * shape[1], dtype=np.float32)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - dx - east) * np.abs(1 - dy - south) * energy
        x, y = left + dx, top + dy
        inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
        np.add.at(total, y[inside] * shape[1] + x[inside], weight[inside].astype(np.float32))
    response = _point_response()
    across = ndimage.convolve1d(total.reshape(shape), response, axis=1, mode="constant")
    return np.asarray(ndimage.convolve1d(across, response, axis=0, mode="constant"), dtype=np.float32)


def _point_response() -> npt.NDArray[np.float32]:
    """Intensity response of a Hamming-weighted aperture sampled at 1.3 pixels a resolution cell; sums to one."""
    x = np.arange(-6, 7) / 1.3
    amplitude = 0.6 * np.sinc(x) + 0.2 * (np.sinc(x - 1) + np.sinc(x + 1))
    return np.asarray(amplitude**2 / np.sum(amplitude**2), dtype=np.float32)
