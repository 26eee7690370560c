"""A simulated scene as files: the image, its truth, its land cover."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from rasterio.io import MemoryFile

from knowlip.scenes.simulate.scene import SimulatedScene
from knowlip.scenes.simulate.surfaces import LANDCOVER

__all__ = ["SUFFIXES", "ScenePaths", "encode_scene", "write_scene"]

SUFFIXES = (".truth.geojson", ".landcover.tif", ".tif")
"""What a scene's files are called after its name, in the order in which they are written."""

_LEGEND_COLOURS = {
    1: (20, 60, 160),
    2: (150, 200, 110),
    3: (20, 100, 40),
    4: (220, 200, 80),
    5: (170, 140, 100),
    6: (200, 60, 60),
    7: (90, 90, 90),
}


@dataclass(frozen=True)
class ScenePaths:
    """The files of a written scene."""

    truth: Path
    landcover: Path
    image: Path


def encode_scene(scene: SimulatedScene) -> dict[str, bytes]:
    """Return the files of a scene by name, the image last, so that a scene whose image is there is complete.

    ``NAME.truth.geojson`` is a GeoJSON FeatureCollection (WGS84), ``NAME.landcover.tif`` uint8 with the codes of
    `LANDCOVER`, ``NAME.tif`` the float32 amplitude with the acquisition in its tags. The same scene gives the same
    bytes.
    """
    truth = {"type": "FeatureCollection", "name": scene.name, "features": scene.features}
    legend = {"legend": json.dumps(LANDCOVER), "simulated": scene.settings.model_dump_json()}
    contents = (
        json.dumps(truth, separators=(",", ":")).encode(),
        _encode_raster(scene, scene.landcover, legend),
        _encode_raster(scene, scene.amplitude, scene.tags()),
    )
    return {f"{scene.name}{suffix}": data for suffix, data in zip(SUFFIXES, contents, strict=True)}


def write_scene(scene: SimulatedScene, folder: str | Path) -> ScenePaths:
    """Write the files of a scene into a folder, each of them whole or not at all.

    Args:
        scene: What `simulate` returned.
        folder: Where to; made when absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in encode_scene(scene).items():
        hidden = folder / f".{name}.{uuid.uuid4().hex[:8]}"
        try:
            hidden.write_bytes(data)
            hidden.replace(folder / name)
        finally:
            hidden.unlink(missing_ok=True)
    return ScenePaths(*(folder / f"{scene.name}{suffix}" for suffix in SUFFIXES))


def _encode_raster(scene: SimulatedScene, pixels: npt.NDArray[Any], tags: dict[str, str]) -> bytes:
    height, width = pixels.shape
    real = pixels.dtype.kind == "f"
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "bigtiff": "IF_SAFER"}
    packing = {"compress": "deflate", "zlevel": 1, "predictor": 3 if real else 2}
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=width,
            height=height,
            count=1,
            dtype=pixels.dtype.name,
            crs=scene.crs,
            transform=scene.transform,
            **layout,
            **packing,
        ) as target:
            target.write(pixels, 1)
            target.update_tags(**tags)
            if real:
                target.set_band_description(1, scene.settings.pol)
            else:
                target.write_colormap(1, _LEGEND_COLOURS)
        return bytes(memory.read())
