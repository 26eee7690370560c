"""One entry of a listing as pixels, checked against what is said of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowlip.benchmark.layouts.boxes import fitted
from knowlip.benchmark.layouts.entry import Box, Entry
from knowlip.benchmark.layouts.legends import Legend
from knowlip.benchmark.layouts.pictures import read_mask, read_picture
from knowlip.errors import DataError
from knowlip.tiling.duplicates import perceptual_hash
from knowlip.tiling.encoding import encode_png

__all__ = ["Loaded", "load"]


@dataclass(frozen=True)
class Loaded:
    """What an entry holds.

    Attributes:
        entry: It.
        pixels: 8-bit image (rows, columns) at its own size.
        boxes: Its targets, within the image.
        codes: Code of each pixel, 0 unknown; or none.
    """

    entry: Entry
    pixels: NDArray[np.uint8]
    boxes: tuple[Box, ...] | None = None
    codes: NDArray[np.uint8] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels and their shape: the same picture in any file."""
        head = f"{self.pixels.shape}".encode()
        return hashlib.sha256(head + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()

    @property
    def hash(self) -> int:
        """The perceptual hash by which near duplicates are found."""
        return perceptual_hash(self.pixels)

    def row(self) -> dict[str, Any]:
        """Return the columns of `knowlip.records.EXAMPLES` that an image and its annotation fill."""
        boxes = None if self.boxes is None else [vars(box) for box in self.boxes]
        return {
            "example_id": self.entry.name,
            "tile_id": self.entry.name,
            "view": encode_png(self.pixels),
            "label": self.entry.label,
            "boxes": boxes,
            "mask": None if self.codes is None else encode_png(self.codes),
        }


def load(entry: Entry, legend: Legend | None, *, band: int = 1) -> Loaded:
    """Decode an entry and hold it against its annotation.

    Args:
        entry: What a layout listed.
        legend: What mask values mean (segmentation).
        band: Which band of images that have several.

    Raises:
        DataError: The image or mask cannot be read, a box lies outside or has no area, the mask has another size or an
            unknown value, or the image another size than was annotated.
    """
    pixels = read_picture(entry.path, band=band)
    height, width = pixels.shape
    if entry.shape not in (None, (height, width)):
        raise DataError(
            f"is {width} × {height} and annotated as {entry.shape[1]} × {entry.shape[0]}",
            where=entry.name,
            fix="mend the annotation, or --skip-bad",
            code="size",
        )
    boxes = None if entry.boxes is None else fitted(entry.boxes, height, width, where=entry.name)
    if entry.mask is None or legend is None:
        return Loaded(entry, pixels, boxes)
    raw = read_mask(entry.mask, colours=legend.colours)
    if raw.shape != pixels.shape:
        raise DataError(
            f"a mask of {raw.shape[1]} × {raw.shape[0]} on an image of {width} × {height}",
            where=entry.name,
            fix="give them one size, or --skip-bad",
            code="mask_size",
        )
    return Loaded(entry, pixels, boxes, legend.codes(raw, where=entry.mask.name))
