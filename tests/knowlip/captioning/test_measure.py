"""Measurements: what is drawn is found, in metres and in the right place, and the simulator's truth is met."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from knowlip.captioning import Levels, grey_levels, measure
from knowlip.captioning.scoring import TargetScore, score_targets
from knowlip.scenes.simulate import SimulatedScene, SimulationSettings, appearances, simulate
from tests.builders import speckled

LAND, WATER = 100.0, 18.0

SIDE = 1584


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


@lru_cache
def _scene(kind: str) -> SimulatedScene:
    return simulate(SimulationSettings(kind=kind, seed=5, size_px=(SIDE, SIDE)))


@pytest.mark.parametrize(("kind", "side"), [("airport", 176), ("port", 176), ("airport", 792)])
def test_targets_of_simulated_scenes_are_found_and_little_else(kind: str, side: int) -> None:
    scene = _scene(kind)
    low, high = np.percentile(scene.amplitude, [1, 99])
    image = np.clip((scene.amplitude - low) * 254 / (high - low) + 1.5, 1, 255).astype(np.uint8)
    levels = grey_levels(image)
    found: list[tuple[float, float]] = []
    tiles: list[int] = []
    corners = [(top, left) for top in range(0, SIDE - side + 1, side) for left in range(0, SIDE - side + 1, side)]
    for number, (top, left) in enumerate(corners):
        measured = measure(image[top : top + side, left : left + side], 1.0, levels=levels)
        found += [(one.col + left, one.row + top) for one in measured.scatterers]
        tiles += [number] * len(measured.scatterers)
    covered = SIDE // side * side
    score = score_targets(np.array(found), tiles, appearances(scene), gsd_m=1.0, covered_px=(covered, covered))
    assert score.targets >= 10
    assert score.recall >= 0.9
    assert score.precision >= 0.8
    assert score.precision_once >= 0.65


def _cylinder(mean: np.ndarray, row: float, col: float, *, diameter: float, layover: float) -> None:
    """Draw the near rim and the far rim, laid over to the right, and the foot of a cylinder seen from the right."""
    turn = np.radians(np.arange(-38, 39, 0.5))
    down, right = diameter / 2 * np.sin(turn), diameter / 2 * np.cos(turn)
    for middle, side in ((col, 1), (col + layover, 1), (col + layover, -1)):
        rows, cols = np.round(row + down).astype(int), np.round(middle + side * right).astype(int)
        for thick in (0, 1, 2):
            mean[rows, cols + thick] = 240.0


def test_the_arcs_of_a_tank_are_one_target_and_two_tanks_are_two() -> None:
    mean = np.full((300, 300), 60.0)
    _cylinder(mean, 90, 80, diameter=46, layover=24)
    _cylinder(mean, 200, 160, diameter=40, layover=20)
    found = measure(speckled(mean), 1.0).scatterers
    assert len(found) == 2
    assert all(one.arcs for one in found)


def test_parallel_walls_are_no_tank() -> None:
    mean = np.full((300, 300), 60.0)
    for col in (100, 125, 150):
        mean[120:160, col : col + 3] = 240.0
    found = measure(speckled(mean), 1.0).scatterers
    assert len(found) == 3
    assert not any(one.arcs for one in found)


def test_no_detection_and_no_truth_are_scored_too() -> None:
    nothing = score_targets(np.empty((0, 2)), [], [], gsd_m=1.0, covered_px=(10, 10))
    assert nothing == TargetScore()
    pooled = TargetScore(4, 3, 10, 8, 6) + TargetScore(1, 1, 0, 0, 0)
    assert (pooled.recall, pooled.precision, pooled.precision_once) == (0.8, 0.8, 0.6)


def test_a_tall_object_appears_nearer_to_the_radar_than_it_stands() -> None:
    scene = _scene("port")
    for one, feature in zip(appearances(scene), scene.features, strict=True):
        truth = feature["properties"]
        west, north, east, south = one.outline_px.bounds
        x0, y0, x1, y1 = truth["pixels"]
        if one.kind == "storage_tank":
            growth = (east - west) - (x1 - x0) + (south - north) - (y1 - y0)
            layover_px = truth["height_m"] / np.tan(np.radians(scene.settings.incidence_deg))
            assert layover_px * 0.95 <= growth <= layover_px * 1.5
        if not one.solid:
            assert (west, north, east, south) == pytest.approx((x0, y0, x1, y1), abs=0.1)
