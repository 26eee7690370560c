"""How sure a figure is: bootstrap intervals that resample groups, because near-identical examples are one observation.

A binomial interval over chips would be two to three times too narrow where chips come in groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knowlip.benchmark.metrics.records import Record, Scorer

__all__ = ["Interval", "intervals"]


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval.

    Attributes:
        value: The figure of all records.
        low: Its 2.5th percentile over resamples.
        high: Its 97.5th percentile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write the figure with its interval; one that has none, such as a floor's, alone."""
        return f"{self.value:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.low < self.high else "")


def intervals(records: Sequence[Record], score: Scorer, *, resamples: int = 200, seed: int = 0) -> dict[str, Interval]:
    """Return every figure with its percentile bootstrap interval.

    Args:
        records: One an example; those of one ``group`` (by default, of one ``example_id``) are drawn together.
        score: What the figures are.
        resamples: How often groups are drawn.
        seed: The same seed gives the same intervals.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[str(record.get("group") or record.get("example_id") or index)].append(record)
    members = [groups[name] for name in sorted(groups)]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(resamples):
        chosen = rng.choice(len(members), size=len(members)).tolist() if members else []
        for name, value in score([record for index in chosen for record in members[index]]).items():
            drawn[name].append(value)
    found = {}
    for name, value in score(records).items():
        low, high = np.percentile(drawn[name], [2.5, 97.5]) if drawn[name] else (value, value)
        found[name] = Interval(value, float(low), float(high))
    return found
