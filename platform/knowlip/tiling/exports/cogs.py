"""A tile as a Cloud Optimized GeoTIFF: 8 bit, 0 no data, and in its tags how values map back to decibels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from knowlip.tiling.encoding import decode_png

__all__ = ["cog_bytes"]

_BLOCK_PX = 512


def cog_bytes(row: Mapping[str, Any]) -> bytes:
    """Return a row of `knowlip.records.TILES` as a GeoTIFF file.

    A tile without georeference becomes one without; its pixel size is in the tags.
    """
    pixels = decode_png(row["image"])
    height, width = pixels.shape
    place: dict[str, Any] = {"crs": row["crs"], "transform": Affine(*row["affine"])} if row["crs"] else {}
    tags = {name: row[name] for name in ("tile_id", "scene_name", "scale", "sensor", "polarisation", "gsd_m")}
    with rasterio.Env(GDAL_NUM_THREADS=1), MemoryFile() as memory:
        with memory.open(
            driver="COG",
            height=height,
            width=width,
            count=1,
            dtype="uint8",
            nodata=0,
            compress="deflate",
            predictor="yes",
            blocksize=_BLOCK_PX,
            overview_resampling="average",
            **place,
        ) as sink:
            sink.write(pixels, 1)
            sink.update_tags(
                **{name: str(value) for name, value in tags.items() if value is not None},
                transfer=json.dumps(row["transfer"]),
            )
            if row["polarisation"]:
                sink.set_band_description(1, row["polarisation"])
        return bytes(memory.read())
