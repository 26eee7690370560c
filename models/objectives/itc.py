"""Image-text contrast (eq. 4): symmetric InfoNCE against a queue, with soft targets from the momentum encoders.

Shape letters: B batch, K keys (the batch, then the queue), Q queue slots, E embedding, T texts of one image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.precision import cosines

__all__ = ["contrast_loss", "key_mask", "pair_contrast"]


def key_mask(ids_B: Tensor, queue_ids_Q: Tensor, *, group: int = 0) -> Tensor:
    """Return which keys (B, B + Q) each row is contrasted with.

    A row sees its own pair, other pairs of its group of the batch, and the queue's filled slots; never another copy of
    its own pair (the same id), which would be a negative that matches.

    Args:
        ids_B: Ids of the batch's pairs.
        queue_ids_Q: Ids in the queue; negative where a slot is empty.
        group: Rows a group; 0 for the whole batch.
    """
    rows = torch.arange(len(ids_B), device=ids_B.device)
    batch_BB = ids_B[:, None] != ids_B[None, :]
    if group:
        batch_BB &= (rows[:, None] // group) == (rows[None, :] // group)
    batch_BB |= rows[:, None] == rows[None, :]
    queue_BQ = (queue_ids_Q >= 0)[None, :] & (ids_B[:, None] != queue_ids_Q[None, :])
    return torch.cat([batch_BB, queue_BQ], dim=1)


def contrast_loss(
    image_BE: Tensor,
    text_BE: Tensor,
    image_keys_KE: Tensor,
    text_keys_KE: Tensor,
    mask_BK: Tensor,
    temperature: Tensor | float,
    alpha: Tensor | float,
) -> Tensor:
    """Return eq. 4 averaged over both directions and the batch, a scalar.

    The targets are α · softmax(momentum similarities / τ) + (1 − α) · one-hot (section 4.1), where row i's own pair is
    key i.

    Args:
        image_BE: Unit image embeddings.
        text_BE: Unit text embeddings of the same pairs.
        image_keys_KE: Momentum image embeddings: the batch's, then the queue's.
        text_keys_KE: Momentum text embeddings in the same order.
        mask_BK: Keys that count, from `key_mask`.
        temperature: τ.
        alpha: α, the weight of the soft targets.
    """
    rows = len(image_BE)
    directions = ((image_BE, image_keys_KE[:rows], text_keys_KE), (text_BE, text_keys_KE[:rows], image_keys_KE))
    losses = []
    for query_BE, slow_BE, keys_KE in directions:
        logits_BK = _masked(cosines(query_BE, keys_KE) / temperature, mask_BK)
        with torch.no_grad():
            soft_BK = _masked(cosines(slow_BE, keys_KE) / temperature, mask_BK).softmax(dim=1)
            hard_BK = torch.eye(rows, len(keys_KE), device=soft_BK.device, dtype=soft_BK.dtype)
            target_BK = alpha * soft_BK + (1 - alpha) * hard_BK
        log_share_BK = logits_BK.log_softmax(dim=1).masked_fill(~mask_BK, 0.0)
        losses.append(-(target_BK * log_share_BK).sum(dim=1).mean())
    return (losses[0] + losses[1]) / 2


def pair_contrast(
    image_BE: Tensor,
    text_BTE: Tensor,
    negatives_image_QE: Tensor,
    negatives_text_QE: Tensor,
    mask_BQ: Tensor,
    temperature: Tensor | float,
) -> Tensor:
    """Return the contrast loss (B, T) of T texts, each as the only positive of its image (the L_ITC of eq. 10, 14).

    The negatives are fixed features, so that the loss of a pair depends on nothing but the pair.

    Args:
        image_BE: Unit image embeddings.
        text_BTE: Unit embeddings of the texts of each image.
        negatives_image_QE: Frozen image features.
        negatives_text_QE: Frozen text features.
        mask_BQ: Negatives that count for a row (not its own pair).
        temperature: τ.
    """
    positive_BT = torch.einsum("be,bte->bt", image_BE, text_BTE) / temperature
    image_to_text_BQ = _masked(cosines(image_BE, negatives_text_QE) / temperature, mask_BQ)
    text_to_image_BTQ = _masked(text_BTE @ negatives_image_QE.T / temperature, mask_BQ[:, None, :])
    # a loss of −log(e^p / (e^p + Σ e^n)) is log(1 + e^(logΣe^n − p))
    forth_BT = torch.nn.functional.softplus(image_to_text_BQ.logsumexp(dim=1)[:, None] - positive_BT)
    back_BT = torch.nn.functional.softplus(text_to_image_BTQ.logsumexp(dim=2) - positive_BT)
    return (forth_BT + back_BT) / 2


def _masked(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
