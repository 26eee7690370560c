"""The few things that workers tell each other; alone, a worker tells itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

__all__ = ["Gathered", "gather_objects", "gather_rows", "own_rank", "world_size"]


class Gathered(NamedTuple):
    """Rows of all workers, in the order of the workers.

    Attributes:
        parts: One tensor for each that was gathered.
        first: Where this worker's rows begin.
    """

    parts: tuple[Tensor, ...]
    first: int


def world_size() -> int:
    """Return how many workers train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def own_rank() -> int:
    """Return this worker's number among them."""
    return distributed.get_rank() if world_size() > 1 else 0


@torch.no_grad()
def gather_rows(*own: Tensor) -> Gathered:
    """Gather some tensors of equally many rows; workers may have different numbers of rows."""
    count = world_size()
    if count == 1:
        return Gathered(own, 0)
    rows = torch.tensor([len(own[0])], device=own[0].device)
    sizes = [torch.zeros_like(rows) for _ in range(count)]
    distributed.all_gather(sizes, rows)
    lengths = torch.cat(sizes).tolist()
    parts = tuple(_gathered(tensor, lengths) for tensor in own)
    return Gathered(parts, sum(lengths[: own_rank()]))


def _gathered(own: Tensor, lengths: Sequence[int]) -> Tensor:
    padded = own.new_zeros((max(lengths), *own.shape[1:]))
    padded[: len(own)] = own
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def gather_objects(items: Sequence[Any]) -> list[Any]:
    """Return the plain objects of all workers, in the order of the workers."""
    if world_size() == 1:
        return list(items)
    parts: list[Any] = [None] * world_size()
    distributed.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]
