"""What measurements are taken to mean: open country has few buildings, and a vessel floats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knowlip.captioning import TileFacts, measure
from knowlip.captioning.cfar import Scatterer
from knowlip.captioning.family import choose
from knowlip.captioning.measure import Measurements
from knowlip.captioning.reading import read
from tests.builders import speckled, tile_row

FIELD = speckled(np.full((128, 128), 90.0))
AIRPORT = [{"code": "LGB", "name": "Long Beach Airport", "lon": -118.15, "lat": 33.82}]
PORT = [{"code": "USLGB", "name": "Long Beach", "lon": -118.2, "lat": 33.75}]


def house(dark_around: float = 0.0) -> Scatterer:
    return Scatterer(50.0, 50.0, 5, 60.0, 20.0, 0.0, 12.0, dark_around)


def seen(**changes: object) -> Measurements:
    plain = {"basin_share": 0.0, "bright_share": 0.02, "rough_share": 0.2, "plain_share": 0.7}
    return replace(measure(FIELD, 10.0), **{**plain, **changes})


def facts(**columns: object) -> TileFacts:
    return TileFacts.from_row(tile_row("t", FIELD, **columns))


def test_a_wide_view_of_a_city_is_not_called_farmland() -> None:
    wide = {"height_m": 16_384.0, "width_m": 16_384.0}
    assert read(facts(), seen(**wide, scatterers=(house(),) * 148)).function == "mixed"
    assert read(facts(), seen(**wide)).function == "agricultural"
    assert read(facts(), seen(scatterers=(house(),) * 2)).function == "agricultural"


@pytest.mark.parametrize(("water", "kind"), [(0.0, "building"), (0.02, "building"), (0.3, "vessel")])
def test_a_vessel_needs_water(water: float, kind: str) -> None:
    assert read(facts(), seen(basin_share=water, scatterers=(house(dark_around=0.9),))).targets == (kind,)


def test_a_dark_apron_makes_no_tile_marine() -> None:
    around = (facts(ports=PORT),)
    assert choose(facts(airports=AIRPORT), seen(basin_share=0.6), around) == "ground_target"
    assert choose(facts(), seen(basin_share=0.6), around) == "marine_target"
