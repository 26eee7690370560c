"""What somebody who searches asks for, as texts that the model has learned to read.

A model reads what it was trained on: eight statements about an image. "Tiles with aircraft" says *aircraft* and, in two
words that describe nothing, that something is wanted. So the words of asking are left out, and the rest is read twice:
as it stands, and as a description each of whose sub-texts says just that.
"""

from __future__ import annotations

import re

from knowlip.records import SUBTEXTS
from models.text import Tokenizer, TokenText

__all__ = ["described", "subject"]

_WORD = re.compile(r"\S+")
_OF_ASKING = frozenset(
    """
    a all an and any are at contain containing contains display find for get give has have having i
    image images in is list look me near of on or photo photos picture pictures please radar sar scene
    scenes search show showing shows some that the there these this tile tiles to want where which with
    """.split()  # noqa: SIM905 (sixty words, one a line otherwise)
)


def subject(query: str) -> str:
    """Return a query without the words of asking; the whole query where nothing else is in it."""
    kept = [word for word in _WORD.findall(query) if word.lower().strip(".,;:!?") not in _OF_ASKING]
    return " ".join(kept) or query


def described(query: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """Return the tokens of a description each of whose sub-texts is the query, cut to `max_tokens`."""
    ids = tuple(tokenizer.encode([query])[0])
    words = tuple(range(len(ids)))
    kinds = len(SUBTEXTS)
    return tokenizer.sequence(TokenText((ids,) * kinds, (words,) * kinds).fitted(max_tokens))
