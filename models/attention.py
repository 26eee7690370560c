"""Where the model looks: the fused encoder's attention from words to image patches (Fig. 16).

Shape letters: B images, N patches (class token first), L tokens, D width, A attention heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.preprocessing import ImageLike
from models.text import pad
from models.verbs import KnowlipModel

__all__ = ["attention_maps"]

_LAYERS = 2
"""The last layers are averaged: earlier ones look at the image before they know the words."""


@torch.inference_mode()
def attention_maps(model: KnowlipModel, images: Sequence[ImageLike], texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return how much each patch is looked at while a text is read beside its image.

    Args:
        model: Whose attention.
        images: At least one.
        texts: One an image; a question and its answer, for instance.

    Returns:
        For each image a grid (rows, columns) of shares that sum to one, over its heads and the text's tokens.

    Raises:
        DataError: An image does not decode.
    """
    maps = []
    for place, text in enumerate(texts):
        rows = model.tokenizer.plain([text], model.network.config.text.max_tokens)
        ids_BL, mask_BL = (tensor.to(model.device) for tensor in pad(rows, model.tokenizer.pad))
        pixels = model.preprocessing(images[place : place + 1], first=place).to(model.device)
        image_BND, _ = model.network.encode_image(pixels)
        with _watched(list(model.network.text.layers)[-_LAYERS:]) as seen:
            model.network.fuse(image_BND, ids_BL, mask_BL)
        shares_N = torch.stack([_shares(query, key, heads) for query, key, heads in seen]).mean(dim=0)
        side = math.isqrt(len(shares_N) - 1)
        grid = shares_N[1 : 1 + side * side].reshape(side, side)
        maps.append((grid / grid.sum()).float().cpu().numpy())
    return maps


def _shares(query_BLD: Tensor, key_BND: Tensor, heads: int) -> Tensor:
    """Return the attention (N) of one image, averaged over heads and tokens."""
    query_ALD, key_AND = (states[0].unflatten(-1, (heads, -1)).transpose(0, 1) for states in (query_BLD, key_BND))
    scores_ALN = query_ALD.float() @ key_AND.float().transpose(1, 2) / math.sqrt(query_ALD.shape[-1])
    return scores_ALN.softmax(dim=-1).mean(dim=(0, 1))


@contextmanager
def _watched(layers: Sequence[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor, int]]]:
    """Collect the queries, keys and heads of the layers' image attention; its fast kernels give no attention back."""
    found: list[tuple[Tensor, Tensor, int]] = []

    def keep(attention: nn.Module, args: tuple[Tensor, ...], given: dict[str, Tensor]) -> None:
        query, key = attention.query(args[0]), attention.key(given["encoder_hidden_states"])
        found.append((query, key, attention.num_attention_heads))

    handles = [layer.image_attention.self.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
