"""From what a sensor measured to 8 bits that compare across a scene, and back to decibels (section 3.1, step 2).

Every quantity becomes an amplitude (or decibels, by setting), is clipped at percentiles of the *scene's* valid pixels,
so that neighbouring tiles match, and is quantised to 1…255; 0 is no data. Sources that are 8-bit already pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from knowlip.errors import SceneError

__all__ = ["Quantity", "Sample", "Transfer", "decide_quantity", "measure_transfer", "span_amplitude", "valid_mask"]

Quantity = Literal["auto", "amplitude", "power", "db", "complex"]

Curve = Literal["amplitude", "db"]

_FLOOR_DB = -60.0
_SPECKLE_CV_AMPLITUDE = 0.5227
"""Coefficient of variation of single-look amplitude speckle, sqrt(4/pi - 1); more looks only lower it."""

_CALIBRATED_POWER_MEDIAN = 2.0

_AT_ONCE_PX = 1 << 16
"""Pixels that are quantised at once: what a core's own cache holds."""

_HEADROOM_DB = 8.0
"""The upper limit lies at least this far above the median, so that ships stand out of a calm sea."""


@dataclass(frozen=True)
class Sample:
    """Pixels drawn from a scene, by which its radiometry is decided.

    Attributes:
        blocks: Raw pixels of each drawn block, as the file holds them.
        nodata: The declared no-data value.
    """

    blocks: tuple[NDArray[Any], ...]
    nodata: float | None

    def stacked(self, multiple: int) -> list[NDArray[Any]]:
        """Return the blocks, those of one shape one below the other, each cut to a multiple of so many rows."""
        alike: dict[tuple[int, ...], list[NDArray[Any]]] = {}
        for block in self.blocks:
            alike.setdefault(block.shape, []).append(block[: len(block) // multiple * multiple])
        return [np.concatenate(found) for found in alike.values()]


@dataclass(frozen=True)
class Transfer:
    """How 8-bit values come from the measured quantity, and go back.

    Attributes:
        quantity: ``amplitude``, ``power``, ``db`` or ``complex``: what the file holds.
        decided_by: ``declared``, ``tags``, ``dtype`` or ``heuristic: …``.
        low: Amplitude (or dB) of 8-bit value 1.
        high: Amplitude (or dB) of 8-bit value 255.
        curve: ``amplitude``, ``db``, or ``identity`` for a source that is 8-bit already.
        nodata: The declared no-data value of the raw pixels.
        zero_is_nodata: Whether raw zeros are no data.
    """

    quantity: str
    decided_by: str
    low: float
    high: float
    curve: str
    nodata: float | None = None
    zero_is_nodata: bool = True

    def record(self) -> dict[str, Any]:
        """Return the columns of `knowlip.records.TILES` that store it."""
        return {name: value for name, value in vars(self).items() if name not in ("nodata", "zero_is_nodata")}

    def to_8bit(self, raw: NDArray[Any]) -> NDArray[np.uint8]:
        """Quantise raw pixels (any shape) to 1…255, and 0 where there is no data."""
        if self.curve == "identity":
            return self._passed(raw)
        levels = np.empty(raw.shape, dtype=np.uint8)
        rows = max(1, _AT_ONCE_PX * len(raw) // max(raw.size, 1))
        for top in range(0, len(raw), rows):
            part, quantised = raw[top : top + rows], levels[top : top + rows]
            self._quantise(_measured(part, self.quantity, self.curve), quantised)
            if not _surely_valid(part, self.nodata, zero_is_nodata=self.zero_is_nodata):
                quantised[~valid_mask(part, self.nodata, zero_is_nodata=self.zero_is_nodata)] = 0
        return levels

    def _passed(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return levels of a source that is 8-bit already: its own, but for dark zeros and a value of no data."""
        levels = raw if self.zero_is_nodata or raw.min(initial=1) > 0 else np.maximum(raw, np.uint8(1))
        return levels if self.nodata in (None, 0.0) else np.where(raw == self.nodata, np.uint8(0), levels)

    def _quantise(self, values: NDArray[np.float32], levels: NDArray[np.uint8]) -> None:
        scale = 254.0 / (self.high - self.low)
        values = values * np.float32(scale)
        # Truncation to integers follows, so the half that rounds is added here.
        values += np.float32(1.5 - self.low * scale)
        np.clip(values, 1.0, 255.0, out=values)
        with np.errstate(invalid="ignore"):
            np.copyto(levels, values, casting="unsafe")

    def to_db(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn 8-bit values back to decibels of power; NaN for no data.

        The scale is the file's own: calibrated only where the source was. Accurate to half a quantisation step within
        the clip limits.
        """
        return self.decibels[levels]

    @property
    def decibels(self) -> NDArray[np.float32]:
        """Decibels of each of the 256 levels; NaN for level 0."""
        level = np.arange(256, dtype=np.float64)
        if self.curve == "identity":
            values = 20.0 * np.log10(np.maximum(level, 1.0))
        else:
            values = self.low + (level - 1.0) / 254.0 * (self.high - self.low)
            if self.curve == "amplitude":
                values = 20.0 * np.log10(np.maximum(values, 10.0 ** (_FLOOR_DB / 20.0) * max(self.high, 1e-30)))
        values[0] = np.nan
        return values.astype(np.float32)


def valid_mask(raw: NDArray[Any], nodata: float | None, *, zero_is_nodata: bool) -> NDArray[np.bool_]:
    """Return where raw pixels hold a measurement: finite, not the no-data value, and not an empty zero."""
    valid = np.isfinite(raw) if raw.dtype.kind in "fc" else np.ones(raw.shape, dtype=bool)
    if nodata is not None and np.isfinite(nodata):
        valid &= raw != nodata
    if zero_is_nodata:
        valid &= raw != 0
    return valid


def _surely_valid(raw: NDArray[Any], nodata: float | None, *, zero_is_nodata: bool) -> bool:
    """Tell by the extremes alone, in less time, that `valid_mask` would hold everywhere; where it cannot, say no."""
    if raw.dtype.kind == "c" or not raw.size:
        return False
    low, high = raw.min(), raw.max()
    empty = [value for value in (nodata, 0.0 if zero_is_nodata else None) if value is not None]
    return bool(np.isfinite(low) and np.isfinite(high)) and not any(low <= value <= high for value in empty)


def span_amplitude(bands: Sequence[NDArray[Any]], quantity: str, nodata: float | None) -> NDArray[np.float32]:
    """Return the span of polarisation bands, the square root of their summed powers; NaN where one has no data.

    Args:
        bands: Raw pixels of each band, all of one shape.
        quantity: What they measure.
        nodata: The declared no-data value.
    """
    power = np.zeros(bands[0].shape, dtype=np.float32)
    for raw in bands:
        amplitude = _measured(raw, quantity, "amplitude")
        with np.errstate(invalid="ignore", over="ignore"):
            power += amplitude * amplitude
        power[~valid_mask(raw, nodata, zero_is_nodata=quantity != "db")] = np.nan
    return np.sqrt(power, out=power)


def decide_quantity(sample: Sample, *, declared: Quantity = "auto", tagged: str = "") -> tuple[str, str]:
    """Tell what a scene's pixels measure.

    A declaration wins, then the file's tags or its sensor's convention, then the data type (complex; integers are
    amplitudes: digital numbers), then, for real floating point:

    1. negative values mean decibels;
    2. fully developed speckle bounds the local coefficient of variation of an amplitude at 0.52: where even the calmer
       half of the blocks exceeds it, the pixels are powers;
    3. a median below 2 is taken for a calibrated power (sigma nought), anything larger for an amplitude.

    Returns:
        The quantity, and by what it was decided.
    """
    if declared != "auto":
        return declared, "declared"
    if tagged in ("amplitude", "power", "db", "complex"):
        return tagged, "tags"
    kind = sample.blocks[0].dtype.kind
    if kind == "c":
        return "complex", "dtype"
    if kind in "iu":
        return "amplitude", "dtype"
    blocks = [block[valid_mask(block, sample.nodata, zero_is_nodata=True)] for block in sample.blocks]
    values = np.concatenate(blocks)
    if (values < 0).mean() > 1e-3:
        return "db", "heuristic: negative values"
    variations = [float(block.std() / block.mean()) for block in blocks if block.size >= 64 and block.mean() > 0]
    if variations and np.median(variations) > 1.2 * _SPECKLE_CV_AMPLITUDE:
        return "power", "heuristic: speckle is stronger than an amplitude's"
    if np.median(values) < _CALIBRATED_POWER_MEDIAN:
        return "power", "heuristic: small values, as of calibrated power"
    return "amplitude", "heuristic: large positive values"


def measure_transfer(
    sample: Sample,
    *,
    declared: Quantity = "auto",
    tagged: str = "",
    curve: Curve = "amplitude",
    clip_percent: tuple[float, float] = (1.0, 99.5),
) -> Transfer:
    """Decide how a scene becomes 8-bit, from a sample of its pixels.

    Args:
        sample: Pixels from all over the scene.
        declared: The quantity as the user declares it.
        tagged: The quantity as tags or the sensor say.
        curve: ``amplitude`` or ``db``: what the 8-bit values are linear in.
        clip_percent: Percentiles of the valid pixels that become 1 and 255; the upper limit is raised to 8 dB above the
            median where values reach so far.

    Raises:
        SceneError: No pixel is valid (``all_nodata``), all are alike (``constant``), or a declaration cannot be true
            (``quantity``).
    """
    empty_zeros = _zeros_are_empty(sample)
    blocks = [block[valid_mask(block, sample.nodata, zero_is_nodata=empty_zeros)] for block in sample.blocks]
    values = np.concatenate(blocks) if blocks else np.zeros(0)
    if not values.size:
        raise SceneError("no valid pixel: all are no data, NaN or zero", fix="leave it out", code="all_nodata")
    if values.min() == values.max():
        raise SceneError(f"every valid pixel is {values.flat[0]:g}", fix="leave it out", code="constant")
    quantity, decided_by = decide_quantity(sample, declared=declared, tagged=tagged)
    if sample.blocks[0].dtype == np.uint8:
        return Transfer(quantity, decided_by, 1.0, 255.0, "identity", sample.nodata, empty_zeros)
    empty_zeros = quantity != "db" or empty_zeros
    if quantity in ("amplitude", "power") and (values.real < 0).mean() > 1e-3:
        raise SceneError(f"negative values, so no {quantity}", fix="declare --scenes.quantity db", code="quantity")
    shown = _measured(values, quantity, curve)
    low, middle, high = (float(value) for value in np.percentile(shown, (clip_percent[0], 50.0, clip_percent[1])))
    headroom = middle + _HEADROOM_DB if curve == "db" else middle * 10.0 ** (_HEADROOM_DB / 20.0)
    high = max(high, min(headroom, float(shown.max())))
    if not high > low:
        low, high = float(shown.min()), float(shown.max())
    if not high > low:
        raise SceneError("its valid pixels span no range", fix="leave it out", code="constant")
    return Transfer(quantity, decided_by, low, high, curve, sample.nodata, empty_zeros)


def _zeros_are_empty(sample: Sample) -> bool:
    """Tell no-data zeros, which lie in solid areas, from dark pixels of a quantised image, which lie scattered."""
    if sample.nodata is not None and sample.nodata == 0:
        return True
    if sample.blocks and sample.blocks[0].dtype.kind in "fc":
        # A radar never measures exactly nothing; in decibels zero is a value, unless it fills whole areas.
        signed = any((block.real < 0).any() for block in sample.blocks)
        if not signed or sample.blocks[0].dtype.kind == "c":
            return True
    zero = alone = 0
    for block in sample.blocks:
        empty = block == 0
        inner = empty[1:-1, 1:-1]
        ring = empty[:-2, 1:-1] & empty[2:, 1:-1] & empty[1:-1, :-2] & empty[1:-1, 2:]
        zero += int(inner.sum())
        alone += int((inner & ~ring).sum())
    return zero > 0 and alone < zero / 2


_MEASURES: dict[tuple[str, str], Callable[[NDArray[Any]], NDArray[Any]]] = {
    ("amplitude", "amplitude"): lambda raw: raw,
    ("complex", "amplitude"): np.abs,
    ("power", "amplitude"): lambda raw: np.sqrt(np.maximum(raw, 0)),
    ("db", "amplitude"): lambda raw: np.exp2(raw.astype(np.float32) * np.float32(np.log2(10.0) / 20.0)),
    ("db", "db"): lambda raw: raw,
    ("amplitude", "db"): lambda raw: _decibels(raw, 20.0),
    ("complex", "db"): lambda raw: _decibels(np.abs(raw), 20.0),
    ("power", "db"): lambda raw: _decibels(raw, 10.0),
}
"""Measured quantity and curve to what is linear in the 8-bit values."""


def _measured(raw: NDArray[Any], quantity: str, curve: str) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        return _MEASURES[quantity, curve](raw).astype(np.float32, copy=False)


def _decibels(raw: NDArray[Any], factor: float) -> NDArray[np.float32]:
    smallest = np.float32(np.finfo(np.float32).tiny)
    return np.float32(factor) * np.log10(np.maximum(raw.astype(np.float32), smallest))
