"""Classification: top-1 and top-3 accuracy, and recall averaged over classes (section 4.3, Table 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from knowlip.benchmark.metrics.records import Record

__all__ = ["classification_scores"]


def classification_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``top1``, ``top3`` and ``mean_recall`` (over the classes that occur).

    Args:
        records: With ``label`` and ``ranked``, class names from the likeliest down.
    """
    if not records:
        return {}
    hits: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        hits[record["label"]].append(record["ranked"][0] == record["label"])
    top3 = sum(record["label"] in record["ranked"][:3] for record in records)
    recalls = [sum(right) / len(right) for right in hits.values()]
    return {
        "top1": sum(map(sum, hits.values())) / len(records),
        "top3": top3 / len(records),
        "mean_recall": sum(recalls) / len(recalls),
    }
