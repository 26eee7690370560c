"""MAE (He et al., 2022) as a task of the training loop: most patches are hidden, and a light decoder paints them.

Shape letters: B batch, C channels, H W pixels, N patches, K kept patches, P pixel values of a patch, D width,
E width of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from knowlip.settings import Section
from models.augment import Augmentation
from models.tasks.protocol import Batch
from models.tasks.unlabelled import COLUMNS, UnlabelledSettings, UnlabelledTask, named
from models.tasks.views import row_generator

__all__ = ["COLUMNS", "MaeDesign", "MaeSettings", "MaeTask", "MaskedAutoencoder"]


class MaeDesign(Section):
    """What is special to MAE; the defaults are its paper's, except for crops, which would smooth the speckle."""

    hidden: float = Field(0.75, gt=0, lt=1)
    """Share of the patches that are hidden."""
    decoder_width: int = Field(512, ge=16)
    """Width of the decoder."""
    decoder_layers: int = Field(8, ge=1)
    """Layers of the decoder."""
    decoder_heads: int = Field(16, ge=1)
    """Attention heads of the decoder."""
    augmentation: Augmentation = Augmentation()
    """How training images vary."""


class MaeSettings(UnlabelledSettings):
    """What MAE is made from."""

    design: MaeDesign = MaeDesign()
    """What is special to it."""


class MaskedAutoencoder(nn.Module):
    """A vision tower that sees some patches, and a decoder that paints all.

    Args:
        vision: A timm vision transformer with a class token.
        design: The decoder.
    """

    def __init__(self, vision: Any, design: MaeDesign) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        width, patch = design.decoder_width, int(vision.patch_embed.patch_size[0])
        count, channels = vision.patch_embed.num_patches, vision.patch_embed.proj.in_channels
        self.vision, self.patch = vision, patch
        self.enter = nn.Linear(int(vision.num_features), width)
        self.hidden_state = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + count, width))
        self.blocks = nn.Sequential(*(Block(width, design.decoder_heads) for _ in range(design.decoder_layers)))
        self.norm = nn.LayerNorm(width)
        self.paint = nn.Linear(width, channels * patch**2)
        for parameter in (self.hidden_state, self.positions):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, pixels_BCHW: Tensor, order_BN: Tensor, kept: int) -> Tensor:
        """Return painted patches (B, N, P).

        Args:
            pixels_BCHW: Images.
            order_BN: A permutation of each image's patches; the first ones are seen.
            kept: How many (K).
        """
        vision = self.vision
        # What timm's forward_features does, on some of the patches.
        states_BND = vision.norm_pre(vision._pos_embed(vision.patch_embed(pixels_BCHW)))
        seen_BKD = _taken(states_BND[:, 1:], order_BN[:, :kept])
        seen = vision.norm(vision.blocks(torch.cat([states_BND[:, :1], seen_BKD], dim=1)))
        seen = self.enter(seen)
        hidden_BNE = self.hidden_state.expand(len(seen), order_BN.shape[1] - kept, -1)
        shuffled = torch.cat([seen[:, 1:], hidden_BNE], dim=1)
        patches = _taken(shuffled, order_BN.argsort(dim=1))
        states = torch.cat([seen[:, :1], patches], dim=1) + self.positions
        return self.paint(self.norm(self.blocks(states)))[:, 1:]

    def patches(self, pixels_BCHW: Tensor) -> Tensor:
        """Return the pixel values of each patch (B, N, P)."""
        return nn.functional.unfold(pixels_BCHW, self.patch, stride=self.patch).transpose(1, 2)


class MaeTask(UnlabelledTask):
    """Paint what is hidden.

    Args:
        settings: What it is made from.
    """

    name = "mae"
    best_metric = "reconstruction"
    higher_is_better = False

    settings: MaeSettings

    def _around(self, vision: nn.Module) -> nn.Module:
        self._network = MaskedAutoencoder(vision, self.settings.design)
        return self._network

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return `pixels` (B, H, W) uint8, `order` (B, N): patches in a drawn order, `tile_id` and `skipped`."""
        views = self._views(columns, self.settings.design.augmentation if train else None, generator)
        batch, vision = named(columns, views), self.config.vision
        count = (vision.image_size // int(self.student.vision.patch_embed.patch_size[0])) ** 2
        orders = [row_generator(generator, f"{name}/hidden").permutation(count) for name in batch["tile_id"]]
        return {**batch, "pixels": views.pixels, "order": torch.from_numpy(np.stack(orders))}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean square error of hidden patches, each normalised, where there is data."""
        pixels_BCHW, order_BN = self._pixels(batch["pixels"]), batch["order"]
        kept = max(1, round(order_BN.shape[1] * (1 - self.settings.design.hidden)))
        painted_BNP = self._network(pixels_BCHW, order_BN, kept)
        target_BNP = self._network.patches(pixels_BCHW)
        there_BNP = self._network.patches((batch["pixels"] > 0)[:, None].float().expand_as(pixels_BCHW))
        valid_BN1 = there_BNP.sum(dim=2, keepdim=True).clamp(min=1)
        mean = (target_BNP * there_BNP).sum(dim=2, keepdim=True) / valid_BN1
        variance = ((target_BNP - mean).square() * there_BNP).sum(dim=2, keepdim=True) / valid_BN1
        target_BNP = (target_BNP - mean) / (variance + 1e-6).sqrt()
        weight_BNP = there_BNP * torch.ones_like(order_BN).scatter(1, order_BN[:, :kept], 0)[:, :, None]
        square = (painted_BNP.float() - target_BNP).square() * weight_BNP
        return {"reconstruction": square.sum() / weight_BNP.sum().clamp(min=1)}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Score a held-out batch, of which the same patches are hidden every time."""
        self._score(batch, **self.losses(batch))


def _taken(states_BND: Tensor, places_BK: Tensor) -> Tensor:
    return states_BND.gather(1, places_BK[:, :, None].expand(-1, -1, states_BND.shape[2]))
