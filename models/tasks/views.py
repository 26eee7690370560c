"""The images of a batch of examples: decoded, varied, and set aside where they do not decode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from knowlip.errors import DataError
from models.augment import Augmentation, augment
from models.preprocessing import Preprocessing

__all__ = ["Views", "read_views"]


@dataclass(frozen=True)
class Views:
    """Images of the rows that can be used.

    Attributes:
        kept: Indices of those rows.
        pixels: Their images (B, H, W) as uint8.
        skipped: Ids and reasons of the others.
    """

    kept: list[int]
    pixels: Tensor
    skipped: list[tuple[str, str]]


def read_views(
    columns: Mapping[str, np.ndarray],
    preprocessing: Preprocessing,
    augmentation: Augmentation | None,
    generator: torch.Generator,
) -> Views:
    """Decode the views of some examples.

    Args:
        columns: ``example_id`` and ``view``.
        preprocessing: The model's.
        augmentation: How training images vary; None for held-out ones.
        generator: Seeded anew each epoch; what a row becomes depends on its seed and the row's id alone.

    Raises:
        DataError: No row can be used.
    """
    kept, images, skipped = [], [], []
    for index, (name, view) in enumerate(zip(columns["example_id"], columns["view"], strict=True)):
        try:
            pixels = preprocessing.resized(view, where=str(name))
        except DataError as error:
            skipped.append((str(name), error.what))
            continue
        if augmentation is not None:
            seed = f"{generator.initial_seed()}/{name}".encode()
            draw = np.random.default_rng(int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big"))
            pixels = augment(pixels, augmentation, draw, may_turn=True)
        kept.append(index)
        images.append(pixels)
    if not kept:
        raise DataError(f"no usable row of {len(skipped)}: {skipped[:3]}", where="examples", fix="make them again")
    return Views(kept, torch.from_numpy(np.stack(images)), skipped)
