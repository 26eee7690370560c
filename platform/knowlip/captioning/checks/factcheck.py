"""A text's claims against measurements and geography, each doubt with its evidence.

A check says nothing about what it cannot know: a claim is flagged only where a measurement or a table speaks against
it. So the flags are few and worth reading, and what is not flagged is not thereby true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from knowlip.captioning.checks import claims
from knowlip.captioning.facts import Spot, TileFacts
from knowlip.captioning.measure import Measurements
from knowlip.captioning.positions import region_name
from knowlip.captioning.reading import Reading, read
from knowlip.captioning.wording import joined, metres, share
from knowlip.geography import ground_distance_m
from knowlip.records import SUBTEXTS

__all__ = ["CHECKS", "CHECKS_VERSION", "Flag", "check_texts", "flag_rows"]

CHECKS_VERSION = 1
"""Raised when the same text shall get other flags."""

COUNT_SLACK, COUNT_RATIO = 3, 0.5
"""A count is far when it is off by more than the greater of this many and this part of what was measured."""

SHARE_SLACK = 0.15
"""Ground shares depend on where one draws the line between two grounds."""

DRY, WET = 0.01, 0.2
"""Under the one there is no water to speak of; over the other it cannot be overlooked."""

RUNWAY_M = 500.0
NEAR_M = 3000.0
"""Coordinates may be the city's, not the tile's centre, by this much."""

EDGE = 0.08
"""How far beyond a nine-grid region a target may lie, in sides of the tile, and still be said to lie in it."""

_WATER = r"water|sea|ocean|lake|river|harbou?r|bay|canal|lagoon|waterway|estuary"
_POLARISATIONS = "HH|HV|VH|VV"


@dataclass(frozen=True)
class Flag:
    """One doubt about one sub-text.

    Attributes:
        subtext: Which of the eight.
        kind: Which check of `CHECKS`.
        claim: The words that are doubted.
        evidence: What speaks against them.
    """

    subtext: str
    kind: str
    claim: str
    evidence: str


@dataclass(frozen=True)
class _Known:
    """All that is known of a tile."""

    facts: TileFacts
    measured: Measurements
    ancestry: tuple[TileFacts, ...]

    @cached_property
    def reading(self) -> Reading:
        """What the measurements mean at this place."""
        return read(self.facts, self.measured, self.ancestry)

    def sites(self, kind: str) -> tuple[Spot, ...]:
        """Airports or ports within the tile and the larger ones around it, whose texts went into this one."""
        around = (self.facts, *self.ancestry)
        return tuple(spot for one in around for spot in (one.airports if kind == "airport" else one.ports))


Doubts = Iterator[tuple[str, str]]


def check_texts(
    subtexts: Mapping[str, str], facts: TileFacts, measured: Measurements, ancestry: Sequence[TileFacts] = ()
) -> tuple[Flag, ...]:
    """Check the eight sub-texts of a tile.

    Args:
        subtexts: Texts by name; those that are missing are not checked.
        facts: The tile's facts.
        measured: Its measurements.
        ancestry: Facts of the larger tiles around it, the nearest first.

    Returns:
        Doubts in the order of the sub-texts.
    """
    known = _Known(facts, measured, tuple(ancestry))
    return tuple(
        Flag(name, kind, " ".join(claim.split()), evidence)
        for name in SUBTEXTS
        for kind, (where, doubt) in CHECKS.items()
        if subtexts.get(name) and (not where or name in where)
        for claim, evidence in doubt(subtexts[name], known)
    )


def flag_rows(flags: Sequence[Flag]) -> list[dict[str, str]]:
    """Return flags as values of the column ``flags`` of `captions/`."""
    return [asdict(flag) for flag in flags]


def _count(text: str, known: _Known) -> Doubts:
    said, measured = claims.counts(text), len(known.measured.scatterers)
    if said is not None and abs(said - measured) > max(COUNT_SLACK, COUNT_RATIO * measured):
        yield f"{said} targets", f"{measured} clusters of strong scatterers were measured"


def _share(text: str, known: _Known) -> Doubts:
    measured = known.measured
    between = {
        "water": (measured.basin_share, measured.dark_share),
        "bright": (measured.bright_share, measured.bright_share),
        "rough": (measured.rough_share, measured.rough_share),
        "plain": (measured.plain_share, measured.plain_share),
    }
    for cover, per_cent, claim in claims.shares(text):
        low, high = between[cover]
        if not low - SHARE_SLACK <= per_cent / 100 <= high + SHARE_SLACK:
            yield claim, f"such ground was measured on {share(high)}"


def _water(text: str, known: _Known) -> Doubts:
    measured = known.measured
    claim = claims.affirmed(text, _WATER)
    if claim and measured.dark_share < DRY and not measured.strips:
        yield claim, f"dark smooth ground covers {share(measured.dark_share)}"
    denial = claims.denied(text, _WATER)
    if denial and known.reading.basin == "water" and measured.basin_share > WET:
        yield denial, f"smooth water covers {share(measured.basin_share)}"


def _function(text: str, known: _Known) -> Doubts:
    measured = known.measured
    longest = max((strip.length_m for strip in measured.strips), default=0.0)
    claim = claims.affirmed(text, "airport|airfield|runways?")
    if claim and not known.sites("airport") and longest < RUNWAY_M:
        yield claim, "no airport lies here, and no strip is long enough for a runway"
    claim = claims.affirmed(text, "seaport|harbou?r|port|docks?")
    if claim and not known.sites("port") and measured.dark_share < DRY:
        yield claim, "no port lies here, and no water"


def _place(text: str, known: _Known) -> Doubts:
    facts = known.facts
    if not facts.located:
        return
    for kind, name in claims.named_sites(text):
        there = known.sites(kind)
        if not any(_same(name, f"{spot.name} {spot.code}") for spot in there) and not _same(name, facts.place):
            listed = joined([spot.label for spot in there]) or f"no {kind}"
            yield name, f"{listed} lies here"
    codes = {spot.code for kind in ("airport", "port") for spot in known.sites(kind)}
    for code in claims.site_codes(text):
        if code not in codes and code not in _NOT_SITES:
            yield f"({code})", f"codes here are {joined(sorted(codes))}" if codes else "no airport or port lies here"


_NOT_SITES = frozenset({"SAR", "GSD", "CFAR", "HCOT", "UTM", "WGS", *_POLARISATIONS.split("|")})


def _same(name: str, known: str) -> bool:
    """Whether two names share a word that tells places apart."""
    common = {"international", "regional", "municipal", "airport", "port", "harbor", "harbour", "of", "the", "air"}
    words = {word for word in _words(name) if len(word) > 2 and word not in common}
    return bool(words & set(_words(known))) or not words


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


def _coordinates(text: str, known: _Known) -> Doubts:
    facts = known.facts
    for lon, lat, claim in claims.coordinates(text) if facts.located else ():
        off_m = float(ground_distance_m(lon, lat, facts.lon, facts.lat))
        if off_m > max(NEAR_M, facts.extent_m):
            yield claim, f"the tile lies {metres(off_m)} from there, at {facts.coordinates}"


def _extent(text: str, known: _Known) -> Doubts:
    diagonal_m = float(np.hypot(known.measured.height_m, known.measured.width_m))
    for length_m, claim in claims.lengths_m(text):
        if length_m > 1.1 * diagonal_m:
            yield claim, f"the tile measures {metres(diagonal_m)} from corner to corner"


def _region(text: str, known: _Known) -> Doubts:
    found, (height, width) = known.measured.scatterers, known.measured.shape
    for number, claim in claims.regions(text) if found else ():
        down, right = divmod(number - 1, 3)
        inside = any(
            down / 3 - EDGE <= one.row / height <= (down + 1) / 3 + EDGE
            and right / 3 - EDGE <= one.col / width <= (right + 1) / 3 + EDGE
            for one in found
        )
        if not inside:
            regions = sorted({one.region for one in found})
            yield claim, f"targets were measured in the {joined([region_name(one) for one in regions])}"


def _radar(text: str, known: _Known) -> Doubts:
    facts = known.facts
    bands = {letter for letter in facts.band.upper() if letter.isalpha()}
    claim = claims.affirmed(text, "[XCLSPK]-band")
    if claim and bands and claim[0].upper() not in bands:
        yield claim, f"the radar works in {facts.band}-band"
    claim = claims.affirmed(text, f"(?-i:{_POLARISATIONS})")
    if claim and facts.polarisation and claim not in facts.polarisation.upper():
        yield claim, f"the image is {facts.polarisation}"


CHECKS: dict[str, tuple[tuple[str, ...], Callable[[str, _Known], Doubts]]] = {
    "count": (("target_quantity",), _count),
    "share": ((), _share),
    "water": (("terrain_structure", "target_location", "spatial_layout"), _water),
    "function": (("regional_function",), _function),
    "place": ((), _place),
    "coordinates": ((), _coordinates),
    "extent": (("terrain_structure", "target_structure", "spatial_layout"), _extent),
    "region": (("target_location",), _region),
    "radar": ((), _radar),
}
"""Checks by name: the sub-texts that each reads (all when empty), and what it doubts."""
