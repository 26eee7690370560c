"""A tile's annotation from its scene's truth: boxes of its targets, and the class of each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image
from pyproj import Transformer

from knowlip.benchmark.content import SceneTruth
from knowlip.benchmark.sft import TARGET_CLASSES

__all__ = ["LEAST_WITHIN", "mask_of", "targets_of"]

LEAST_WITHIN = 0.5
"""A target of which less lies within the tile is not annotated."""

_LEAST_PX = 2.0
"""A box that is smaller on the picture is not annotated: nobody can see it."""


def targets_of(row: Mapping[str, Any], truth: SceneTruth, shape: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the boxes of a tile's targets, in pixels of a picture of it.

    Buildings and roads are land cover, not targets (`knowlip.benchmark.sft.TARGET_CLASSES`).

    Args:
        row: A row of `tiles/` with ``affine``, ``crs``, and ``shape`` of the image that they refer to.
        truth: Truth of its scene.
        shape: Height and width of the picture.
    """
    if not row["crs"] or not truth.outlines:
        return []
    a, b, c, d, e, f = row["affine"]
    inverse, origin = np.linalg.inv(np.array([[a, b], [d, e]])), np.array([[c], [f]])
    rows, cols = row["shape"]
    scale = np.array([shape[1] / cols, shape[0] / rows])
    to_crs = Transformer.from_crs("EPSG:4326", row["crs"], always_xy=True)

    def placed(lon_lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x, y = to_crs.transform(lon_lat[:, 0], lon_lat[:, 1])
        on_image: npt.NDArray[np.float64] = (inverse @ (np.vstack([x, y]) - origin)).T * scale
        return on_image

    frame, found = shapely.box(0, 0, shape[1], shape[0]), []
    for kind, outline in zip(truth.kinds, truth.outlines, strict=True):
        name = kind.replace("_", " ")
        if name not in TARGET_CLASSES:
            continue
        whole = shapely.transform(outline, placed)
        within = shapely.intersection(shapely.box(*whole.bounds), frame)
        if within.area < LEAST_WITHIN * shapely.box(*whole.bounds).area:
            continue
        left, top, right, bottom = within.bounds
        if min(right - left, bottom - top) >= _LEAST_PX:
            found.append({"category": name, "xmin": left, "ymin": top, "xmax": right, "ymax": bottom})
    return found


def mask_of(row: Mapping[str, Any], truth: SceneTruth, shape: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """Return the land-cover code of each pixel of a picture of a tile, 0 outside the scene; none without land cover.

    Args:
        row: A row of `tiles/` with its window.
        truth: Truth of its scene.
        shape: Height and width of the picture.
    """
    if truth.landcover is None:
        return None
    top, left, height, width = (row[name] for name in ("row_off", "col_off", "height", "width"))
    codes = np.zeros((height, width), np.uint8)
    low, right = max(top, 0), max(left, 0)
    part = truth.landcover[low : top + height, right : left + width]
    codes[low - top : low - top + part.shape[0], right - left : right - left + part.shape[1]] = part
    resized = Image.fromarray(codes).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    return np.asarray(resized)
