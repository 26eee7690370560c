"""Which of the three instruction families fits a tile (section 4.2)."""

from __future__ import annotations

from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import Measurements

__all__ = ["choose"]

MARINE_SHARE = 0.35
"""Open dark basins over this share make a tile marine, unless it lies at an airport."""


def choose(facts: TileFacts, measured: Measurements, ancestry: tuple[TileFacts, ...] = ()) -> str:
    """Choose by content: port or water share, then airport or targets, else terrain.

    Args:
        facts: The tile's facts.
        measured: Its measurements.
        ancestry: Facts of the larger tiles around it.
    """
    near = (facts, *ancestry)
    airport = any(one.airports for one in near)
    port = any(one.ports for one in near)
    afloat = measured.basin_share >= MARINE_SHARE and not facts.airports and (port or not airport)
    if facts.ports or afloat:
        return "marine_target"
    if airport and (facts.airports or measured.strips or measured.scatterers):
        return "ground_target"
    if port and measured.basin_share > 0.05:
        return "marine_target"
    return "terrain"
