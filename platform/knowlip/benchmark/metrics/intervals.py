"""How sure a figure is: bootstrap intervals that resample groups, because near-identical examples are one observation.

A binomial interval over chips would be two to three times too narrow where chips come in groups. Two models that
answered the same examples are compared by the difference of their figures, over the same resamples: what is hard for
both then cancels out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from knowlip.benchmark.metrics.records import Record, Scorer

__all__ = ["Interval", "differences", "intervals"]

_RESAMPLES = 200
"""How often groups are drawn."""


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


def intervals(records: Sequence[Record], score: Scorer, *, seed: int = 0) -> dict[str, Interval]:
    """Return every figure with its percentile bootstrap interval.

    Args:
        records: One an example; those of one ``group`` (by default, of one ``example_id``) are drawn together.
        score: What the figures are.
        seed: The same seed gives the same intervals.
    """
    groups = _grouped(records)
    return _bootstrap(sorted(groups), lambda names: score(_drawn(groups, names)), seed)


def differences(
    first: Sequence[Record], second: Sequence[Record], score: Scorer, *, seed: int = 0
) -> dict[str, Interval]:
    """Return how far the first's figures lie above the second's, with their paired bootstrap intervals.

    Args:
        first: What one model gave, as for `intervals`.
        second: What another gave for the same groups.
        score: What the figures are; those that both have are compared.
        seed: The same seed gives the same intervals.

    Raises:
        ValueError: They are of other groups.
    """
    ones, others = _grouped(first), _grouped(second)
    if ones.keys() != others.keys():
        raise ValueError(f"{len(ones.keys() ^ others.keys())} groups were answered by one of the two only")

    def apart(names: Sequence[str]) -> dict[str, float]:
        above, below = score(_drawn(ones, names)), score(_drawn(others, names))
        return {name: value - below[name] for name, value in above.items() if name in below}

    return _bootstrap(sorted(ones), apart, seed)


def _grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[str(record.get("group") or record.get("example_id") or index)].append(record)
    return groups


def _drawn(groups: dict[str, list[Record]], names: Sequence[str]) -> list[Record]:
    return [record for name in names for record in groups[name]]


def _bootstrap(
    names: Sequence[str], figures: Callable[[Sequence[str]], dict[str, float]], seed: int
) -> dict[str, Interval]:
    """Return what the figures are of all groups, and between which values they lie in most resamples of them."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(_RESAMPLES):
        chosen = rng.choice(len(names), size=len(names)).tolist() if names else []
        for name, value in figures([names[index] for index in chosen]).items():
            drawn[name].append(value)
    found = {}
    for name, value in figures(names).items():
        low, high = np.percentile(drawn[name], [2.5, 97.5]) if drawn[name] else (value, value)
        found[name] = Interval(value, float(low), float(high))
    return found
