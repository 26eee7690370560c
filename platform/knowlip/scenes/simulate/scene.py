"""A simulated scene: drawn, imaged and placed on the ground, with its truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from knowlip.geography import GEOD, to_wgs84
from knowlip.scenes.simulate.airport import airport
from knowlip.scenes.simulate.canvas import Canvas, Floats, Frame, TruthObject
from knowlip.scenes.simulate.city import city
from knowlip.scenes.simulate.countryside import countryside
from knowlip.scenes.simulate.imaging import image
from knowlip.scenes.simulate.places import grid
from knowlip.scenes.simulate.port import port
from knowlip.scenes.simulate.sea import sea
from knowlip.scenes.simulate.settings import SimulationSettings
from knowlip.scenes.simulate.surfaces import Illumination

__all__ = ["SimulatedScene", "simulate"]

_DRAW: dict[str, tuple[Callable[[Canvas], None], str]] = {
    "airport": (airport, "grass"),
    "port": (port, "calm_water"),
    "city": (city, "yard"),
    "sea": (sea, "sea"),
    "countryside": (countryside, "grass"),
}
"""What draws each kind of scene, and the ground it is drawn on."""


@dataclass(frozen=True)
class SimulatedScene:
    """A scene whose truth is known exactly.

    Attributes:
        settings: What it was asked to be.
        amplitude: Square root of calibrated backscatter (H, W), float32.
        landcover: Codes of `LANDCOVER` (H, W), uint8.
        transform: Pixel (column, row) to CRS.
        crs: Authority code.
        features: GeoJSON features (WGS84), one an object, with the properties ``class``, ``type``, ``length_m``,
            ``width_m``, ``height_m``, ``heading_deg`` (clockwise from true north), ``centre_px`` (column, row),
            ``pixels`` (bounds: column, row, column, row) and ``visible`` (share within the image); ships have
            ``state`` and ``length_class``, aircraft ``state``.
    """

    settings: SimulationSettings
    amplitude: npt.NDArray[np.float32]
    landcover: npt.NDArray[np.uint8]
    transform: Affine
    crs: str
    features: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.settings.name

    def tags(self) -> dict[str, str]:
        """Return what a product's metadata would say."""
        settings = self.settings
        return {
            "TIFFTAG_DATETIME": settings.time.strftime("%Y:%m:%d %H:%M:%S"),
            "TIFFTAG_IMAGEDESCRIPTION": "simulated SAR amplitude",
            "time": settings.time.isoformat(),
            "sensor": settings.instrument.name,
            "band": settings.instrument.band,
            "polarisation": settings.pol,
            "looks": f"{settings.looks:g}",
            "incidence_deg": f"{settings.incidence_deg:g}",
            "look_azimuth_deg": f"{settings.look_azimuth_deg:g}",
            "orbit": settings.orbit,
            "gsd_m": f"{settings.ground_gsd_m:g}",
            "quantity": "amplitude",
            "simulated": settings.model_dump_json(),
        }


def simulate(settings: SimulationSettings) -> SimulatedScene:
    """Draw and image a scene. The same settings give the same values.

    Args:
        settings: What to draw.
    """
    lon, lat = settings.centre
    crs, transform = grid(lon, lat, settings.size_px, settings.ground_gsd_m, settings.crs, settings.rotation_deg)
    frame = Frame(
        *settings.size_px, settings.ground_gsd_m, _look_in_image(settings, transform, crs), settings.incidence_deg
    )
    draw, base = _DRAW[settings.kind]
    canvas = Canvas(frame, settings.seed, base)
    draw(canvas)
    illumination = Illumination(settings.instrument.wavelength_m, settings.incidence_deg, settings.pol)
    amplitude, landcover = image(canvas, illumination, settings.looks)
    up = _up_azimuth_deg(settings, transform, crs)
    features = [_feature(number, thing, frame, transform, crs, up) for number, thing in enumerate(canvas.truth)]
    return SimulatedScene(settings, amplitude, landcover, transform, crs, features)


def _look_in_image(settings: SimulationSettings, transform: Affine, crs: str) -> tuple[float, float]:
    """Return the look direction as a unit vector of the image (right, down)."""
    angle = math.radians(settings.look_azimuth_deg - _up_azimuth_deg(settings, transform, crs))
    return math.sin(angle), -math.cos(angle)


def _up_azimuth_deg(settings: SimulationSettings, transform: Affine, crs: str) -> float:
    """Return the compass direction of the image's upward axis at its centre."""
    width, height = settings.size_px
    (x0, y0), (x1, y1) = transform @ (width / 2, height / 2), transform @ (width / 2, height / 2 - 50)
    lon, lat = to_wgs84(crs, np.array([x0, x1]), np.array([y0, y1]))
    azimuth, _, _ = GEOD.inv(lon[0], lat[0], lon[1], lat[1])
    return float(azimuth)


def _feature(
    number: int, thing: TruthObject, frame: Frame, transform: Affine, crs: str, up_deg: float
) -> dict[str, Any]:
    pixels = shapely.transform(thing.footprint, lambda xy: xy / frame.gsd_m)
    centre = pixels.centroid
    properties: dict[str, Any] = {
        "class": thing.kind,
        "type": thing.type,
        "length_m": round(thing.length_m, 2),
        "width_m": round(thing.width_m, 2),
        "height_m": None if thing.height_m is None else round(thing.height_m, 2),
        "heading_deg": None if thing.heading_deg is None else round((thing.heading_deg + up_deg) % 360, 2),
        "centre_px": [round(centre.x, 2), round(centre.y, 2)],
        "pixels": [round(edge, 2) for edge in pixels.bounds],
        "visible": 1.0,
        **thing.extra,
    }
    return {"type": "Feature", "id": number, "properties": properties, "geometry": _on_earth(pixels, transform, crs)}


def _on_earth(pixels: BaseGeometry, transform: Affine, crs: str) -> dict[str, Any]:
    def place(xy: Floats) -> Floats:
        x = transform.a * xy[:, 0] + transform.b * xy[:, 1] + transform.c
        y = transform.d * xy[:, 0] + transform.e * xy[:, 1] + transform.f
        return np.asarray(np.round(np.column_stack(to_wgs84(crs, x, y)), 8))

    return dict(shapely.geometry.mapping(shapely.transform(pixels, place)))
