"""Masked language modelling (eq. 6): a causal decoder writes what was masked, in order.

Shape letters: B batch, T written tokens, P of them that are no padding, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["IGNORED", "told", "writing_loss"]

IGNORED = -100
"""Label of positions at which nothing has to be written."""


def told(labels_BT: Tensor) -> Tensor:
    """Return the places (P), counted through the rows, at which a token has to be written."""
    return (labels_BT.flatten() != IGNORED).nonzero().squeeze(1)


def writing_loss(logits_PV: Tensor, labels_BT: Tensor, told_P: Tensor | None = None) -> Tensor:
    """Return eq. 6, −log P of the masked tokens: the mean over a text's tokens, then over texts; a scalar.

    Every text counts the same, so that the mean does not depend on how a batch is split; a text in which nothing is
    masked adds zero.

    Args:
        logits_PV: Next-token logits of the decoder at the places `told`, or (B, T, V) at all of them.
        labels_BT: Tokens to be written, `IGNORED` elsewhere.
        told_P: Places, counted through the batch's rows, at which a token has to be written; all by default.
    """
    there_BT = labels_BT != IGNORED
    weights = (there_BT / there_BT.sum(dim=1, keepdim=True).clamp(min=1)).flatten()
    labels, logits = labels_BT.flatten(), logits_PV.flatten(0, -2)
    if told_P is not None:
        weights, labels = weights[told_P], labels[told_P]
    # Rows of tokens by columns of words: laid out the other way, a softmax strides through memory.
    losses = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="none")
    return (losses * weights).sum() / len(labels_BT)
