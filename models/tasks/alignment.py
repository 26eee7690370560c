"""The three losses while fine-tuning: within the batch, without queue and soft targets, since the sets are small.

Shape letters: B batch, L tokens, P places, N patches, D width, E embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from knowlip.benchmark.answers import normalise
from models.knowlip import KnowLIP
from models.objectives.itc import contrast_loss
from models.objectives.itm import draw_negatives, matching_loss
from models.objectives.mlm import writing_loss
from models.precision import cosines
from models.tasks.protocol import Batch

__all__ = ["alike", "batch_contrast", "batch_matching", "batch_writing"]


def alike(tiles: Sequence[str], statements: Sequence[str]) -> Tensor:
    """Return which rows (B, B) show the same tile or say the same, and are no negatives of one another."""
    said = [normalise(statement) for statement in statements]
    same_tile = np.array(tiles)[:, None] == np.array(tiles)[None, :]
    same_words = np.array(said)[:, None] == np.array(said)[None, :]
    return torch.from_numpy(same_tile | same_words)


def batch_contrast(network: KnowLIP, image_BE: Tensor, text_BE: Tensor, alike_BB: Tensor) -> Tensor:
    """Return eq. 4 within the batch."""
    own = torch.eye(len(image_BE), dtype=torch.bool, device=image_BE.device)
    mask_BB = ~alike_BB | own
    return contrast_loss(image_BE, text_BE, image_BE, text_BE, mask_BB, network.temperature.float(), 0.0)


def batch_matching(
    network: KnowLIP,
    image_BND: Tensor,
    image_BE: Tensor,
    text_BE: Tensor,
    ids_BL: Tensor,
    mask_BL: Tensor,
    alike_BB: Tensor,
    chance_B2: Tensor,
) -> Tensor:
    """Return eq. 5 with one hard negative text and one hard negative image a pair, drawn within the batch."""
    similarity_BB = (cosines(image_BE, text_BE) / network.temperature).detach()
    text_index, text_valid = draw_negatives(similarity_BB, ~alike_BB, chance_B2[:, 0])
    image_index, image_valid = draw_negatives(similarity_BB.T, ~alike_BB, chance_B2[:, 1])
    images = torch.cat([image_BND, image_BND, image_BND[image_index]])
    ids, mask = (torch.cat([rows, rows[text_index], rows]) for rows in (ids_BL, mask_BL))
    logits = network.match_logits(network.fuse(images, ids, mask), mask)
    return matching_loss(*logits.chunk(3), torch.stack([text_valid, image_valid]))


def batch_writing(network: KnowLIP, batch: Batch, image_BND: Tensor) -> Tensor:
    """Return eq. 6 of what a prompt about each image asks for.

    Args:
        network: The model.
        batch: With `prompt_ids`, `prompt_mask`, `written`, `labels` and `told`.
        image_BND: States of its images.
    """
    memory_BLD = network.fuse(image_BND, batch["prompt_ids"], batch["prompt_mask"])
    logits_PV = network.decode(batch["written"], memory_BLD, batch["prompt_mask"], at_P=batch["told"])
    return writing_loss(logits_PV, batch["labels"], batch["told"])
