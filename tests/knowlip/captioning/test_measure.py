"""Measurements: what is drawn is found, in metres and in the right place, and the simulator's truth is met."""

from __future__ import annotations

import numpy as np
import pytest

from knowlip.captioning import Levels, grey_levels, measure
from knowlip.scenes.simulate import SimulationSettings, simulate
from tests.builders import speckled

LAND, WATER = 100.0, 18.0


def test_a_coast_is_parted_into_water_and_land_and_placed() -> None:
    mean = np.full((256, 256), LAND)
    mean[160:] = WATER
    measured = measure(speckled(mean), 2.0)
    assert measured.basin_share == pytest.approx(96 / 256, abs=0.03)
    assert measured.basin_side == "south"
    assert measured.plain_share > 0.5
    turned = measure(speckled(mean), 2.0, up_deg=90.0)  # the image's up is east, so its down is west
    assert turned.basin_side == "west"


def test_a_runway_is_one_strip_with_its_length_width_and_heading() -> None:
    mean = np.full((300, 300), LAND)
    mean[20:280, 140:152] = WATER
    (strip, *rest) = measure(speckled(mean), 3.0).strips
    assert not rest
    assert strip.length_m == pytest.approx(780, rel=0.1)
    assert strip.width_m == pytest.approx(36, rel=0.35)
    assert min(strip.heading_deg, 180 - strip.heading_deg) < 4
    assert strip.region == 5


def test_ships_are_counted_measured_and_known_to_lie_on_water() -> None:
    mean = np.full((240, 240), WATER)
    mean[:60] = LAND
    mean[120:128, 40:80] = 220.0
    mean[200:206, 180:200] = 220.0
    measured = measure(speckled(mean), 2.0)
    assert len(measured.scatterers) == 2
    large = max(measured.scatterers, key=lambda one: one.length_m)
    assert large.length_m == pytest.approx(80, rel=0.2)
    assert large.width_m == pytest.approx(16, rel=0.5)
    assert large.heading_deg == pytest.approx(90, abs=5)
    assert {one.region for one in measured.scatterers} == {4, 9}
    assert all(one.dark_around > 0.9 for one in measured.scatterers)
    assert measured.pattern == "pair"


def test_bow_bridge_and_stern_are_one_ship_of_its_whole_length() -> None:
    mean = np.full((300, 300), WATER)
    mean[150:156, 60:180] = 45.0
    for start in (60, 110, 165):
        mean[150:156, start : start + 12] = 230.0
    (ship,) = measure(speckled(mean), 1.0, levels=Levels(dark=32.0, bright=150.0)).scatterers
    assert ship.length_m == pytest.approx(120, rel=0.1)
    assert ship.width_m < 15


@pytest.mark.parametrize("level", [20.0, 80.0, 160.0])
def test_speckle_alone_is_no_target(level: float) -> None:
    measured = measure(speckled(np.full((512, 512), level), seed=3), 1.0)
    assert measured.scatterers == ()
    assert measured.strips == ()
    assert measured.pattern == "none"


def test_an_edge_between_two_fields_is_no_target() -> None:
    mean = np.full((400, 400), 45.0)
    mean[:, 200:] = 130.0
    assert measure(speckled(mean, seed=1), 1.0).scatterers == ()


def test_shares_sum_to_one_and_no_data_is_not_ground() -> None:
    image = speckled(np.full((200, 200), 80.0))
    image[:, :50] = 0
    measured = measure(image, 1.0)
    assert measured.valid_share == pytest.approx(0.75)
    total = measured.dark_share + measured.bright_share + measured.rough_share + measured.plain_share
    assert total == pytest.approx(1.0, abs=1e-6)
    assert measured.dark_share < 0.02


def test_a_tile_without_data_and_a_tiny_one_are_measured_too() -> None:
    empty = measure(np.zeros((64, 64), np.uint8), 1.0)
    assert (empty.valid_share, empty.scatterers, empty.strips) == (0.0, (), ())
    assert measure(speckled(np.full((7, 5), 80.0)), 10.0).shape == (7, 5)


def test_the_parents_levels_tell_a_child_that_all_of_it_is_dark() -> None:
    mean = np.full((512, 512), LAND)
    mean[256:] = WATER
    parent = grey_levels(speckled(mean))
    child = speckled(np.full((128, 128), WATER), seed=2)
    assert measure(child, 1.0, levels=parent).dark_share > 0.95
    assert measure(child, 1.0).dark_share < 0.2  # on its own it cannot know


@pytest.mark.parametrize("kind", ["airport", "port"])
def test_targets_of_simulated_scenes_are_found_and_little_else(kind: str) -> None:
    scene = simulate(SimulationSettings(kind=kind, seed=5))
    low, high = np.percentile(scene.amplitude, [1, 99])
    image = np.clip((scene.amplitude - low) * 254 / (high - low) + 1.5, 1, 255).astype(np.uint8)
    gsd_m = 1.0
    levels = grey_levels(image)
    objects = [feature["properties"] for feature in scene.features]
    targets = [one for one in objects if one["class"] in ("aircraft", "ship", "storage_tank") and one["visible"] == 1.0]
    solid = [one for one in objects if one["class"] not in ("runway", "taxiway", "apron", "quay", "river", "road")]
    found: list[tuple[float, float]] = []
    side = 176
    for top in range(0, image.shape[0] - side + 1, side):
        for left in range(0, image.shape[1] - side + 1, side):
            measured = measure(image[top : top + side, left : left + side], gsd_m, levels=levels)
            found += [(one.col + left, one.row + top) for one in measured.scatterers]

    def near(one: dict, x: float, y: float, margin_m: float = 8.0) -> bool:
        west, north, east, south = one["pixels"]
        return west - margin_m < x < east + margin_m and north - margin_m < y < south + margin_m

    recall = np.mean([any(near(one, x, y) for x, y in found) for one in targets])
    # Layover displaces the return of a tank's roof by about its height.
    precision = np.mean([any(near(one, x, y, 25.0) for one in solid) for x, y in found])
    assert len(targets) >= 10
    assert recall >= 0.9
    assert precision >= 0.8
