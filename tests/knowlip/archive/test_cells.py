"""What touches a box is among the keys of its covering, wherever it lies and however large it is."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from knowlip.archive.cells import cell_of, covering

LON, LAT, SIZE = st.floats(-180, 180), st.floats(-90, 90), st.floats(-6, 1.6).map(lambda power: 10.0**power)


@st.composite
def boxes(draw):
    west, south = draw(LON), draw(LAT)
    return west, south, min(west + draw(SIZE), 180.0), min(south + draw(SIZE), 90.0)


def holds(cover, key):
    return key in cover.above or any(first <= key < after for first, after in cover.runs)


@settings(max_examples=500, deadline=None)
@given(box=boxes(), tile=boxes(), share=st.tuples(st.floats(0, 1), st.floats(0, 1)), over=st.booleans())
def test_no_tile_that_touches_a_box_is_missed(box, tile, share, over):
    cover = covering(box)
    assume(cover is not None)
    # The tile is moved so that one of its corners lies in the box.
    lon, lat = box[0] + share[0] * (box[2] - box[0]), box[1] + share[1] * (box[3] - box[1])
    width, height = tile[2] - tile[0], tile[3] - tile[1]
    moved = (max(lon - width, -180.0), max(lat - height, -90.0), lon, lat)
    if over:
        moved = (lon, lat, min(lon + width, 180.0), min(lat + height, 90.0))
    assert holds(cover, cell_of(moved))


def test_a_covering_is_short_and_close():
    cover = covering((10.0, 10.0, 20.0, 15.2))
    assert len(cover.runs) <= 16
    assert holds(cover, cell_of((15.0, 12.0, 15.01, 12.01)))
    assert not holds(cover, cell_of((22.1, 12.1, 22.2, 12.2)))


def test_a_thin_box_and_a_continent_have_no_covering():
    assert covering((0.0, -80.0, 0.001, 80.0)) is None
    assert covering((-10.0, 0.0, 50.0, 40.0)) is None


def test_a_tile_over_the_antimeridian_is_looked_at_for_every_box():
    assert cell_of((179.9, 0.0, -179.9, 0.1)) == ""
    assert "" in covering((-179.95, -1.0, -170.0, 1.0)).above
