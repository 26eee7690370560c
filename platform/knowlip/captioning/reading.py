"""What the measurements mean at this place: dark ground is a runway at an airport and water at a port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from knowlip.captioning.cfar import Scatterer
from knowlip.captioning.facts import Spot, TileFacts
from knowlip.captioning.measure import Measurements
from knowlip.captioning.strips import Strip

__all__ = ["FUNCTIONS", "Reading", "read"]

FUNCTIONS = ("airport", "port", "open water", "urban", "industrial", "mixed", "agricultural", "natural")
"""What a region is used for, as `regional_function` names it."""

REACH_M = 6000.0
"""An airport or port gives its function to tiles that share a larger tile of at most this extent with it."""

_SETTLED, _SETTLED_A_KM2 = 3, 0.1
"""Ground with more buildings than this is not called open country."""

_NAVIGABLE = 0.05
"""Share of water from which on what lies in the dark may be a vessel: inland, a lone roof among dark fields is none."""

AIRCRAFT_GSD_M = 4.0
"""Coarser images do not show an aircraft as such."""


@dataclass(frozen=True)
class Reading:
    """An interpretation of one tile's measurements.

    Attributes:
        function: One of `FUNCTIONS`.
        airport: The airport within the tile or around it, if any.
        port: The port within the tile or around it, if any.
        basin: What the wide dark areas are called; empty when there are none.
        targets: Category of each scatterer, in the order of the measurements.
        counts: Number of scatterers of each category, the most frequent first.
        ways: What each strip is called, in the order of the measurements.
    """

    function: str
    airport: Spot | None
    port: Spot | None
    basin: str
    targets: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    ways: tuple[str, ...]


def read(facts: TileFacts, measured: Measurements, ancestry: Sequence[TileFacts] = ()) -> Reading:
    """Interpret a tile.

    Args:
        facts: The tile's facts.
        measured: Its measurements.
        ancestry: Facts of the larger tiles around it, the nearest first: an airport's reference point lies in one small
            tile, its runways in many. Only those within `REACH_M` count: what lies farther off explains nothing here.
    """
    near = (facts, *(one for one in ancestry if one.extent_m <= REACH_M))
    airport = next((spot for one in near for spot in one.airports), None)
    port = next((spot for one in near for spot in one.ports), None)
    paved = airport is not None and not facts.ports and (bool(facts.airports) or port is None)
    basin = "" if measured.basin_share < 0.01 else "apron" if paved else "water"
    afloat = basin == "water" and measured.basin_share > _NAVIGABLE
    targets = tuple(_category(one, measured.gsd_m, paved=paved, afloat=afloat) for one in measured.scatterers)
    return Reading(
        function=_function(facts, measured, targets, airport=airport, port=port),
        airport=airport,
        port=port,
        basin=basin,
        targets=targets,
        counts=tuple(sorted(Counter(targets).items(), key=lambda item: (-item[1], item[0]))),
        ways=tuple(_way(strip, paved=paved, basin=basin) for strip in measured.strips),
    )


def _function(
    facts: TileFacts, measured: Measurements, targets: Sequence[str], *, airport: Spot | None, port: Spot | None
) -> str:
    if facts.ports:
        return "port"
    if facts.airports:
        return "airport"
    if port is not None and measured.basin_share > 0.02:
        return "port"
    if measured.basin_share > 0.75 and airport is None:
        return "open water"
    if airport is not None and (measured.dark_share > 0.05 or "aircraft" in targets):
        return "airport"
    return _land_use(measured, targets)


def _land_use(measured: Measurements, targets: Sequence[str]) -> str:
    built = sum(target in ("building", "compact structure", "storage tank") for target in targets)
    per_km2 = built / max(measured.height_m * measured.width_m / 1e6, 1e-6)
    if measured.bright_share > 0.3 and built:
        largest = max((one.length_m for one in measured.scatterers), default=0.0)
        return "industrial" if largest > 100.0 else "urban"
    if measured.bright_share > 0.4 or (measured.bright_share > 0.15 and built) or (built >= 3 and per_km2 > 5.0):
        return "urban"
    if built >= _SETTLED and (per_km2 > _SETTLED_A_KM2 or measured.bright_share > 0.1):
        return "mixed"  # buildings that a wide view has averaged away are no proof of open country
    return "agricultural" if measured.plain_share > measured.rough_share else "natural"


def _category(one: Scatterer, gsd_m: float, *, paved: bool, afloat: bool) -> str:
    if paved and not one.arcs and gsd_m <= AIRCRAFT_GSD_M and one.dark_around > 0.3 and 10.0 <= one.length_m <= 90.0:
        return "aircraft"
    if one.dark_around > 0.6 and afloat and not one.arcs:
        return "vessel"
    if one.arcs:
        return "storage tank"
    compact = one.length_m < 1.5 * one.width_m
    return "compact structure" if compact and 12.0 <= one.length_m <= 90.0 else "building"


def _way(strip: Strip, *, paved: bool, basin: str) -> str:
    if paved:
        return "runway" if strip.length_m >= 800.0 and strip.width_m >= 20.0 else "taxiway"
    return "channel" if strip.width_m >= 45.0 or basin == "water" else "road"
