"""The KnowLIP network (section 3.3): two towers, a shared embedding, a matching head and a decoder.

Shape letters: B batch, C channels, H W pixels, N patches (class token first), L tokens, M memory tokens, D width,
E shared embedding, V vocabulary, P places in a batch of texts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import EncoderDecoderCache

from models.config import KnowLIPConfig
from models.towers import LanguageHead, TextTower, Use, make_vision_tower

__all__ = ["KnowLIP"]


class KnowLIP(nn.Module):
    """Vision and text encoders, fused encoder and decoder; the last three share self-attention and feed-forward.

    Args:
        config: Architecture and objectives.
    """

    def __init__(self, config: KnowLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = make_vision_tower(config.vision)
        image_width, width = int(self.vision.num_features), config.text.width
        self.text = TextTower(config.text, image_width)
        self.image_projection = nn.Linear(image_width, config.projection)
        self.text_projection = nn.Linear(width, config.projection)
        self.match_head = nn.Linear(width, 2)
        self.language_head = LanguageHead(config.text)
        # One element, not a scalar: DeepSpeed cannot broadcast a parameter without dimensions.
        self.log_temperature = nn.Parameter(torch.tensor([math.log(config.contrast.temperature)]))

    @property
    def temperature(self) -> Tensor:
        """τ of eq. 4, clamped; the gradient passes the clamp, so that τ can come back from its bounds."""
        bounds = self.config.contrast
        free = self.log_temperature.squeeze()
        held = free.clamp(math.log(bounds.temperature_min), math.log(bounds.temperature_max))
        return (free + (held - free).detach()).exp()

    def encode_image(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return patch states (B, 1 + N, D) and L2-normalised embeddings (B, E) (eq. 8)."""
        image_BND = self.vision.forward_features(pixels_BCHW)
        return image_BND, functional.normalize(self.image_projection(self._pooled(image_BND, None)).float(), dim=-1)

    def encode_text(self, ids_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Return token states (B, L, D) and L2-normalised embeddings (B, E) (eq. 9)."""
        text_BLD = self.text(ids_BL, mask_BL, Use.TEXT)
        return text_BLD, functional.normalize(self.text_projection(self._pooled(text_BLD, mask_BL)).float(), dim=-1)

    def fuse(self, image_BND: Tensor, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Return the states (B, L, D) of texts that look at their images.

        The texts may be K times as many as the images, K consecutive texts an image; the image's keys and values are
        then computed once for them.
        """
        return self.text(ids_BL, mask_BL, Use.FUSED, context=image_BND)

    def match_logits(self, fused_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Return logits (B, 2) of "does not match" and "matches" (eq. 5) from the states of `fuse`."""
        return self.match_head(self._pooled(fused_BLD, mask_BL))

    def decode(
        self,
        ids_BL: Tensor,
        memory_BMD: Tensor,
        memory_mask_BM: Tensor | None,
        cache: EncoderDecoderCache | None = None,
        *,
        at_P: Tensor | None = None,
    ) -> Tensor:
        """Return next-token logits (B, L, V) of a causal decoder that attends to fused states (eq. 6).

        Args:
            ids_BL: What has been written, starting with `[CLS]`; only the newest token when a cache is given. Padding
                must be on the right, where causality hides it.
            memory_BMD: States from `fuse`.
            memory_mask_BM: True at the memory's tokens.
            cache: From `models.towers.make_cache`, to write token by token.
            at_P: Places, counted through the rows, at which logits are wanted: (P, V) then. A vocabulary's worth of
                logits for padding is the largest tensor of a step.
        """
        states_BLD = self.text(
            ids_BL, None, Use.DECODE, context=memory_BMD, context_mask_BM=memory_mask_BM, cache=cache
        )
        states = states_BLD if at_P is None else states_BLD.flatten(0, 1)[at_P]
        return self.language_head(states, self.text.embeddings.word_embeddings.weight)

    def _pooled(self, states_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
        """Return one state (B, D) for an image (its patches, without a mask) or a text (its tokens)."""
        if self.config.pooling == "first":
            return states_BND[:, 0]
        if mask_BN is None:
            return states_BND[:, 1:].mean(dim=1)
        there_BN1 = mask_BN[:, :, None].to(states_BND.dtype)
        return (states_BND * there_BN1).sum(dim=1) / there_BN1.sum(dim=1)

    def checkpoint_activations(self, enabled: bool = True) -> None:
        """Recompute activations in the backward pass instead of keeping them."""
        self.vision.set_grad_checkpointing(enabled)
        self.text.checkpoint_layers = enabled
