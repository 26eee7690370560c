"""Augmentation that respects radar images: no colour, and no interpolation that would smooth the speckle.

Flips and turns move north and left about, so a pair whose text speaks of directions is never turned: the text would no
longer be true.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from knowlip.settings import Section
from models.fitting import Turn

__all__ = ["Augmentation", "augment", "speaks_of_directions"]

_DIRECTIONS = re.compile(
    r"\b(?:north|south|east|west|northern|southern|eastern|western|(?:north|south)-?(?:east|west)(?:ern)?|"
    r"left|right|top|bottom|upper|lower|vertical(?:ly)?|horizontal(?:ly)?|heading|range|azimuth)\b|"
    r"\bdegrees?\b|°",
    re.IGNORECASE,
)


class Augmentation(Section):
    """How much a training image is varied."""

    turn: bool = True
    """Flips and right-angle turns, where no text speaks of directions."""
    shift_px: Annotated[int, Field(ge=0)] = 8
    """Largest shift, in input pixels; what comes in is no data."""
    gain_db: Annotated[float, Field(ge=0.0)] = 0.5
    """Largest change of gain, ± dB of the 8-bit amplitude."""
    speckle: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    """Standard deviation of extra multiplicative speckle (unit-mean gamma)."""


def speaks_of_directions(text: str) -> bool:
    """Tell whether a text would become false when its image is flipped or turned."""
    return _DIRECTIONS.search(text) is not None


def augment(
    pixels_HW: NDArray[np.uint8],
    settings: Augmentation,
    generator: np.random.Generator,
    *,
    may_turn: bool,
) -> NDArray[np.uint8]:
    """Return a varied copy of a square 8-bit image; no data stays 0 and valid pixels stay in 1 … 255."""
    turn = Turn.drawn(generator)
    dy, dx = generator.integers(-settings.shift_px, settings.shift_px + 1, 2)
    gain = 10 ** (generator.uniform(-settings.gain_db, settings.gain_db) / 20)
    if settings.turn and may_turn:
        pixels_HW = turn.image(pixels_HW)
    pixels_HW = _shifted(pixels_HW, int(dy), int(dx))
    if settings.gain_db == 0.0 and settings.speckle == 0.0:
        return pixels_HW
    if settings.speckle == 0.0:  # one factor for all: a table of 256 values is quicker than a product a pixel
        return _varied(np.arange(256), gain)[pixels_HW]
    looks = settings.speckle**-2
    factor = gain * generator.standard_gamma(looks, pixels_HW.shape, dtype=np.float32) / np.float32(looks)
    return _varied(pixels_HW, factor)


def _varied(values: NDArray[Any], factor: NDArray[np.float32] | float) -> NDArray[np.uint8]:
    return np.where(values == 0, 0, np.clip(np.rint(values * factor), 1, 255)).astype(np.uint8)


def _shifted(pixels_HW: NDArray[np.uint8], dy: int, dx: int) -> NDArray[np.uint8]:
    """Move the image by whole pixels and fill with no data."""
    height, width = pixels_HW.shape
    moved = np.zeros_like(pixels_HW)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = pixels_HW[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved
