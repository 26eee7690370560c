"""What touches a box is among the keys of its covering, wherever it lies and however large it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.archive.cells import cell_of, runs_touching, zone_of, zones_touching

LON, LAT, SIZE = st.floats(-180, 180), st.floats(-90, 90), st.floats(-6, 1.6).map(lambda power: 10.0**power)


@st.composite
def boxes(draw):
    west, south = draw(LON), draw(LAT)
    return west, south, min(west + draw(SIZE), 180.0), min(south + draw(SIZE), 90.0)


def holds(runs, key):
    return key in runs.above or any(first <= key < after for first, after in runs.runs)


@settings(max_examples=500, deadline=None)
@given(box=boxes(), tile=boxes(), share=st.tuples(st.floats(0, 1), st.floats(0, 1)), over=st.booleans())
def test_no_tile_that_touches_a_box_is_missed(box, tile, share, over):
    # The tile is moved so that one of its corners lies in the box.
    lon, lat = box[0] + share[0] * (box[2] - box[0]), box[1] + share[1] * (box[3] - box[1])
    width, height = tile[2] - tile[0], tile[3] - tile[1]
    moved = (max(lon - width, -180.0), max(lat - height, -90.0), lon, lat)
    if over:
        moved = (lon, lat, min(lon + width, 180.0), min(lat + height, 90.0))
    cell = cell_of(moved)
    assert zone_of(cell) in zones_touching(box)
    square = (lon, lat, min(lon + width, 180.0), min(lat + width, 90.0))
    for one in (box, square):
        runs = runs_touching(one)
        assert runs is None or holds(runs, cell)


@given(west=st.floats(-170, 170), south=st.floats(-80, 60), side=st.floats(-8, 1.4).map(lambda power: 10.0**power))
def test_a_box_that_is_not_thin_has_runs(west, south, side):
    box = (west, south, min(west + side, 179.0), south + side / 2)
    runs = runs_touching(box)
    assert 1 <= len(runs.runs) <= 33
    assert holds(runs, cell_of(box))


def test_runs_are_few_and_close():
    runs = runs_touching((10.0, 10.0, 20.0, 15.2))
    assert len(runs.runs) <= 16
    assert holds(runs, cell_of((15.0, 12.0, 15.01, 12.01)))
    assert not holds(runs, cell_of((22.1, 12.1, 22.2, 12.2)))


def test_a_long_thin_box_has_no_runs_and_a_point_has():
    assert runs_touching((0.0, -80.0, 0.001, 80.0)) is None
    assert holds(runs_touching((10.0, 10.0, 10.0, 10.0)), cell_of((9.99, 9.99, 10.01, 10.01)))


def test_a_tile_over_the_antimeridian_is_looked_at_for_every_box():
    assert cell_of((179.9, 0.0, -179.9, 0.1)) == zone_of("") == ""
    assert "" in runs_touching((-179.95, -1.0, -170.0, 1.0)).above
    assert "" in zones_touching((-90.0, -45.0, 90.0, 45.0))
