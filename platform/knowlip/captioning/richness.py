"""How rich a text is: the measure of textual lexical diversity (MTLD, Fig. 11)."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

__all__ = ["mtld", "words"]

_WORD = re.compile(r"[\w'’-]+", re.UNICODE)


def words(text: str) -> list[str]:
    """Split a text into lower-case words."""
    return _WORD.findall(text.lower())


def mtld(tokens: Sequence[Hashable], threshold: float = 0.72) -> float:
    """Return the measure of textual lexical diversity, the mean of a forward and a backward pass (McCarthy 2005).

    Args:
        tokens: Words of the text, or their numbers.
        threshold: Type-token ratio at which a factor is complete.

    Returns:
        Words a factor: how long the text goes on before its vocabulary repeats. Zero for an empty text.
    """
    if not tokens:
        return 0.0
    return (_one_way(tokens, threshold) + _one_way(tokens[::-1], threshold)) / 2


def _one_way(tokens: Sequence[Hashable], threshold: float) -> float:
    factors, seen, count = 0.0, set[Hashable](), 0
    for token in tokens:
        count += 1
        seen.add(token)
        if len(seen) / count <= threshold:
            factors, seen, count = factors + 1, set[Hashable](), 0
    if count:
        factors += (1 - len(seen) / count) / (1 - threshold)
    return len(tokens) / factors if factors else float(len(tokens))
