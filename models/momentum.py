"""Momentum encoders: a slow average of both towers that gives the queue its features and the loss its soft targets."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor

from models.knowlip import KnowLIP
from models.precision import Float32Module

__all__ = ["MomentumEncoders"]


class MomentumEncoders(Float32Module):
    """An exponential moving average of a model's two encoders.

    Args:
        model: The model that is followed; the average starts at its weights.
    """

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        average = copy.deepcopy(model)
        del average.match_head, average.language_head, average.log_temperature
        for layer in average.text.layers:
            del layer.image_attention, layer.memory_attention
        self.model = average.float().eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in evaluation mode: soft targets are made without dropout."""
        return super().train(False)

    @torch.no_grad()
    def encode_image(self, pixels_BCHW: Tensor) -> Tensor:
        """Return momentum image embeddings (B, E)."""
        return self.model.encode_image(pixels_BCHW.float())[1]

    @torch.no_grad()
    def encode_text(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return momentum text embeddings (B, E)."""
        return self.model.encode_text(ids_BL, mask_BL)[1]

    @torch.no_grad()
    def update(self, model: KnowLIP, decay: float) -> None:
        """Move to `decay` × average + (1 − `decay`) × model."""
        current = dict(model.named_parameters())
        slow = dict(self.model.named_parameters())
        fast = [current[name].detach().float() for name in slow]
        torch._foreach_lerp_(list(slow.values()), fast, 1.0 - decay)
