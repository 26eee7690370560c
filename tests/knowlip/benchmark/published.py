"""Tiny data sets in the published layouts, written by the tests that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image


def chip(path: Path, seed: int = 0, size: tuple[int, int] = (40, 48)) -> np.ndarray:
    """Write a picture of a few bright blocks, of its own for each seed."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(20, 60, size, dtype=np.uint8)
    for _ in range(6):
        row, col = rng.integers(0, size[0] - 3), rng.integers(0, size[1] - 3)
        pixels[row : row + 8, col : col + 8] = rng.integers(120, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def class_folders(root: Path, classes: tuple[str, ...] = ("A220", "A330"), each: int = 10) -> Path:
    """Lay out SAR-ACD: a folder a class."""
    for number, name in enumerate(classes):
        for place in range(each):
            chip(root / name / f"{place:03d}.png", seed=100 * number + place)
    return root


def coco_file(path: Path, images: list[dict[str, Any]], boxes: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """Write COCO annotations."""
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))


def voc_file(path: Path, boxes: list[tuple[str, int, int, int, int]], width: int = 48, height: int = 40) -> None:
    """Write a VOC annotation."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for name, a, b, c, d in boxes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><filename>{path.stem}.jpg</filename>"
        f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>{objects}</annotation>"
    )


def raster(path: Path, values: np.ndarray) -> None:
    """Write a TIFF of one or several bands (bands, rows, columns)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    layout = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", **layout, crs="EPSG:32631", transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as target:
        target.write(values)
