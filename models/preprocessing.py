"""From the stored 8-bit views to the network's input, the same in training and in service.

Shape letters: B batch, C channels, H W pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, ValidationError
from torch import Tensor

from knowlip.errors import CheckpointError, DataError
from knowlip.settings import Section

__all__ = ["ImageLike", "Preprocessing", "decode_view"]

ImageLike = bytes | NDArray[np.uint8] | Image.Image
"""PNG (or JPEG) bytes, an (H, W) or (H, W, C) uint8 array, or a PIL image."""

_FILE = "preprocessing.json"


class Preprocessing(Section):
    """How an 8-bit image becomes a tensor. The value 0 means no data and becomes the mean; 1 … 255 are valid."""

    image_size: Annotated[int, Field(ge=8, le=4096)] = 224
    """Pixels a side."""
    channels: Annotated[int, Field(ge=1, le=3)] = 1
    """Channels; the image is repeated."""
    mean: float = 0.35
    """Mean of valid pixels on a scale of 0 to 1."""
    std: Annotated[float, Field(gt=0.0)] = 0.2
    """Standard deviation on the same scale."""

    def resized(self, image: ImageLike, *, where: str = "image") -> NDArray[np.uint8]:
        """Return the image (H, W) at the input size: averaged over the valid pixels, 0 where most are not.

        Raises:
            DataError: The image cannot be decoded.
        """
        pixels = decode_view(image, where=where)
        size = self.image_size
        if pixels.shape == (size, size):
            return pixels
        valid = Image.fromarray((pixels > 0).astype(np.float32))
        values = Image.fromarray(pixels.astype(np.float32))
        share = np.asarray(valid.resize((size, size), Image.Resampling.BOX))
        total = np.asarray(values.resize((size, size), Image.Resampling.BOX))
        mean = total / np.maximum(share, 1e-6)
        return np.where(share >= 0.5, np.clip(np.rint(mean), 1, 255), 0).astype(np.uint8)

    def normalised(self, pixels_BHW: NDArray[np.uint8] | Tensor) -> Tensor:
        """Return pixels (B, C, H, W) in float32 with about zero mean and unit deviation; no data becomes 0."""
        grey = torch.as_tensor(pixels_BHW)
        scaled = (grey.float() / 255.0 - self.mean) / self.std
        scaled = torch.where(grey == 0, torch.zeros_like(scaled), scaled)
        return scaled[:, None].expand(-1, self.channels, -1, -1).contiguous()

    def __call__(self, images: Sequence[ImageLike], *, first: int = 0) -> Tensor:
        """Return pixels (B, C, H, W) of some images.

        Args:
            images: At least one.
            first: Number of the first one, for the error line.

        Raises:
            DataError: An image cannot be decoded; names its number.
        """
        resized = [self.resized(image, where=f"image {index}") for index, image in enumerate(images, first)]
        return self.normalised(np.stack(resized))

    def save(self, folder: str | Path) -> None:
        """Write `preprocessing.json`."""
        (Path(folder) / _FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_folder(cls, folder: str | Path) -> Preprocessing:
        """Read `preprocessing.json`.

        Raises:
            CheckpointError: It is missing or does not hold what it should.
        """
        try:
            return cls.model_validate_json((Path(folder) / _FILE).read_bytes())
        except OSError as error:
            raise CheckpointError(f"no {_FILE}", where=str(folder), fix="save the checkpoint again") from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise CheckpointError(f"{_FILE}: {field}: {first['msg']}", where=str(folder)) from error


def decode_view(image: ImageLike, *, where: str = "image") -> NDArray[np.uint8]:
    """Return an image as (H, W) uint8; several channels are averaged.

    Raises:
        DataError: The bytes are no image, or the array has another type or shape.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(image)) as opened:
                    image = opened.convert("L")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
            raise DataError(
                "the image does not decode", where=where, fix="give PNG or JPEG bytes", code="undecodable"
            ) from error
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("L"), dtype=np.uint8)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(
            f"an array of {array.dtype} {array.shape}", where=where, fix="give uint8 (H, W)", code="undecodable"
        )
    return array if array.ndim == 2 else np.rint(array.mean(axis=2)).astype(np.uint8)
