"""Windows that cover the same ground everywhere, leave no gap, and know their parents."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from knowlip.errors import SceneError
from knowlip.scenes.georeference import Georeference, Spacing
from knowlip.tiling.grid import Grid, GridSettings, Window, lay_grid

GEOD = Geod(ellps="WGS84")


def flat(gsd_m: float = 1.0) -> Georeference:
    return Georeference("none", "", tuple(Affine.scale(gsd_m, -gsd_m))[:6])


def grid_of(georeference: Georeference, height: int, width: int, **settings: object) -> Grid:
    spacing = Spacing.of(georeference, height, width)
    return lay_grid(height, width, spacing, GridSettings(**settings), name="scene.tif")


def cover(windows: list[Window], height: int, width: int) -> np.ndarray:
    """How many windows lie over each pixel."""
    counts = np.zeros((height, width), dtype=int)
    for window in windows:
        counts[window.row : window.row + window.height, window.col : window.col + window.width] += 1
    return counts


@given(
    height=st.integers(80, 500),  # at half a metre a pixel this still holds the largest of the extents
    width=st.integers(80, 500),
    extent_m=st.floats(20, 40),
    gsd_m=st.sampled_from([0.5, 1.0, 3.0]),
    edge=st.sampled_from(["shift", "pad", "drop"]),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_every_scale_covers_the_scene_without_gaps(
    height: int, width: int, extent_m: float, gsd_m: float, edge: str, overlap: float
) -> None:
    grid = grid_of(flat(gsd_m), height, width, extent_m=extent_m, edge=edge, overlap=overlap)
    for scale, windows in grid.windows.items():
        counts = cover(windows, height, width)
        inside = counts
        if edge == "drop":
            bottom = max(w.row + w.height for w in windows)
            right = max(w.col + w.width for w in windows)
            inside = counts[:bottom, :right]
            assert bottom > height - windows[0].height
            assert right > width - windows[0].width
        # A scene that just holds a large tile is cut to whole cells of the averaged image.
        slack = windows[0].factor - 1
        assert (inside[: inside.shape[0] - slack or None, : inside.shape[1] - slack or None] > 0).all(), scale
        if overlap == 0 and (edge == "drop" or (edge == "pad" and scale == "S")):
            assert counts.max() == 1


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:3395", Affine(10, 0, -13_173_501, 0, -10, 4_017_420)),
        ("EPSG:3857", Affine(3, 0, 1_000_000, 0, -3, 9_000_000)),
        ("EPSG:4326", Affine(9e-5, 0, 12.0, 0, -9e-5, 60.0)),
        ("EPSG:3413", Affine(5, 0, -1_200_000, 0, -5, -900_000)),
        ("EPSG:32631", Affine(1, 0, 200_000, 0, -1, 5_000_000)),
        ("EPSG:32611", Affine.translation(390_000, 3_740_000) @ Affine.rotation(25) @ Affine.scale(2.0, -3.0)),
    ],
)
def test_extent_is_right_on_the_ellipsoid_everywhere(crs: str, affine: Affine) -> None:
    """Within 0.5 % (or half a pixel, where pixels are coarse) of what was asked for, by geodesics along the middle."""
    georeference = Georeference("affine", crs, tuple(affine)[:6])
    grid = grid_of(georeference, 20_000, 20_000, extent_m=2048.0)
    assert {"M", "S"} <= set(grid.windows)
    for scale, windows in grid.windows.items():
        extent_m = GridSettings(extent_m=2048.0).extents_m()[scale]
        for window in windows[:: max(1, len(windows) // 50)]:
            row, col = window.centre
            cols = np.array([window.col, window.col + window.width, col, col])
            rows = np.array([row, row, window.row, window.row + window.height])
            lon, lat = georeference.lonlat(cols, rows)
            across = GEOD.inv(lon[0], lat[0], lon[1], lat[1])[2]
            down = GEOD.inv(lon[2], lat[2], lon[3], lat[3])[2]
            assert across == pytest.approx(extent_m, abs=max(0.005 * extent_m, 0.51 * extent_m / window.width))
            assert down == pytest.approx(extent_m, abs=max(0.005 * extent_m, 0.51 * extent_m / window.height))


def test_mercator_windows_shrink_towards_the_equator() -> None:
    georeference = Georeference("affine", "EPSG:3395", (10.0, 0, 0, 0, -10.0, 8_000_000))
    small = grid_of(georeference, 50_000, 500, large=0, medium=0).windows["S"]
    assert small[0].height > 1.05 * small[-1].height
    assert (cover(small, 50_000, 500) > 0).all()


def test_resolutions_get_windows_of_the_paper() -> None:
    """1 m: 1024 pixels; 0.2 m: 5120 pixels (section 3.1, step 3)."""
    for gsd_m, pixels in ((1.0, 1024), (0.2, 5120)):
        window = grid_of(flat(gsd_m), 5200, 5200).windows["S"][0]
        assert (window.height, window.width) == (pixels, pixels)


def test_parents_contain_the_centres_of_their_children() -> None:
    grid = grid_of(flat(), 1700, 1500, extent_m=64)
    assert set(grid.windows) == {"L", "M", "S"}
    for scale, larger in (("S", "M"), ("M", "L")):
        for window in grid.windows[scale]:
            parent = grid.parents[window]
            assert parent is not None
            assert parent.scale == larger
            row, col = window.centre
            assert parent.row <= row <= parent.row + parent.height
            assert parent.col <= col <= parent.col + parent.width
    assert all(grid.parents[window] is None for window in grid.windows["L"])


def test_a_scale_that_does_not_fit_is_left_out() -> None:
    grid = grid_of(flat(), 300, 300, extent_m=64)
    assert set(grid.windows) == {"M", "S"}
    assert all(grid.parents[window] is None for window in grid.windows["M"])


def test_a_scene_that_falls_short_by_a_hair_still_holds_its_large_tile() -> None:
    assert "L" in grid_of(flat(), 1022, 1022, extent_m=64).windows
    assert "L" not in grid_of(flat(), 1010, 1022, extent_m=64).windows


def test_a_scene_smaller_than_a_tile_is_refused_with_advice() -> None:
    with pytest.raises(SceneError, match="extent-m") as caught:
        grid_of(flat(), 3, 200_000, extent_m=1024)
    assert caught.value.code == "too_small"
    assert grid_of(flat(), 300, 300, extent_m=1024, edge="pad").windows["S"]


def test_large_windows_are_whole_multiples_of_what_is_averaged() -> None:
    for window in grid_of(flat(0.3), 30_000, 2_000, extent_m=128, parent_px=256).windows["M"]:
        assert window.factor == 7
        assert window.height % window.factor == window.width % window.factor == 0
