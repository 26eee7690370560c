"""Answers to questions, compared as what they are: numbers, sets or words — never as substrings.

``1`` is not ``12``, ``two`` is 2, and ``ships and tanks`` is ``tanks, ships``; ``A320/321`` is one type of aircraft.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Answer", "normalise", "parse", "same"]

_NUMBERS = {
    **{
        word: value
        for value, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight"))
    },
    **{word: value for value, word in enumerate(("nine", "ten", "eleven", "twelve", "thirteen", "fourteen"), start=9)},
    **{word: value for value, word in enumerate(("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"), start=15)},
    "twenty": 20,
}
_ARTICLES = frozenset({"a", "an", "the"})
_SEPARATOR = re.compile(r"\s*(?:[,;&]|(?<=\s)[/+](?=\s)|\band\b)\s*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")


@dataclass(frozen=True)
class Answer:
    """One answer, read.

    Attributes:
        words: The normalised text.
        parts: Its parts, when it is a list; one part otherwise.
        numbers: The numbers in it, in order.
    """

    words: str
    parts: frozenset[str]
    numbers: tuple[float, ...]

    @property
    def is_number(self) -> bool:
        """Whether it says a number and nothing else."""
        return len(self.numbers) == 1 and bool(_NUMBER.fullmatch(self.words))


def normalise(text: str) -> str:
    """Lower the case, write numbers as digits, and drop articles, punctuation at the ends and doubled spaces."""
    words = re.sub(r"[\"'’“”`()\[\]?!:]", " ", text.lower().replace("_", " ")).split()
    kept = []
    for word in words:
        core = word.strip(".-")
        comma = "," if core.endswith((",", ";")) else ""
        core = core.rstrip(",;")
        if core in _ARTICLES and not comma:
            continue
        kept.append(f"{_NUMBERS.get(core, core)}{comma}")
    return " ".join(kept).strip(" ,")


def parse(text: str) -> Answer:
    """Read an answer."""
    words = normalise(text)
    parts = frozenset(part for part in _SEPARATOR.split(words) if part)
    return Answer(words, parts, tuple(float(number) for number in _NUMBER.findall(words)))


def same(given: str, right: str) -> bool:
    """Whether an answer is right; what kind of thing is compared is decided by the right answer.

    Args:
        given: What was answered. A number may stand in a sentence, as long as it is the only one.
        right: The right answer: a number, a list or words.
    """
    answer, truth = parse(given), parse(right)
    if truth.is_number:
        return len(answer.numbers) == 1 and answer.numbers == truth.numbers
    if len(truth.parts) > 1:
        return answer.parts == truth.parts
    return answer.words == truth.words and bool(truth.words)
