"""Sentences with choices in them, and the small words that numbers need.

A template is text with fields (``{count}``) and choices (``[lies|is situated] near``); choices may nest. The same seed
gives the same sentence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

__all__ = ["counted", "joined", "metres", "plural", "sentence", "share", "spoken"]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def sentence(templates: str | Sequence[str], fields: Mapping[str, object], rng: random.Random) -> str:
    """Choose a template and its words, and fill it in.

    Args:
        templates: One template, or several to choose from.
        fields: Values of the fields.
        rng: Source of the choices.

    Returns:
        The text, its first letter upper case.
    """
    text = templates if isinstance(templates, str) else rng.choice(templates)
    while (match := _CHOICE.search(text)) is not None:
        text = text[: match.start()] + rng.choice(match.group(1).split("|")) + text[match.end() :]
    text = " ".join(text.format_map(fields).split()).replace(" ,", ",").replace(" .", ".")
    return text[:1].upper() + text[1:]


def spoken(count: int) -> str:
    """Write a small number as a word."""
    return _SMALL[count] if 0 <= count < len(_SMALL) else str(count)


def plural(noun: str) -> str:
    """Write several of a kind; a type's name (``A320/321``) takes no ending."""
    if any(letter.isdigit() or letter.isupper() for letter in noun):
        return f"{noun} targets"
    return noun if noun == "aircraft" else f"{noun}s"


def counted(count: int, noun: str) -> str:
    """Write a number of things: ``one vessel``, ``14 buildings``."""
    return f"{spoken(count)} {noun if count == 1 else plural(noun)}"


def joined(parts: Sequence[str]) -> str:
    """Join words as a list: ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def metres(value_m: float) -> str:
    """Write a length with the precision it deserves."""
    if value_m >= 10_000:
        return f"{value_m / 1000:.0f} km"
    if value_m >= 1000:
        return f"{value_m / 1000:.1f} km"
    return f"{round(value_m / 5) * 5 if value_m >= 50 else max(round(value_m), 1)} m"


def share(value: float) -> str:
    """Write a part of the whole in per cent."""
    percent = round(100 * value)
    return "under 1%" if percent == 0 and value > 0 else f"{percent}%"
