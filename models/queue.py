"""The queue of past image and text features that contrast is held against (section 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from models.precision import Float32Module

__all__ = ["EMPTY", "FeatureQueue", "pair_ids"]

EMPTY = -1
"""Id of a slot that holds nothing yet."""


def pair_ids(tile_ids: Sequence[str]) -> Tensor:
    """Return a non-negative 63-bit id (B) for each tile id, the same on every machine."""
    digests = [hashlib.blake2b(tile.encode(), digest_size=8).digest() for tile in tile_ids]
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=torch.int64)


class FeatureQueue(Float32Module):
    """A ring of `size` pairs of embeddings with the ids of their pairs; any batch size may be pushed.

    Args:
        size: Slots; 0 keeps nothing.
        width: Width E of the embeddings.
    """

    images: Tensor
    texts: Tensor
    ids: Tensor
    head: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, width))
        self.register_buffer("texts", torch.zeros(size, width))
        self.register_buffer("ids", torch.full((size,), EMPTY, dtype=torch.int64))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, image_BE: Tensor, text_BE: Tensor, ids_B: Tensor) -> None:
        """Replace the oldest pairs by these; of a batch larger than the queue the last ones stay."""
        if self.size == 0:
            return
        count = len(ids_B)
        kept = min(count, self.size)
        offset = torch.arange(count - kept, count, device=self.ids.device)
        slots = (self.head + offset) % self.size
        self.images[slots] = image_BE[-kept:].to(self.images)
        self.texts[slots] = text_BE[-kept:].to(self.texts)
        self.ids[slots] = ids_B[-kept:].to(self.ids)
        self.head.copy_((self.head + count) % self.size)

    def snapshot(self) -> dict[str, Tensor]:
        """Return copies of the filled slots: `images` (Q, E), `texts` (Q, E) and `ids` (Q)."""
        filled = self.ids != EMPTY
        return {
            "images": self.images[filled].float().cpu().clone(),
            "texts": self.texts[filled].float().cpu().clone(),
            "ids": self.ids[filled].cpu().clone(),
        }
