"""What the decoder has to write (eq. 6): spans of key words and whole sub-texts, each become one `[MASK]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knowlip.records import SUBTEXTS
from models.config import MaskConfig
from models.text import Tokenizer, TokenText

__all__ = ["MaskedText", "key_words", "mask_text"]

_NONE = (False,) * len(SUBTEXTS)
_UNTELLING = """
a an and are as at be been being by can could for from had has have he her his i in into is it its may
might of on or our she should so some such than that the their them then there these they this those to
was we were which while who will with would you your
"""
_FUNCTION_WORDS = frozenset(_UNTELLING.split())


@dataclass(frozen=True, slots=True)
class MaskedText:
    """One text with masks, and what stood behind them.

    Attributes:
        ids: The visible text, a `[MASK]` for each span.
        targets: The spans in order, a `[SEP]` after each.
        kinds: For each target token, the index of its sub-text.
    """

    ids: list[int]
    targets: list[int]
    kinds: list[int]


def key_words(words: Sequence[int], pieces: Sequence[int], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Return token ranges of the words that carry information: no punctuation and no function words."""
    ranges: list[tuple[int, int]] = []
    start = 0
    for stop in range(1, len(words) + 1):
        if stop == len(words) or words[stop] != words[start]:
            if _is_key(tuple(tokenizer.piece(token) for token in pieces[start:stop])):
                ranges.append((start, stop))
            start = stop
    return ranges


def mask_text(
    text: TokenText,
    tokenizer: Tokenizer,
    config: MaskConfig,
    generator: np.random.Generator,
    excluded: Sequence[bool] | NDArray[np.bool_] = _NONE,
) -> MaskedText:
    """Mask one text.

    At least one sub-text is masked whole, unless all are excluded or too long for the decoder.

    Args:
        text: The tile's text.
        tokenizer: Gives the special tokens.
        config: How much is masked.
        generator: Decides what is masked.
        excluded: Sub-texts that must not be written: those found to be noise (section 3.4, phase 2).
    """
    writable = [kind for kind in text.present if not excluded[kind]]
    whole = _whole_subtexts(text, writable, config, generator)
    budget = config.max_targets - sum(len(text.pieces[kind]) + 1 for kind in whole)
    ids, targets, kinds = [tokenizer.cls], [], []
    for kind in text.present:
        ids.append(tokenizer.markers[kind])
        piece = list(text.pieces[kind])
        spans: list[tuple[int, int]] = []
        if kind in whole:
            spans = [(0, len(piece))]
        elif kind in writable:
            spans = _spans(text, kind, tokenizer, config, generator, budget)
            budget -= sum(stop - start + 1 for start, stop in spans)
        position = 0
        for start, stop in spans:
            ids += [*piece[position:start], tokenizer.mask]
            targets += [*piece[start:stop], tokenizer.sep]
            kinds += [kind] * (stop - start + 1)
            position = stop
        ids += piece[position:]
    return MaskedText([*ids, tokenizer.sep], targets, kinds)


@lru_cache(1 << 16)  # a corpus has few words, and each is asked about in every epoch
def _is_key(pieces: tuple[str, ...]) -> bool:
    word = "".join(piece.removeprefix("##") for piece in pieces)
    return word.isalnum() and word not in _FUNCTION_WORDS


def _whole_subtexts(
    text: TokenText, writable: Sequence[int], config: MaskConfig, generator: np.random.Generator
) -> set[int]:
    """Choose sub-texts to mask whole, as many of them as the decoder has room for."""
    describe, forced, draws = generator.random(), generator.random(), generator.random(len(text.pieces))
    if not writable:
        return set()
    if describe < config.caption:
        wanted = list(writable)
    else:
        wanted = [kind for kind in writable if draws[kind] < config.subtext]
        if not wanted and config.subtext > 0:
            wanted = [writable[int(forced * len(writable))]]
    chosen, room = set(), config.max_targets
    for kind in sorted(wanted, key=lambda kind: draws[kind]):
        if len(text.pieces[kind]) + 1 <= room:
            chosen.add(kind)
            room -= len(text.pieces[kind]) + 1
    return chosen


def _spans(
    text: TokenText,
    kind: int,
    tokenizer: Tokenizer,
    config: MaskConfig,
    generator: np.random.Generator,
    budget: int,
) -> list[tuple[int, int]]:
    """Choose disjoint spans of one to `span_words` words that start at key words."""
    words = text.words[kind]
    starts = key_words(words, text.pieces[kind], tokenizer)
    hits = generator.random(len(starts)) < config.word
    sizes = generator.integers(1, config.span_words + 1, len(starts))
    spans: list[tuple[int, int]] = []
    for (start, stop), hit, size in zip(starts, hits, sizes, strict=True):
        if not hit or (spans and start <= spans[-1][1]):
            continue
        last = words[start] + int(size) - 1
        while stop < len(words) and words[stop] <= last:
            stop += 1
        if stop - start + 1 > budget:
            break
        budget -= stop - start + 1
        spans.append((start, stop))
    return spans
