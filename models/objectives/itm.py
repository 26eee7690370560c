"""Image-text matching (eq. 5) with one hard negative each way, drawn by contrastive similarity.

Shape letters: B batch, D width, L tokens, N patches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["draw_negatives", "matching_loss"]


@torch.no_grad()
def draw_negatives(similarity_BB: Tensor, allowed_BB: Tensor, chance_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one other row for each row, the likelier the more similar it is.

    Args:
        similarity_BB: Similarity over temperature, row to candidate.
        allowed_BB: Which candidates are true negatives: neither the pair itself nor a near duplicate of it.
        chance_B: One uniform number in [0, 1) a row, which decides the draw.

    Returns:
        Indices (B) and whether the row has any negative (B); the index is arbitrary where it has none.
    """
    weight_BB = similarity_BB.masked_fill(~allowed_BB, float("-inf")).softmax(dim=1)
    weight_BB = torch.where(allowed_BB, weight_BB.nan_to_num(0.0) + 1e-6, 0.0)
    reached_BB = weight_BB.cumsum(dim=1)
    drawn_B1 = chance_B[:, None].clamp(max=1 - 1e-6) * reached_BB[:, -1:]
    return ((reached_BB > drawn_B1) & allowed_BB).int().argmax(dim=1), allowed_BB.any(dim=1)


def matching_loss(positive_B2: Tensor, negative_text_B2: Tensor, negative_image_B2: Tensor, valid_2B: Tensor) -> Tensor:
    """Return eq. 5 over the pairs, their hard negative texts and their hard negative images, a scalar.

    The mean is over 3 B terms whatever is valid, so that it does not depend on how a batch is split.

    Args:
        positive_B2: Logits of the true pairs.
        negative_text_B2: Logits of each image with its negative text.
        negative_image_B2: Logits of each text with its negative image.
        valid_2B: Whether these negatives exist: texts, then images.
    """
    rows = len(positive_B2)
    logits = torch.cat([positive_B2, negative_text_B2, negative_image_B2]).float()
    labels = torch.zeros(3 * rows, dtype=torch.int64, device=logits.device)
    labels[:rows] = 1
    weight = torch.cat([torch.ones_like(valid_2B[0], dtype=logits.dtype), valid_2B.flatten().to(logits.dtype)])
    return (functional.cross_entropy(logits, labels, reduction="none") * weight).sum() / (3 * rows)
