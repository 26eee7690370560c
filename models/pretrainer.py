"""Pretraining on one batch: the model, its momentum encoders and its queue, and the three weighted losses (eq. 7).

Shape letters: B batch, K keys, L tokens, T written tokens, P places, N patches, D width, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.collectives import gather_rows
from models.config import KnowLIPConfig
from models.knowlip import KnowLIP
from models.momentum import MomentumEncoders
from models.objectives.itc import contrast_loss, key_mask
from models.objectives.itm import draw_negatives, matching_loss
from models.objectives.mlm import writing_loss
from models.precision import cosines
from models.queue import EMPTY, FeatureQueue

__all__ = ["PretrainingNetwork"]


class PretrainingNetwork(nn.Module):
    """All that pretraining carries from step to step, so that one state dictionary resumes it.

    Args:
        student: The model that is trained.
    """

    steps: Tensor

    def __init__(self, student: KnowLIP) -> None:
        super().__init__()
        self.student = student
        self.momentum = MomentumEncoders(student)
        self.queue = FeatureQueue(student.config.contrast.queue_size, student.config.projection)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def config(self) -> KnowLIPConfig:
        """The model's configuration."""
        return self.student.config

    @property
    def alpha(self) -> Tensor:
        """Weight of the soft targets now."""
        contrast = self.config.contrast
        rise = (self.steps / max(contrast.alpha_warmup_steps, 1)).clamp(max=1.0)
        return contrast.alpha * (rise if contrast.alpha_warmup_steps else torch.ones_like(rise))

    def forward(self, batch: Mapping[str, Any], pixels_BCHW: Tensor) -> dict[str, Tensor]:
        """Return λ₁ L_ITC, λ₂ L_ITM and λ₃ L_MLM; what weighs nothing is left out.

        Args:
            batch: From `models.tasks.pairs.PairBatcher`.
            pixels_BCHW: Its images, preprocessed.
        """
        student, weights = self.student, self.config.weights
        image_BND, image_BE = student.encode_image(pixels_BCHW)
        _, text_BE = student.encode_text(batch["ids"], batch["mask"])
        losses = {"itc": weights.itc * self._contrast(batch, pixels_BCHW, image_BE, text_BE)}
        if weights.itm > 0:
            losses["itm"] = weights.itm * self._matching(batch, image_BND, image_BE, text_BE)
        if weights.mlm > 0:
            logits_PV = self.written_logits(batch, image_BND, batch["told"])
            losses["mlm"] = weights.mlm * writing_loss(logits_PV, batch["labels"], batch["told"])
        return losses

    def written_logits(self, batch: Mapping[str, Any], image_BND: Tensor, at_P: Tensor) -> Tensor:
        """Return the decoder's logits (P, V) for what was masked, the right words before each given.

        Args:
            batch: From `PairBatcher`.
            image_BND: States of its images.
            at_P: At which places, counted through the rows.
        """
        memory_BLD = self.student.fuse(image_BND, batch["masked_ids"], batch["masked_mask"])
        return self.student.decode(batch["written"], memory_BLD, batch["masked_mask"], at_P=at_P)

    def matching_logits(
        self, batch: Mapping[str, Any], image_BND: Tensor, image_BE: Tensor, text_BE: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits (B, 2) of the pairs, of hard negative texts, of hard negative images, and their validity."""
        hardness = self.config.contrast.hardness
        similarity_BB = hardness * (cosines(image_BE, text_BE) / self.student.temperature).detach()
        allowed_BB, chance_B2 = self._allowed(batch), batch["chance"]
        text_index, text_valid = draw_negatives(similarity_BB, allowed_BB, chance_B2[:, 0])
        image_index, image_valid = draw_negatives(similarity_BB.T, allowed_BB, chance_B2[:, 1])
        images = torch.cat([image_BND, image_BND, image_BND[image_index]])
        ids, mask = (torch.cat([rows, rows[text_index], rows]) for rows in (batch["ids"], batch["mask"]))
        logits = self.student.match_logits(self.student.fuse(images, ids, mask), mask)
        positive, wrong_text, wrong_image = logits.chunk(3)
        return positive, wrong_text, wrong_image, torch.stack([text_valid, image_valid])

    @torch.no_grad()
    def after_step(self) -> None:
        """Push the step's momentum features of all workers, and let the momentum encoders follow."""
        if self._pending:
            held = (torch.cat(part) for part in zip(*self._pending, strict=True))
            image_BE, text_BE, ids_B = gather_rows(*held).parts
            self._pending.clear()
            self.queue.push(image_BE, text_BE, ids_B)
            self.momentum.update(self.student, self._decay(len(ids_B)))
        self.steps += 1

    def _decay(self, rows: int) -> float:
        """Return the momentum for a step of so many pairs, of the same half-life in samples as configured."""
        contrast = self.config.contrast
        return contrast.momentum ** (rows / contrast.momentum_batch if contrast.momentum_batch else 1.0)

    def _contrast(self, batch: Mapping[str, Any], pixels_BCHW: Tensor, image_BE: Tensor, text_BE: Tensor) -> Tensor:
        low = image_BE.device.type if self.student.image_projection.weight.dtype == torch.bfloat16 else None
        with torch.no_grad(), torch.autocast(low or "cpu", torch.bfloat16, enabled=low is not None):
            slow_image_BE = self.momentum.encode_image(pixels_BCHW)
            slow_text_BE = self.momentum.encode_text(batch["ids"], batch["mask"])
        ids_B, contrast = batch["pair_ids"], self.config.contrast
        queue_ids = torch.where(self.steps >= contrast.queue_warmup_steps, self.queue.ids, EMPTY)
        if self.training and torch.is_grad_enabled():
            self._pending.append((slow_image_BE, slow_text_BE, ids_B))
        return contrast_loss(
            image_BE,
            text_BE,
            torch.cat([slow_image_BE, self.queue.images]),
            torch.cat([slow_text_BE, self.queue.texts]),
            key_mask(ids_B, queue_ids, group=contrast.negative_group),
            self.student.temperature.float(),
            self.alpha,
        )

    def _matching(self, batch: Mapping[str, Any], image_BND: Tensor, image_BE: Tensor, text_BE: Tensor) -> Tensor:
        return matching_loss(*self.matching_logits(batch, image_BND, image_BE, text_BE))

    def _allowed(self, batch: Mapping[str, Any]) -> Tensor:
        """Return which rows (B, B) may be negatives: other pairs of the group, no near duplicates."""
        allowed_BB = ~batch["duplicates"]
        group = self.config.contrast.negative_group
        if group:
            rows = torch.arange(len(allowed_BB), device=allowed_BB.device) // group
            allowed_BB = allowed_BB & (rows[:, None] == rows[None, :])
        return allowed_BB
