"""Floors of tasks with answers: always the most frequent one, or what the question's words alone give away."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from knowlip.benchmark.answers import normalise, same
from knowlip.benchmark.metrics.answering import answering_scores

__all__ = ["answer_balance", "language_floors", "majority_accuracy", "ranked_answers", "text_only_records"]


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


def text_only_records(train: Mapping[str, Sequence[str]], held: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Answer held-out questions without their images, by what was most often right for the same words in training.

    A question whose words were never asked gets its kind's most frequent answer. What this scores is what a model can
    reach by language alone.

    Args:
        train: Columns ``kind``, ``question`` and ``answer`` of the training split.
        held: The same of the held-out split, with ``example_id``.

    Returns:
        Records for `knowlip.benchmark.metrics.answering_scores`.
    """
    worded = [f"{kind}\n{normalise(question)}" for kind, question in zip(train["kind"], train["question"], strict=True)]
    by_words = ranked_answers(worded, train["answer"], most=1)
    by_kind = ranked_answers(train["kind"], train["answer"], most=1)
    records = []
    columns = (held[name] for name in ("example_id", "kind", "question", "answer"))
    for name, kind, question, answer in zip(*columns, strict=True):
        guess = (by_words.get(f"{kind}\n{normalise(question)}") or by_kind.get(kind) or ("",))[0]
        records.append({"example_id": name, "kind": kind, "given": guess, "right": same(guess, answer)})
    return records


def language_floors(questions: Mapping[str, Sequence[str]], *, held: str) -> dict[str, float]:
    """Return what a held-out split's questions can be answered by without looking.

    Args:
        questions: Columns ``split``, ``kind``, ``question``, ``answer`` and ``example_id`` of a data set.
        held: The split that is scored.

    Returns:
        ``majority_accuracy`` and ``text_only_accuracy``, and both for each kind (``text_only_accuracy_count``).
    """
    train, tested = (_part(questions, split) for split in ("train", held))
    if not tested["kind"] or not train["kind"]:
        return {}
    ranked = ranked_answers(train["kind"], train["answer"])
    scores = {"majority_accuracy": majority_accuracy(ranked, tested["kind"], tested["answer"])}
    for kind in sorted(set(tested["kind"])):
        answers = [answer for one, answer in zip(tested["kind"], tested["answer"], strict=True) if one == kind]
        scores[f"majority_accuracy_{kind}"] = majority_accuracy(ranked, [kind] * len(answers), answers)
    text_only = answering_scores(text_only_records(train, tested))
    return scores | {f"text_only_{name}": value for name, value in text_only.items()}


def _part(questions: Mapping[str, Sequence[str]], split: str) -> dict[str, list[str]]:
    wanted = [place for place, one in enumerate(questions["split"]) if one == split]
    return {name: [column[place] for place in wanted] for name, column in questions.items()}


def answer_balance(kinds: Iterable[str], answers: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return how evenly each kind's answers are spread.

    Returns:
        For each kind ``answers`` (how many different ones), ``most_frequent`` (the share of the commonest) and
        ``evenness`` (entropy over that of equal shares; 1 where all are equally frequent).
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, answer in zip(kinds, answers, strict=True):
        counts[kind][normalise(answer)] += 1
    balance = {}
    for kind, counter in sorted(counts.items()):
        shares = [number / counter.total() for number in counter.values()]
        entropy = -sum(share * math.log(share) for share in shares)
        evenness = entropy / math.log(len(shares)) if len(shares) > 1 else 0.0
        balance[kind] = {"answers": float(len(shares)), "most_frequent": max(shares), "evenness": evenness}
    return balance


def _ranked(counter: Counter[str]) -> tuple[str, ...]:
    """Sort by how often, then by spelling, so that ties are the same on every machine."""
    return tuple(answer for answer, _ in sorted(counter.items(), key=lambda item: (-item[1], item[0])))
