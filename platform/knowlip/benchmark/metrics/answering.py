"""Visual question answering: accuracy, in all and for each kind of question (section 4.4, Tables 6 to 8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from knowlip.benchmark.metrics.records import Record

__all__ = ["answering_scores"]


def answering_scores(records: Sequence[Record]) -> dict[str, float]:
    """Return ``accuracy`` and ``accuracy_KIND`` of the kinds that were asked.

    Args:
        records: With ``kind`` and ``right``, as `knowlip.benchmark.answers.same` decides it.
    """
    if not records:
        return {}
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        by_kind[record["kind"]].append(bool(record["right"]))
    kinds = {f"accuracy_{kind}": sum(right) / len(right) for kind, right in sorted(by_kind.items())}
    return {"accuracy": sum(map(sum, by_kind.values())) / len(records), **kinds}
