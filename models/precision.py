"""In which precision parts of a network compute and keep their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.layers.fast_norm import fast_layer_norm
from torch import Tensor, nn

__all__ = ["AutocastNorm", "Float32Module", "cosines", "follow_autocast"]


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


class AutocastNorm(nn.LayerNorm):
    """A layer norm that computes in autocast's precision.

    Autocast by itself makes every norm's output float32, and with it all that follows up to the next product: twice
    the memory and its traffic. Means and variances are float32 inside the kernel either way.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (as nn.LayerNorm calls it)
        """Return the normalised states, in bfloat16 under autocast to it."""
        return fast_layer_norm(input, list(self.normalized_shape), self.weight, self.bias, self.eps)


def cosines(rows_AE: Tensor, columns_BE: Tensor) -> Tensor:
    """Return the products (A, B) of unit vectors, whatever autocast says in no less than their own precision.

    Autocast would round them to bfloat16: divided by a small temperature, that is a large part of a logit, and among
    many neighbours most would tie.
    """
    with torch.autocast(rows_AE.device.type, enabled=False):
        return rows_AE @ columns_BE.to(rows_AE.dtype).T


def follow_autocast(network: nn.Module) -> None:
    """Replace all layer norms of a network by ones of the same parameters that follow autocast."""
    for parent in list(network.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, nn.LayerNorm):
                following = AutocastNorm(norm.normalized_shape, norm.eps, device="meta")
                following.weight, following.bias = norm.weight, norm.bias
                setattr(parent, name, following)
