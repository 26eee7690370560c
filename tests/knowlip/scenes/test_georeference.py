"""Pixels to the ground and back, whatever says where they lie."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from knowlip.errors import SceneError
from knowlip.geography import to_wgs84
from knowlip.scenes.georeference import Georeference, Spacing

GEOD = Geod(ellps="WGS84")

ORIGINS = {
    "EPSG:32611": (390_000.0, 3_740_000.0),
    "EPSG:32733": (500_000.0, 6_200_000.0),
    "EPSG:3395": (-13_170_000.0, 4_000_000.0),
    "EPSG:3413": (-1_200_000.0, -900_000.0),
    "EPSG:4326": (-118.3, 33.9),
}


@st.composite
def georeferences(draw: st.DrawFn) -> Georeference:
    """Any affine: rotated, sheared, non-square, south-up; in metres or degrees."""
    crs = draw(st.sampled_from(sorted(ORIGINS)))
    unit = 1e-5 if crs == "EPSG:4326" else 1.0
    across, down = draw(st.floats(0.2, 20)) * unit, draw(st.floats(0.2, 20)) * unit
    turn = Affine.rotation(draw(st.floats(-180, 180)))
    mirror = draw(st.sampled_from([-1.0, 1.0]))
    affine = Affine.translation(*ORIGINS[crs]) @ turn @ Affine.scale(across, mirror * down)
    return Georeference("affine", crs, tuple(affine)[:6])


@given(georeference=georeferences(), col=st.floats(0, 20_000), row=st.floats(0, 20_000))
@settings(max_examples=150, deadline=None)
def test_pixel_to_wgs84_and_back(georeference: Georeference, col: float, row: float) -> None:
    back = georeference.pixel(*georeference.lonlat(np.array([col]), np.array([row])))
    assert abs(back[0][0] - col) < 0.01
    assert abs(back[1][0] - row) < 0.01


@given(georeference=georeferences())
@settings(max_examples=40, deadline=None)
def test_spacing_agrees_with_geodesics(georeference: Georeference) -> None:
    spacing = Spacing.of(georeference, 3000, 2000)
    for row, col in ((10.0, 10.0), (1500.0, 1000.0), (2990.0, 500.0)):
        east_m, south_m = spacing.at(row, col)
        lon, lat = georeference.lonlat(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
        assert east_m == pytest.approx(GEOD.inv(lon[0], lat[0], lon[1], lat[1])[2], rel=2e-3)
        assert south_m == pytest.approx(GEOD.inv(lon[0], lat[0], lon[2], lat[2])[2], rel=2e-3)


def test_mercator_pixels_are_shorter_on_the_ground() -> None:
    georeference = Georeference("affine", "EPSG:3395", (10.0, 0, -13_173_501, 0, -10.0, 4_017_420))
    assert Spacing.of(georeference, 100, 100).gsd_m == pytest.approx(8.29, abs=0.01)


@pytest.mark.parametrize("affine", [(1e9, 0, 0, 0, -1e9, 0), (1e-9, 0, 390_000, 0, -1e-9, 3_740_000)])
def test_absurd_pixels_are_refused(affine: tuple[float, ...]) -> None:
    with pytest.raises(SceneError) as caught:
        Spacing.of(Georeference("affine", "EPSG:32611", affine), 100, 100)
    assert caught.value.code == "bad_transform"


def test_control_points_alone_place_a_scene() -> None:
    """A swath seen obliquely: its control points are all there is, and every window's affine is fitted to them."""
    true = Georeference("affine", "EPSG:4326", tuple(Affine(8e-5, 2e-5, 10.0, 1.5e-5, -9e-5, 50.0))[:6])
    cols, rows = np.meshgrid(np.linspace(0, 4000, 8), np.linspace(0, 3000, 6))
    lon, lat = true.lonlat(cols, rows)
    points = tuple(zip(rows.ravel(), cols.ravel(), lon.ravel(), lat.ravel(), np.zeros(lon.size), strict=True))
    seen = pickle.loads(pickle.dumps(Georeference("gcps", "EPSG:4326", gcps=points)))  # noqa: S301

    affine, residual_m = seen.fit(1000, 2000, 512, 512)
    expected, exact = true.fit(1000, 2000, 512, 512)
    assert exact == 0.0
    assert residual_m < 0.5
    x, y = affine @ (256.0, 256.0)
    ex, ey = expected @ (256.0, 256.0)
    assert GEOD.inv(x, y, ex, ey)[2] < 1.0
    back = seen.pixel(*seen.lonlat(np.array([1234.0]), np.array([567.0])))
    assert np.allclose(np.ravel(back), (1234.0, 567.0), atol=0.01)


def test_a_fit_tells_how_far_it_strays() -> None:
    cols, rows = np.meshgrid(np.linspace(0, 4000, 9), np.linspace(0, 4000, 9))
    lon, lat = 10.0 + cols * 1e-4 + (cols / 4000) ** 2 * 0.05, 50.0 - rows * 1e-4
    points = tuple(zip(rows.ravel(), cols.ravel(), lon.ravel(), lat.ravel(), np.zeros(lon.size), strict=True))
    bent = Georeference("gcps", "EPSG:4326", gcps=points)
    _, small = bent.fit(0, 0, 400, 400)
    _, large = bent.fit(0, 0, 4000, 4000)
    assert small < large
    assert large > 100


def test_no_georeference_still_has_metres() -> None:
    plain = Georeference("none", "", tuple(Affine.scale(3.0, -3.0))[:6])
    assert Spacing.of(plain, 50, 50).at(10, 10) == (3.0, 3.0)
    assert not plain.on_earth


def test_wgs84_of_a_rotated_scene() -> None:
    turned = Affine.translation(390_000, 3_740_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    georeference = Georeference("affine", "EPSG:32611", tuple(turned)[:6])
    lon, lat = georeference.lonlat(np.array([100.0]), np.array([0.0]))
    expected = to_wgs84("EPSG:32611", np.array([390_000 + 200 * np.cos(np.pi / 6)]), np.array([3_740_000 + 100.0]))
    assert GEOD.inv(lon[0], lat[0], expected[0][0], expected[1][0])[2] < 1e-6


@pytest.mark.parametrize("along", [lambda n: (n * 100.0, n * 50.0), lambda n: (n % 3 * 100.0, 0.0)])
def test_control_points_that_span_no_area_are_refused(along: Callable[[int], tuple[float, float]]) -> None:
    pixels = [along(n) for n in range(12)]
    points = tuple((row, col, 10 + col * 1e-4, 50 - row * 1e-4, 0.0) for col, row in pixels)
    with pytest.raises(SceneError) as caught:
        Spacing.of(Georeference("gcps", "EPSG:4326", gcps=points), 600, 1200)
    assert caught.value.code == "bad_transform"
