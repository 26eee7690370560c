"""The few things that workers tell each other; alone, a worker tells itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

__all__ = ["gather_objects", "gather_rows", "world_size"]


def world_size() -> int:
    """Return how many workers train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@torch.no_grad()
def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all workers, in their order; workers may have different numbers of rows."""
    count = world_size()
    if count == 1:
        return rows
    own = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.zeros_like(own) for _ in range(count)]
    distributed.all_gather(sizes, own)
    lengths = [int(size) for size in sizes]
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(count)]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def gather_objects(items: Sequence[Any]) -> list[Any]:
    """Return the plain objects of all workers, in the order of the workers."""
    if world_size() == 1:
        return list(items)
    parts: list[Any] = [None] * world_size()
    distributed.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]
