"""What can be counted about texts: length, vocabulary, diversity, repetition (section 4.2, Figs. 8 and 11)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from knowlip.captioning.richness import mtld, words

__all__ = ["COMPARED_WORDS", "Texts", "figures"]

COMPARED_WORDS = 20_000
"""Distinct-n falls with the length of what is counted: groups are compared on captions of so many words together."""

Ids = npt.NDArray[np.int32]


@dataclass
class Texts:
    """Captions as word numbers; a caption is a list of texts (eight sub-texts, or one sentence).

    Attributes:
        vocabulary: Number of each word.
        captions: For each caption the word numbers of its texts.
    """

    vocabulary: dict[str, int] = field(default_factory=dict)
    captions: list[tuple[Ids, ...]] = field(default_factory=list)

    def add(self, texts: Iterable[str]) -> None:
        """Add a caption; empty texts are left out."""
        self.captions.append(tuple(self._numbered(text) for text in texts if text))

    def select(self, places: Sequence[int]) -> Texts:
        """Return some of the captions, by the same numbers."""
        return Texts(self.vocabulary, [self.captions[place] for place in places])

    def lengths(self) -> npt.NDArray[np.int64]:
        """Words of each caption."""
        return np.array([sum(map(len, caption)) for caption in self.captions], dtype=np.int64)

    def text_lengths(self) -> npt.NDArray[np.int64]:
        """Words of each text."""
        return np.array([len(text) for caption in self.captions for text in caption], dtype=np.int64)

    def frequent(self, most: int) -> list[tuple[str, int]]:
        """Return the most frequent words that carry meaning, with how often they occur."""
        joined = self._joined()
        counts = np.bincount(joined, minlength=len(self.vocabulary)) if joined.size else np.zeros(0, np.int64)
        meant = [
            (word, int(counts[number]))
            for word, number in self.vocabulary.items()
            if number < len(counts) and counts[number] and _meant(word)
        ]
        return sorted(meant, key=lambda item: (-item[1], item[0]))[:most]

    def _numbered(self, text: str) -> Ids:
        vocabulary = self.vocabulary
        return np.array([vocabulary.setdefault(word, len(vocabulary)) for word in words(text)], dtype=np.int32)

    def _joined(self) -> Ids:
        parts = [text for caption in self.captions for text in caption]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def figures(texts: Texts, *, seed: int = 0) -> dict[str, float]:
    """Count a group of captions.

    Args:
        texts: The captions.
        seed: Which captions are drawn to compare distinct-n on `COMPARED_WORDS` words.

    Returns:
        ``captions``, ``words``, ``words_a_caption`` and ``words_a_text`` (means), ``vocabulary`` (different words),
        ``mtld`` (all in a row, in an order drawn by the seed), ``mtld_a_caption`` (mean), ``distinct_1`` to
        ``distinct_3`` and ``compared_words``, and the shares ``duplicate_captions`` and ``duplicate_texts`` of those
        whose words occurred before. Empty for no captions.
    """
    if not texts.captions:
        return {}
    order = list(range(len(texts.captions)))
    random.Random(seed).shuffle(order)
    shuffled = texts.select(order)
    found: dict[str, float] = {
        "captions": len(texts.captions),
        "words": int(texts.lengths().sum()),
        "words_a_caption": float(texts.lengths().mean()),
        "words_a_text": float(texts.text_lengths().mean()),
        "vocabulary": len(np.unique(texts._joined())),
        "mtld": mtld(shuffled._joined().tolist()),
        "mtld_a_caption": float(np.mean([mtld(_flat(caption)) for caption in texts.captions])),
    }
    enough = int(np.searchsorted(shuffled.lengths().cumsum(), COMPARED_WORDS)) + 1
    compared = shuffled.select(range(min(enough, len(order))))
    for n in (1, 2, 3):
        found[f"distinct_{n}"] = _distinct(compared, n)
    found["compared_words"] = int(compared.lengths().sum())
    found["duplicate_captions"] = _repeated([b"|".join(map(bytes, caption)) for caption in texts.captions])
    found["duplicate_texts"] = _repeated([bytes(text) for caption in texts.captions for text in caption])
    return found


def _meant(word: str) -> bool:
    """Whether a word is neither a unit, a number nor a function word."""
    return len(word) > 2 and word.isalpha() and word not in ENGLISH_STOP_WORDS


def _flat(caption: Sequence[Ids]) -> list[int]:
    return [int(word) for text in caption for word in text]


def _distinct(texts: Texts, n: int) -> float:
    """Different n-grams of all n-grams; none reaches from one text into the next."""
    grams: Counter[tuple[int, ...]] = Counter()
    for caption in texts.captions:
        for text in caption:
            row = text.tolist()
            grams.update(zip(*(row[start:] for start in range(n)), strict=False))
    return len(grams) / max(grams.total(), 1)


def _repeated(keys: Sequence[bytes]) -> float:
    return 1.0 - len(set(keys)) / len(keys) if keys else 0.0
