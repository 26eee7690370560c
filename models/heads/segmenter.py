"""Segmenter (section 4.3): a mask transformer that reads patch states together with one learned state a class.

Shape letters: B batch, C classes, N patches, D width of the tower, E width of the decoder, H W pixels.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from knowlip.settings import Section

__all__ = ["Segmenter", "SegmenterConfig"]


class SegmenterConfig(Section):
    """The mask transformer."""

    layers: int = Field(2, ge=1)
    """Transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    width: int = Field(0, ge=0)
    """Width; 0 for the tower's."""


class Segmenter(nn.Module):
    """A vision tower with a mask transformer.

    Args:
        vision: A tower that gives states (B, 1 + N, D).
        patch: Pixels a side of a patch.
        states: D.
        classes: C.
        config: The mask transformer.
    """

    def __init__(self, vision: nn.Module, patch: int, states: int, classes: int, config: SegmenterConfig) -> None:
        super().__init__()
        width = config.width or states
        self.vision, self.patch, self.classes = vision, patch, classes
        self.enter = nn.Linear(states, width)
        self.class_states = nn.Parameter(torch.empty(1, classes, width))
        layer = nn.TransformerEncoderLayer(
            width, config.heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.patch_projection = nn.Linear(width, width, bias=False)
        self.class_projection = nn.Linear(width, width, bias=False)
        self.mask_norm = nn.LayerNorm(classes)
        nn.init.trunc_normal_(self.class_states, std=0.02)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return logits (B, C, H, W)."""
        height, width = pixels_BCHW.shape[2:]
        states_BNE = self.enter(self.vision.forward_features(pixels_BCHW)[:, 1:])
        joint = torch.cat([states_BNE, self.class_states.expand(len(states_BNE), -1, -1)], dim=1)
        joint = self.norm(self.decoder(joint))
        patches_BNE = functional.normalize(self.patch_projection(joint[:, : -self.classes]), dim=-1)
        classes_BCE = functional.normalize(self.class_projection(joint[:, -self.classes :]), dim=-1)
        masks_BNC = self.mask_norm(patches_BNE @ classes_BCE.transpose(1, 2))
        masks = masks_BNC.transpose(1, 2).unflatten(2, (height // self.patch, -1))
        return functional.interpolate(masks.float(), size=(height, width), mode="bilinear", align_corners=False)
