"""Images of any size on a square input: stretched, or padded at their native scale; and flips that boxes follow.

Shape letters: H W pixels of the image, S side of the input, T boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing import Preprocessing

__all__ = ["Fit", "Fitting", "Turn", "fit_image"]

Fit = Literal["stretch", "pad"]


@dataclass(frozen=True)
class Fitting:
    """Where an image lies on its input.

    Attributes:
        shape: Height and width of the image.
        size: S.
        down: Input pixels an image pixel, vertically.
        right: The same horizontally.
        top: First input row of the image.
        left: First input column.
    """

    shape: tuple[int, int]
    size: int
    down: float
    right: float
    top: int = 0
    left: int = 0

    def boxes(self, boxes_T4: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes (xmin, ymin, xmax, ymax) of the image in input pixels."""
        scale = np.array([self.right, self.down] * 2, np.float32)
        return boxes_T4 * scale + np.array([self.left, self.top] * 2, np.float32)

    def boxes_back(self, boxes_T4: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes of the input in image pixels."""
        scale = np.array([self.right, self.down] * 2, np.float32)
        return (boxes_T4 - np.array([self.left, self.top] * 2, np.float32)) / scale

    def mask(self, codes_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask on the input, by nearest neighbours; 0 beside the image."""
        height, width = self.extent
        resized = Image.fromarray(codes_HW).resize((width, height), Image.Resampling.NEAREST)
        placed = np.zeros((self.size, self.size), np.uint8)
        placed[self.top : self.top + height, self.left : self.left + width] = np.asarray(resized)
        return placed

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of the image on the input."""
        return max(1, round(self.shape[0] * self.down)), max(1, round(self.shape[1] * self.right))


def fit_image(
    pixels_HW: NDArray[np.uint8], preprocessing: Preprocessing, fit: Fit
) -> tuple[NDArray[np.uint8], Fitting]:
    """Put an image on the input.

    Args:
        pixels_HW: 8-bit image, 0 no data.
        preprocessing: Gives the input's size, and averages where an image is larger.
        fit: ``stretch`` to the size; or ``pad`` with no data about it, scaled down only where it is larger.
    """
    size = preprocessing.image_size
    height, width = pixels_HW.shape
    if fit == "stretch":
        place = Fitting((height, width), size, size / height, size / width)
        return preprocessing.resized(pixels_HW), place
    shrink = min(1.0, size / max(height, width))
    if shrink < 1.0:
        side = max(height, width)
        square = np.zeros((side, side), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = pixels_HW
        place = Fitting((height, width), size, shrink, shrink, round(top * shrink), round(left * shrink))
        return preprocessing.resized(square), place
    placed = np.zeros((size, size), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    placed[top : top + height, left : left + width] = pixels_HW
    return placed, Fitting((height, width), size, 1.0, 1.0, top, left)


@dataclass(frozen=True)
class Turn:
    """A flip and right-angle turns of a square input, which smooth no speckle.

    Attributes:
        quarters: Quarter turns, counter-clockwise.
        mirror: Whether left and right are exchanged after them.
    """

    quarters: int = 0
    mirror: bool = False

    @classmethod
    def drawn(cls, generator: np.random.Generator) -> Turn:
        """Draw one of the eight."""
        return cls(int(generator.integers(4)), bool(generator.integers(2)))

    def image(self, pixels_SS: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the turned image or mask."""
        turned = np.rot90(pixels_SS, self.quarters)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirror else turned)

    def boxes(self, boxes_T4: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Return boxes (xmin, ymin, xmax, ymax) on the turned input."""
        boxes = boxes_T4
        for _ in range(self.quarters):
            boxes = np.stack([boxes[:, 1], size - boxes[:, 2], boxes[:, 3], size - boxes[:, 0]], axis=1)
        if self.mirror:
            boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
        return boxes
