"""Ranking images by texts and texts by images: recall among the first k."""

from __future__ import annotations

import torch
from torch import Tensor

from models.precision import cosines

__all__ = ["recalls"]


def recalls(
    image_NE: Tensor, text_NE: Tensor, *, ks: tuple[int, ...] = (1, 5, 10), chunk: int = 1024
) -> dict[str, float]:
    """Return `t2i_r1` … `i2t_r10` and their mean (section 4.4), each from 0 to 1; pair i is image i and text i.

    Equal similarities count against the pair, so that collapsed embeddings do not score.

    Args:
        image_NE: Unit image embeddings.
        text_NE: Unit text embeddings.
        ks: How many of the first results count.
        chunk: Queries ranked at once.
    """
    scores: dict[str, float] = {}
    for name, query_NE, target_NE in (("t2i", text_NE, image_NE), ("i2t", image_NE, text_NE)):
        ranks = []
        for start in range(0, len(query_NE), chunk):
            similarity = cosines(query_NE[start : start + chunk], target_NE)
            columns = torch.arange(len(target_NE), device=similarity.device)
            rows = torch.arange(start, start + len(similarity), device=similarity.device)
            own = similarity.gather(1, rows[:, None])
            rivals = columns[None, :] != rows[:, None]
            ranks.append(((similarity >= own - 1e-7) & rivals).sum(dim=1))
        rank_N = torch.cat(ranks)
        scores |= {f"{name}_r{k}": (rank_N < k).float().mean().item() for k in ks}
    scores["retrieval_mean"] = sum(scores.values()) / len(scores)
    return scores
