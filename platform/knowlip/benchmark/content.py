"""What a tile holds, as far as questions are asked about it: targets on the nine-grid and landforms by share.

It comes from exact truth (a GeoJSON of objects and a land-cover raster beside the scene) where there is one, and from
measurements where there is none.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from knowlip.captioning.facts import TileFacts
from knowlip.captioning.measure import Measurements
from knowlip.captioning.positions import region_number
from knowlip.captioning.reading import read
from knowlip.errors import DataError
from knowlip.workspace import Workspace

__all__ = ["Content", "SceneTruth", "from_annotations", "from_measurements", "from_truth", "read_truth"]

LEAST_SHARE = 0.05
"""A landform that covers less of a tile is not counted among its landforms."""

CLEAR_SHARE = 0.6
"""A region of which no landform covers more has no clear one."""


@dataclass(frozen=True)
class Content:
    """What a tile holds.

    Attributes:
        targets: Category and nine-grid region of each target.
        landforms: Share of each landform, the largest first.
        region_landforms: Main landform of nine-grid regions that have a clear one.
        source: ``truth``, ``annotated`` or ``measured``.
        categories: What could be there; empty where nobody says.
    """

    targets: tuple[tuple[str, int], ...]
    landforms: tuple[tuple[str, float], ...]
    region_landforms: Mapping[int, str]
    source: str
    categories: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of targets of each category, the most frequent first."""
        return dict(sorted(Counter(kind for kind, _ in self.targets).items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class SceneTruth:
    """Exact truth of one scene.

    Attributes:
        kinds: Class of each object.
        lon_lat: Centre of each object, WGS84 degrees (N, 2).
        outlines: Outline of each object, WGS84.
        landcover: Land-cover codes of the scene's pixels (H, W), or none.
        legend: Name of each code.
    """

    kinds: tuple[str, ...]
    lon_lat: npt.NDArray[np.float64]
    outlines: tuple[shapely.Geometry, ...] = ()
    landcover: npt.NDArray[np.uint8] | None = None
    legend: Mapping[int, str] = field(default_factory=dict)


def read_truth(workspace: Workspace, folder: str, scene_name: str) -> SceneTruth | None:
    """Read ``NAME.truth.geojson`` and ``NAME.landcover.tif`` of a folder of the workspace; nothing where none are.

    Raises:
        DataError: The truth is not a GeoJSON of objects with a ``class``.
    """
    stem = PurePosixPath(scene_name).stem
    name = f"{stem}.truth.geojson"
    if not workspace.exists(folder, name):
        return None
    try:
        features = json.loads(workspace.read_bytes(folder, name))["features"]
        kinds = tuple(str(feature["properties"]["class"]) for feature in features)
        outlines = tuple(shapely.geometry.shape(feature["geometry"]) for feature in features)
        centres = [outline.centroid for outline in outlines]
        lon_lat = np.array([(one.x, one.y) for one in centres], dtype=np.float64).reshape(-1, 2)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, shapely.errors.ShapelyError) as error:
        raise DataError(
            f"is not a GeoJSON of objects with a class ({error!r})",
            where=workspace.uri(folder, name),
            fix="mend or remove it",
        ) from error
    cover = f"{stem}.landcover.tif"
    if not workspace.exists(folder, cover):
        return SceneTruth(kinds, lon_lat, outlines)
    return SceneTruth(
        kinds, lon_lat, outlines, *_read_landcover(workspace.read_bytes(folder, cover), workspace.uri(folder, cover))
    )


def _read_landcover(data: bytes, where: str) -> tuple[npt.NDArray[np.uint8], dict[int, str]]:
    try:
        with MemoryFile(data) as memory, memory.open() as raster:
            legend = {int(code): name.replace("_", " ") for code, name in json.loads(raster.tags()["legend"]).items()}
            return raster.read(1), legend
    except (RasterioError, KeyError, ValueError, AttributeError) as error:
        raise DataError(
            f"is not a land-cover raster with a legend ({error!r})", where=where, fix="mend or remove it"
        ) from error


def from_truth(row: Mapping[str, Any], truth: SceneTruth) -> Content:
    """Say what a tile holds by its scene's truth.

    Args:
        row: A row of `tiles/` with ``image``, ``affine``, ``crs`` and its window.
        truth: Truth of its scene.
    """
    height, width = _image_shape(row["image"])
    targets = tuple(
        (truth.kinds[place].replace("_", " "), region_number(down, right, height, width))
        for place, down, right in _in_image(row, truth.lon_lat, height, width)
    )
    landforms, regions = _landcover(row, truth)
    return Content(targets, landforms, regions, "truth")


def from_annotations(
    boxes: Sequence[Mapping[str, Any]],
    codes: npt.NDArray[np.uint8] | None,
    classes: Sequence[str],
    shape: tuple[int, int],
) -> Content:
    """Say what an image holds by its annotation: boxes, or the class of each pixel.

    Args:
        boxes: Targets with ``category`` and their edges in pixels.
        codes: Code of each pixel, class *n* counted from 1, 0 unknown; or none.
        classes: The data set's classes.
        shape: Height and width.
    """
    height, width = shape
    targets = tuple(
        (
            str(box["category"]),
            region_number((box["ymin"] + box["ymax"]) / 2, (box["xmin"] + box["xmax"]) / 2, height, width),
        )
        for box in boxes
    )
    if codes is None:
        return Content(targets, (), {}, "annotated", tuple(classes))
    return Content(targets, *_landforms(codes, dict(enumerate(classes, start=1))), "annotated")


def from_measurements(facts: TileFacts, measured: Measurements) -> Content:
    """Say what a tile holds by what was measured on it."""
    reading = read(facts, measured)
    shares = {
        reading.basin or "dark ground": measured.dark_share,
        "built up": measured.bright_share,
        "vegetation": measured.rough_share,
        "open ground": measured.plain_share,
    }
    landforms = tuple(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    regions = zip(reading.targets, (one.region for one in measured.scatterers), strict=True)
    return Content(tuple(regions), landforms, {}, "measured")


def _image_shape(data: bytes) -> tuple[int, int]:
    """Read height and width from a picture's header."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.height, picture.width


def _in_image(
    row: Mapping[str, Any], lon_lat: npt.NDArray[np.float64], height: int, width: int
) -> list[tuple[int, float, float]]:
    """Return number, row and column (pixels of the stored image) of the objects whose centre a tile contains."""
    if len(lon_lat) == 0 or not row["crs"]:
        return []
    a, b, c, d, e, f = row["affine"]
    x, y = Transformer.from_crs("EPSG:4326", row["crs"], always_xy=True).transform(lon_lat[:, 0], lon_lat[:, 1])
    right, down = np.linalg.inv(np.array([[a, b], [d, e]])) @ np.vstack([x - c, y - f])
    inside = (right >= 0) & (right < width) & (down >= 0) & (down < height)
    return [(int(place), float(down[place]), float(right[place])) for place in np.flatnonzero(inside)]


def _landcover(row: Mapping[str, Any], truth: SceneTruth) -> tuple[tuple[tuple[str, float], ...], dict[int, str]]:
    """Return the shares of a tile's window, and the main landform of its nine regions where one covers most."""
    if truth.landcover is None:
        return (), {}
    top, left = max(row["row_off"], 0), max(row["col_off"], 0)
    codes = truth.landcover[top : row["row_off"] + row["height"], left : row["col_off"] + row["width"]]
    return _landforms(codes, truth.legend)


def _landforms(
    codes: npt.NDArray[np.uint8], legend: Mapping[int, str]
) -> tuple[tuple[tuple[str, float], ...], dict[int, str]]:
    regions = {}
    for number, part in enumerate(part for band in np.array_split(codes, 3, 0) for part in np.array_split(band, 3, 1)):
        shares = _shares(part, legend)
        if shares and shares[0][1] > CLEAR_SHARE:
            regions[number + 1] = shares[0][0]
    return _shares(codes, legend), regions


def _shares(codes: npt.NDArray[np.uint8], legend: Mapping[int, str]) -> tuple[tuple[str, float], ...]:
    counts = np.bincount(codes[codes > 0].ravel(), minlength=256)
    total = max(int(counts.sum()), 1)
    named = [(legend[code], float(counts[code]) / total) for code in np.flatnonzero(counts).tolist() if code in legend]
    return tuple(sorted(named, key=lambda item: (-item[1], item[0])))
