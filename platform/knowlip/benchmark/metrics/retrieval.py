"""Image-text retrieval: recall at 1, 5 and 10 each way, and their mean (section 4.4, Table 6).

The paper's ``txt_r*`` is text to image, here ``t2i_r*``.
"""

from __future__ import annotations

from collections.abc import Sequence

from knowlip.benchmark.metrics.records import Record

__all__ = ["CUTS", "DIRECTIONS", "retrieval_scores"]

CUTS = (1, 5, 10)
DIRECTIONS = ("t2i", "i2t")


def retrieval_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``t2i_r1`` … ``i2t_r10`` and ``retrieval_mean``, the mean of the six.

    Args:
        records: One a query, with ``direction`` and ``rank``, how many wrong answers stand before (or tie with) the
            first right one.
    """
    scores: dict[str, float] = {}
    for direction in DIRECTIONS:
        ranks = [record["rank"] for record in records if record["direction"] == direction]
        if ranks:
            scores |= {f"{direction}_r{cut}": sum(rank < cut for rank in ranks) / len(ranks) for cut in CUTS}
    return {**scores, "retrieval_mean": sum(scores.values()) / len(scores)} if scores else {}
