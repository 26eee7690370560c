"""The floor of every task: always give the most frequent answer of the training split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from knowlip.benchmark.answers import same

__all__ = ["majority_accuracy", "ranked_answers"]


def ranked_answers(kinds: Iterable[str], answers: Iterable[str], *, most: int = 128) -> dict[str, tuple[str, ...]]:
    """Return the answers of each kind of question, the most frequent first.

    Args:
        kinds: Kind of each question.
        answers: Its right answer.
        most: At most so many a kind.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, answer in zip(kinds, answers, strict=True):
        counts[kind][answer] += 1
    return {kind: _ranked(counter)[:most] for kind, counter in sorted(counts.items())}


def majority_accuracy(ranked: dict[str, tuple[str, ...]], kinds: Sequence[str], answers: Sequence[str]) -> float:
    """Return the accuracy of giving each question its kind's most frequent training answer.

    Args:
        ranked: From the training split (`ranked_answers`).
        kinds: Kind of each held-out question.
        answers: Its right answer.
    """
    right = [kind in ranked and same(ranked[kind][0], answer) for kind, answer in zip(kinds, answers, strict=True)]
    return sum(right) / len(right) if right else 0.0


def _ranked(counter: Counter[str]) -> tuple[str, ...]:
    """Sort by how often, then by spelling, so that ties are the same on every machine."""
    return tuple(answer for answer, _ in sorted(counter.items(), key=lambda item: (-item[1], item[0])))
