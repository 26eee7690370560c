"""Distances, footprints and names of places on the ellipsoid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.errors import DataError
from knowlip.geography import (
    airports_within,
    crs_name,
    footprint,
    ground_distance_m,
    nearest_place,
    places_near,
    ports_within,
    to_crs,
    to_wgs84,
)


def test_a_degree_of_latitude_at_the_equator_is_shorter_than_at_the_pole() -> None:
    at_equator, at_pole = ground_distance_m(0.0, np.array([0.0, 89.0]), 0.0, np.array([1.0, 90.0]))
    assert at_equator == pytest.approx(110_574.3, abs=1)
    assert at_pole == pytest.approx(111_693.9, abs=1)


def test_crs_is_named_by_its_authority_where_it_has_one() -> None:
    assert crs_name("EPSG:3395") == "EPSG:3395"
    custom = "+proj=tmerc +lat_0=10 +lon_0=11.5 +k=1 +x_0=0 +y_0=0 +ellps=WGS84"
    assert crs_name(custom).startswith("PROJCRS")


def test_nonsense_is_no_crs() -> None:
    with pytest.raises(DataError, match="no-crs"):
        crs_name("no-crs")


@given(lon=st.floats(-5.5, 5.5), lat=st.floats(-79, 79), crs=st.sampled_from(["EPSG:32631", "EPSG:3395", "EPSG:3857"]))
@settings(max_examples=60, deadline=None)
def test_wgs84_and_back_is_the_identity(lon: float, lat: float, crs: str) -> None:
    x, y = to_crs(crs, np.array([lon]), np.array([lat]))
    back = to_wgs84(crs, x, y)
    assert ground_distance_m(lon, lat, *back)[0] < 1e-3


def test_a_footprint_across_the_antimeridian_has_a_part_on_either_side() -> None:
    area = footprint(np.array([179.9, -179.9, -179.9, 179.9]), np.array([10.0, 10.0, 10.2, 10.2]))
    assert area.geom_type == "MultiPolygon"
    assert shapely.area(area) == pytest.approx(0.2 * 0.2)
    assert area.contains(shapely.Point(179.95, 10.1))
    assert area.contains(shapely.Point(-179.95, 10.1))
    assert not area.contains(shapely.Point(0.0, 10.1))


def test_footprints_wind_counterclockwise() -> None:
    for lon in ([1.0, 2.0, 2.0, 1.0], [1.0, 1.0, 2.0, 2.0]):
        area = footprint(
            np.array(lon), np.array([5.0, 5.0, 6.0, 6.0]) if lon[1] == 2 else np.array([5.0, 6.0, 6.0, 5.0])
        )
        assert shapely.is_ccw(area.exterior)


def test_places_are_named_offline() -> None:
    place = nearest_place(-118.19, 33.77)
    assert (place.city, place.admin, place.country) == ("Long Beach", "California", "US")


def test_a_place_lies_on_its_own_side_of_the_border() -> None:
    # The nearest towns are Tijuana and Calexico, each beyond the border that the point lies at.
    assert nearest_place(-116.95, 32.568).country == "US"
    assert nearest_place(-115.5, 32.64).country == "MX"
    # Nobody lives near by, and no border is in the way.
    assert nearest_place(-140.0, 0.0).country == "PF"


def test_the_nearest_place_is_found_across_the_antimeridian() -> None:
    # Measured in degrees, nothing on the other side of the line would ever be near.
    assert nearest_place(-179.99, -16.8).country == "FJ"


def test_airports_and_ports_within_an_area() -> None:
    long_beach = shapely.box(-118.25, 33.70, -118.10, 33.85)
    assert [site["code"] for site in airports_within(long_beach)] == ["LGB"]
    assert [site["code"] for site in ports_within(long_beach)] == ["USLGB"]
    assert airports_within(shapely.box(-140.0, 20.0, -139.9, 20.1)) == []


def test_places_near_a_point_lie_within_the_radius() -> None:
    near = places_near(-118.151891, 33.81793, 10_000)
    assert "LGB" in [site["code"] for site in near["airports"]]
    for sites in near.values():
        for site in sites:
            assert ground_distance_m(-118.151891, 33.81793, site["lon"], site["lat"]) <= 10_000
