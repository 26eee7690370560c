"""Claims found in English sentences: counts, shares, lengths, positions, names; what is denied is no claim."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = [
    "affirmed",
    "coordinates",
    "counts",
    "denied",
    "lengths_m",
    "named_sites",
    "regions",
    "shares",
    "site_codes",
]

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: number for number, word in enumerate(_SMALL)}
_NUMBERS |= {word: 10 * (place + 2) for place, word in enumerate(_TENS)}
_NUMBERS |= {f"{ten}-{one}": _NUMBERS[ten] + _NUMBERS[one] for ten in _TENS for one in _SMALL[1:10]}
_NUMBERS |= {"no": 0, "a dozen": 12}

_TARGETS = (
    r"aircraft|airplanes?|planes?|airliners?|vessels?|ships?|boats?|tankers?|buildings?|structures?|warehouses?|houses?"
    r"|tanks?|cranes?|containers?|targets?|scatterers?|objects?|hangars?"
)
_COUNT = re.compile(
    rf"\b(\d{{1,6}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\s+(?:[a-z][a-z-]*\s+){{0,2}}?({_TARGETS})\b",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"\b(?:in all|in total|altogether|overall)\b|\btotal(?:ling)?\b", re.IGNORECASE)
_NONE = re.compile(
    rf"\b(?:zero|no|not one|none)\b[^.;]*\b(?:{_TARGETS})\b|\b(?:{_TARGETS})\b[^.;]*\b(?:is zero|are absent)",
    re.IGNORECASE,
)

_COVERS = {
    "water": r"water|sea|ocean|lake|river|pavement|paved|dark smooth ground|dark ground",
    "bright": r"built-up|urban|buildings|bright",
    "rough": r"vegetation|forest|trees|woodland|mottled",
    "plain": r"open ground|grass(?:land)?|fields|farmland|even ground",
}
_SHARE_FIRST = {
    cover: re.compile(
        r"(\d{1,3})\s?(?:%|percent\b|per cent\b)\s*(?:of\s+[a-z ]{3,24}?\s)?(?:is\s+|are\s+)?(?:[a-z-]+\s+){0,2}?"
        rf"(?:{words})",
        re.IGNORECASE,
    )
    for cover, words in _COVERS.items()
}
_SHARE_LAST = {
    cover: re.compile(
        rf"\b(?:{words})(?:\s+[a-z-]+){{0,2}}?\s+(?:covers?|fills?|occup(?:y|ies)|takes?(?: up)?)\s+"
        r"(?:about |around |some |roughly |nearly )?(\d{1,3})\s?(?:%|percent\b|per cent\b)",
        re.IGNORECASE,
    )
    for cover, words in _COVERS.items()
}

_LENGTH = re.compile(r"\b(\d+(?:[.,]\d+)?)\s?(km|kilomet(?:re|er)s?|m|met(?:re|er)s?)\b(?!\s+(?:a|per)\s+pixel)")
_REGION = re.compile(
    r"\b(upper|top|middle|central|centre|center|lower|bottom)[\s-]+(left|right|centre|center|middle)\b", re.IGNORECASE
)
_ROWS = {"upper": 0, "top": 0, "middle": 1, "central": 1, "centre": 1, "center": 1, "lower": 2, "bottom": 2}
_COLUMNS = {"left": 0, "right": 2, "centre": 1, "center": 1, "middle": 1}
_POINT = re.compile(r"(\d{1,2}(?:\.\d+)?)\s?°\s?([NS])\W{1,3}(\d{1,3}(?:\.\d+)?)\s?°\s?([EW])")

_NAME = r"((?:[A-Z][\w.'’-]*\s+)(?:(?:[A-Z][\w.'’-]*|of|de|la|el|am|on)\s+){0,4}?)"
_SITES = {
    "airport": re.compile(rf"{_NAME}(?:International\s+|Regional\s+|Municipal\s+)?(?:Airport|Airfield|Air Base)\b"),
    "port": re.compile(rf"\bPort of ((?:[A-Z][\w.'’-]*\s?){{1,3}})|{_NAME}(?:Port|Harbou?r|Seaport)\b"),
}
_CODE = re.compile(r"\(([A-Z]{3,5})\)")
_OPENERS = frozenset({"the", "a", "an", "at", "near", "in", "of", "this", "port", "airport", "and", "with"})

_DENIAL = re.compile(
    r"\b(?:no|not|without|neither|nor|never|none|lacks?|lacking|absen(?:t|ce)|free of|devoid|away from)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?<=[.;:!?])\s+|,\s+(?=but\b|while\b|though\b)")


def affirmed(text: str, words: str) -> str:
    """Return the first match of a pattern in a clause that denies nothing; empty when there is none."""
    pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for clause in _CLAUSE.split(text):
        if (match := pattern.search(clause)) and not _DENIAL.search(clause):
            return match[0]
    return ""


def denied(text: str, words: str) -> str:
    """Return the words by which a text says that a thing is not there ("without any water"); empty where none."""
    match = re.search(
        rf"\b(?:no|without|lacks?|lacking|absence of|free of|devoid of)\s+(?:[a-z-]+\s+){{0,2}}?(?:{words})\b",
        text,
        re.IGNORECASE,
    )
    return match[0] if match else ""


def counts(text: str) -> int | None:
    """Return the number of targets that a text counts: the total it gives, else the sum; none when it counts none."""
    found = [(_number(match[1]), match.end()) for match in _COUNT.finditer(text) if match[1].lower() not in ("a", "an")]
    if not found:
        return 0 if _NONE.search(text) else None
    totals = [number for number, end in found if _TOTAL.match(text[end:].lstrip(" ,"))]
    return totals[0] if totals else sum(number for number, _ in found)


def shares(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield claimed ground shares: ``water``, ``bright``, ``rough`` or ``plain``, per cent, the words."""
    for patterns in (_SHARE_FIRST, _SHARE_LAST):
        for cover, pattern in patterns.items():
            for match in pattern.finditer(text):
                yield cover, int(match[1]), match[0]


def lengths_m(text: str) -> Iterator[tuple[float, str]]:
    """Yield lengths in metres with their words; what is said of the pixel is left out."""
    for match in _LENGTH.finditer(text):
        value = float(match[1].replace(",", "."))
        yield value * (1000.0 if match[2][0] == "k" else 1.0), match[0]


def regions(text: str) -> Iterator[tuple[int, str]]:
    """Yield nine-grid regions, 1 to 9, with their words."""
    for match in _REGION.finditer(text):
        yield 3 * _ROWS[match[1].lower()] + _COLUMNS[match[2].lower()] + 1, match[0]


def coordinates(text: str) -> Iterator[tuple[float, float, str]]:
    """Yield longitudes and latitudes, degrees, with their words."""
    for match in _POINT.finditer(text):
        lat = float(match[1]) * (1 if match[2] == "N" else -1)
        lon = float(match[3]) * (1 if match[4] == "E" else -1)
        yield lon, lat, match[0]


def named_sites(text: str) -> Iterator[tuple[str, str]]:
    """Yield ``airport`` or ``port`` and the name that the text gives it."""
    for kind, pattern in _SITES.items():
        for match in pattern.finditer(text):
            words = next(group for group in match.groups() if group).split()
            while words and words[0].lower() in _OPENERS:
                words = words[1:]
            if words:
                yield kind, " ".join(words)


def site_codes(text: str) -> Iterator[str]:
    """Yield codes in brackets, such as ``LAX``."""
    yield from (match[1] for match in _CODE.finditer(text))


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]
