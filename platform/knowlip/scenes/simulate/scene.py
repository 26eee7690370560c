"""A simulated scene: drawn, imaged, placed on the ground, and written with its truth."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from knowlip.geography import GEOD, to_wgs84
from knowlip.scenes.simulate.airport import airport
from knowlip.scenes.simulate.canvas import Canvas, Frame, TruthObject
from knowlip.scenes.simulate.city import city
from knowlip.scenes.simulate.countryside import countryside
from knowlip.scenes.simulate.imaging import image
from knowlip.scenes.simulate.places import grid
from knowlip.scenes.simulate.port import port
from knowlip.scenes.simulate.sea import sea
from knowlip.scenes.simulate.settings import SimulationSettings
from knowlip.scenes.simulate.surfaces import LANDCOVER, Illumination

__all__ = ["ScenePaths", "SimulatedScene", "simulate", "write_scene"]

_DRAW: dict[str, tuple[Callable[[Canvas], None], str]] = {
    "airport": (airport, "grass"),
    "port": (port, "calm_water"),
    "city": (city, "yard"),
    "sea": (sea, "sea"),
    "countryside": (countryside, "grass"),
}
"""What draws each kind of scene, and the ground it is drawn on."""

_LEGEND_COLOURS = {1: (20, 60, 160), 2: (150, 200, 110), 3: (20, 100, 40), 4: (220, 200, 80), 5: (170, 140, 100), 6: (200, 60, 60), 7: (90, 90, 90)}


@dataclass(frozen=True)
class SimulatedScene:
    """A scene whose truth is known exactly.

    Attributes:
        settings: What it was asked to be.
        amplitude: Square root of calibrated backscatter (H, W), float32.
        landcover: Codes of `LANDCOVER` (H, W), uint8.
        transform: Pixel (column, row) to CRS.
        crs: Authority code.
        features: GeoJSON features (WGS84), one an object; see `write_scene`.
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


@dataclass(frozen=True)
class ScenePaths:
    """The files of a written scene."""

    image: Path
    truth: Path
    landcover: Path


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


def write_scene(scene: SimulatedScene, folder: str | Path) -> ScenePaths:
    """Write a scene: ``NAME.tif``, ``NAME.truth.geojson``, ``NAME.landcover.tif``.

    The image is written last and each file appears whole, so a scene whose image is there is complete. Truth features are
    WGS84 polygons with ``class``, ``type``, ``length_m``, ``width_m``, ``height_m``, ``heading_deg`` (clockwise from
    true north), ``pixels`` (bounds: column, row, column, row), ``centre_px``, ``visible`` (share within the image), and
    for ships ``state`` and ``length_class``, for aircraft ``state``.

    Args:
        scene: What `simulate` returned.
        folder: Where to; made when absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = ScenePaths(*(folder / f"{scene.name}{suffix}" for suffix in (".tif", ".truth.geojson", ".landcover.tif")))
    truth = {"type": "FeatureCollection", "name": scene.name, "features": scene.features}
    _publish(paths.truth, lambda path: path.write_text(json.dumps(truth, separators=(",", ":"))))
    _publish(paths.landcover, lambda path: _write_raster(path, scene, scene.landcover, {"legend": json.dumps(LANDCOVER)}))
    _publish(paths.image, lambda path: _write_raster(path, scene, scene.amplitude, scene.tags()))
    return paths


def _publish(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a hidden name beside the target, then rename."""
    hidden = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        write(hidden)
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def _write_raster(path: Path, scene: SimulatedScene, pixels: npt.NDArray[Any], tags: dict[str, str]) -> None:
    height, width = pixels.shape
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": pixels.dtype.name,
        "crs": scene.crs, "transform": scene.transform, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "zlevel": 1, "predictor": 3 if pixels.dtype.kind == "f" else 2,
        "bigtiff": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels, 1)
        target.update_tags(**tags)
        if pixels.dtype.kind == "u":
            target.write_colormap(1, _LEGEND_COLOURS)
        else:
            target.set_band_description(1, scene.settings.pol)


def _look_in_image(settings: SimulationSettings, transform: Affine, crs: str) -> tuple[float, float]:
    """Return the look direction as a unit vector of the image (right, down)."""
    angle = math.radians(settings.look_azimuth_deg - _up_azimuth_deg(settings, transform, crs))
    return math.sin(angle), -math.cos(angle)


def _up_azimuth_deg(settings: SimulationSettings, transform: Affine, crs: str) -> float:
    """Return the compass direction of the image's upward axis at its centre."""
    width, height = settings.size_px
    (x0, y0), (x1, y1) = transform * (width / 2, height / 2), transform * (width / 2, height / 2 - 50)
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
        **thing.extra,
    }
    return {"type": "Feature", "id": number, "properties": properties, "geometry": _on_earth(pixels, transform, crs)}


def _on_earth(pixels: BaseGeometry, transform: Affine, crs: str) -> dict[str, Any]:
    def place(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = transform * (xy[:, 0], xy[:, 1])
        return np.round(np.column_stack(to_wgs84(crs, x, y)), 8)

    return dict(shapely.geometry.mapping(shapely.transform(pixels, place)))
