"""Modules that keep their float32 values when an engine casts the network around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["Float32Module"]


class Float32Module(nn.Module):
    """Moves between devices and ignores casts.

    A moving average with a decay of 0.995 stands still in bfloat16, and features rounded to it shift similarities that
    are divided by a small temperature.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def moved(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            return result if result.dtype == tensor.dtype else tensor.to(result.device)

        return super()._apply(moved, recurse)
