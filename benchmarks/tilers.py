"""The tilers that ``tiling.py`` holds against one another: each takes a scene, a folder and a tile's side in pixels.

Every one cuts the same tiles on one core and returns how many: the job's whole pipeline; a loop of read, clip and the
same encoder (the floor); that loop with scikit-image's texture; GDAL's own script; rio-tiler.
"""

from __future__ import annotations

import functools
import math
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.windows import Window
from skimage.feature import graycomatrix, graycoprops

from knowlip.tiling.encoding import encode_png
from knowlip.tiling.grid import GridSettings
from knowlip.tiling.regions import RegionSettings
from knowlip.tiling.screening import ScreeningSettings
from knowlip.tiling.survey import SceneSettings, survey_scene
from knowlip.tiling.units import UnitCutter, units_of
from knowlip.workspace import Workspace

try:
    from rio_tiler.io import Reader
except ImportError:
    Reader = None

ANGLES = (0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4)


@dataclass(frozen=True)
class Case:
    """What is cut, and into what.

    Attributes:
        scene: The raster.
        side_px: Side of a tile, pixels.
        extent_m: The same on the ground, metres.
    """

    scene: Path
    side_px: int
    extent_m: float


def windows(source: rasterio.DatasetReader, side: int) -> list[Window]:
    """Return the whole tiles of a scene."""
    rows, cols = range(0, source.height - side + 1, side), range(0, source.width - side + 1, side)
    return [Window(col, row, side, side) for row in rows for col in cols]


def texture(pixels: NDArray[np.uint8]) -> list[float]:
    """Return scikit-image's texture of a tile averaged to 256 pixels: 32 levels, four directions."""
    view = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BOX))
    matrix = graycomatrix(view // 8, [8], ANGLES, levels=32, symmetric=True, normed=True)
    return [float(graycoprops(matrix, name).mean()) for name in ("contrast", "homogeneity", "energy", "correlation")]


def loop(case: Case, folder: Path, *, textured: bool) -> int:
    """Read, clip, encode and write tile by tile: what any tiler has to do."""
    with rasterio.open(case.scene) as source:
        found = windows(source, case.side_px)
        for number, window in enumerate(found):
            raw = source.read(1, window=window)
            pixels = raw if raw.dtype == np.uint8 else np.clip(raw, 1, 255).astype(np.uint8)
            if textured:
                texture(pixels)
            (folder / f"{number}.png").write_bytes(encode_png(pixels))
    return len(found)


def rio_tiler(case: Case, folder: Path) -> int:
    """Cut the same tiles by rio-tiler's reader and renderer."""
    with Reader(str(case.scene)) as reader:
        found = windows(reader.dataset, case.side_px)
        to_byte = reader.dataset.dtypes[0] != "uint8"
        for number, window in enumerate(found):
            bounds = reader.dataset.window_bounds(window)
            image = reader.part(bounds, bounds_crs=reader.dataset.crs, height=case.side_px, width=case.side_px)
            if to_byte:
                image.rescale(in_range=((0, 255),))
            (folder / f"{number}.png").write_bytes(image.render(img_format="PNG", add_mask=False))
    return len(found)


def gdal_retile(case: Case, folder: Path) -> int:
    """Cut the same tiles by GDAL's own script; partial ones at the edges are in its time and in its count."""
    side = str(case.side_px)
    size = ["-ps", side, side, "-of", "PNG", "-ot", "Byte", "-q", "-targetDir", str(folder), str(case.scene)]
    subprocess.run(["gdal_retile.py", *size], check=True, capture_output=True)
    return len(list(folder.glob("*.png")))


def pipeline(case: Case, folder: Path, *, pyramid: bool = False) -> int:
    """Do what the job does of a scene, in this process: survey, cut, screen, describe and store."""
    parents = {} if pyramid else {"medium": 0.0, "large": 0.0}
    grid = GridSettings(extent_m=case.extent_m, **parents)
    survey = survey_scene(str(case.scene), SceneSettings(), grid)
    cutter = UnitCutter(
        workspace=Workspace(str(folder)),
        file_of="{}.parquet".format,
        grid=grid,
        screening=ScreeningSettings(),
        regions=RegionSettings(),
    )
    units = sorted(units_of(survey), key=lambda unit: unit.strip.stage)
    made = [cutter(unit) for unit in units]
    rows = [row for tables in made for row in (*tables.kept, *tables.rejected)]
    return sum(row["scale"] == "S" for row in rows)


CONTENDERS: dict[str, Callable[[Case, Path], int]] = {
    "pipeline": pipeline,
    "pipeline with pyramid": functools.partial(pipeline, pyramid=True),
    "floor": functools.partial(loop, textured=False),
    "floor with texture": functools.partial(loop, textured=True),
    "gdal_retile PNG": gdal_retile,
    "rio-tiler": rio_tiler,
}
