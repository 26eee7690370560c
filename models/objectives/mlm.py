"""Masked language modelling (eq. 6): a causal decoder writes what was masked, in order.

Shape letters: B batch, T written tokens, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["IGNORED", "writing_loss"]

IGNORED = -100
"""Label of positions at which nothing has to be written."""


def writing_loss(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """Return eq. 6, −log P of the masked tokens: the mean over a text's tokens, then over texts; a scalar.

    Every text counts the same, so that the mean does not depend on how a batch is split; a text in which nothing is
    masked adds zero.

    Args:
        logits_BTV: Next-token logits of the decoder.
        labels_BT: Tokens to be written, `IGNORED` elsewhere.
    """
    losses_BT = functional.cross_entropy(
        logits_BTV.float().transpose(1, 2), labels_BT, ignore_index=IGNORED, reduction="none"
    )
    counts_B = (labels_BT != IGNORED).sum(dim=1).clamp(min=1)
    return (losses_BT.sum(dim=1) / counts_B).mean()
