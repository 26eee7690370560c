"""Rasters made on the spot: any size, type, CRS, affine and content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes pixels (rows, columns) or (bands, rows, columns) as a GeoTIFF."""

    def write(
        pixels: np.ndarray,
        *,
        name: str = "scene.tif",
        crs: str | None = "EPSG:32611",
        affine: Affine | None = None,
        tags: dict[str, str] | None = None,
        **profile: Any,
    ) -> Path:
        bands = pixels if pixels.ndim == 3 else pixels[None]
        count, height, width = bands.shape
        place = {} if crs is None else {"crs": crs, "transform": affine or Affine(1, 0, 390000, 0, -1, 3740000)}
        if affine is not None:
            place["transform"] = affine
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=count, dtype=bands.dtype, **place, **profile
        ) as sink:
            sink.write(bands)
            sink.update_tags(**(tags or {}))
        return path

    return write


@pytest.fixture
def speckle() -> Callable[..., np.ndarray]:
    """Function that makes amplitude speckle of so many looks."""

    def make(height: int, width: int, *, looks: float = 4.0, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.sqrt(rng.gamma(looks, 1.0 / looks, (height, width))).astype(np.float32)

    return make
