"""The images of a batch of examples: decoded, fitted to the input, varied, and set aside where they do not decode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from knowlip.errors import DataError
from models.augment import Augmentation, augment
from models.fitting import Fit, Fitting, Turn, fit_image
from models.preprocessing import Preprocessing, decode_view

__all__ = ["Views", "chances", "read_views", "row_generator"]


@dataclass(frozen=True)
class Views:
    """Images of the rows that can be used.

    Attributes:
        kept: Indices of those rows.
        pixels: Their images (B, H, W) as uint8.
        skipped: Ids and reasons of the others.
        fittings: Where each image lies on the input, before it is turned.
        turns: How each was turned.
    """

    kept: list[int]
    pixels: Tensor
    skipped: list[tuple[str, str]]
    fittings: list[Fitting] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


def read_views(
    columns: Mapping[str, np.ndarray],
    preprocessing: Preprocessing,
    augmentation: Augmentation | None,
    generator: torch.Generator,
    *,
    fit: Fit = "stretch",
    still: bool = False,
) -> Views:
    """Decode the views of some examples.

    Args:
        columns: ``example_id`` and ``view``.
        preprocessing: The model's.
        augmentation: How training images vary; None for held-out ones.
        generator: Seeded anew each epoch; what a row becomes depends on its seed and the row's id alone.
        fit: How an image meets the input's size.
        still: Do not shift images, because something is known pixel by pixel.

    Raises:
        DataError: No row can be used.
    """
    kept, images, skipped, fittings, turns = [], [], [], [], []
    for index, (name, view) in enumerate(zip(columns["example_id"], columns["view"], strict=True)):
        try:
            pixels, place = fit_image(decode_view(view, where=str(name)), preprocessing, fit)
        except DataError as error:
            skipped.append((str(name), error.what))
            continue
        turn = Turn()
        if augmentation is not None:
            draw = row_generator(generator, str(name))
            turn = Turn.drawn(draw) if augmentation.turn else turn
            limits = {"turn": False, **({"shift_px": 0} if still else {})}
            pixels = augment(turn.image(pixels), augmentation.model_copy(update=limits), draw, may_turn=False)
        kept.append(index)
        images.append(pixels)
        fittings.append(place)
        turns.append(turn)
    if not kept:
        raise DataError(f"no usable row of {len(skipped)}: {skipped[:3]}", where="examples", fix="make them again")
    return Views(kept, torch.from_numpy(np.stack(images)), skipped, fittings, turns)


def chances(generator: torch.Generator, names: Sequence[str]) -> Tensor:
    """Return two uniform numbers for each row (B, 2), by which its hard negatives are drawn."""
    drawn = [row_generator(generator, f"{name}/negative").random(2) for name in names]
    return torch.from_numpy(np.stack(drawn)).float()


def row_generator(generator: torch.Generator, name: str) -> np.random.Generator:
    """Return what draws for one row in one epoch, whichever batch it comes in."""
    seed = f"{generator.initial_seed()}/{name}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big"))
