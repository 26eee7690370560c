"""Tables and pictures that tests make for themselves."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
import shapely
from affine import Affine
from PIL import Image

from knowlip.records import TILES
from knowlip.workspace import Workspace


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def png(image: np.ndarray) -> bytes:
    """An 8-bit picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def speckled(mean: np.ndarray, seed: int = 0, looks: float = 4.0) -> np.ndarray:
    """8-bit amplitude with gamma speckle over a field of mean amplitudes."""
    rng = np.random.default_rng(seed)
    intensity = mean.astype(np.float64) ** 2 * rng.gamma(looks, 1 / looks, mean.shape)
    return np.clip(np.sqrt(intensity), 1, 255).astype(np.uint8)


def long_scene(folder: Path, *, fields: int) -> list[str]:
    """Write a scene so many fields of 32 pixels long, once; return the arguments that cut it in small strips."""
    path = folder / "in" / "long.tif"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(1)
        field = np.kron(rng.uniform(0.3, 3.0, (fields, 32)), np.ones((32, 32)))
        pixels = (field * np.sqrt(rng.gamma(4, 0.25, field.shape))).astype(np.float32)
        height, width = pixels.shape
        shape = {"height": height, "width": width, "count": 1, "dtype": "float32"}
        place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390000, 0, -1, 3740000)}
        with rasterio.open(path, "w", driver="GTiff", **shape, **place) as sink:
            sink.write(pixels, 1)
    return ["--scenes", str(path), "--tiling.extent-m", "64", "--tiling.strip-mpx", "0.06"]


def tile_row(tile_id: str, image: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A row of `tiles/` at 1 m, north-up, near Long Beach; ``changes`` replaces columns."""
    height, width = image.shape
    west, south = changes.pop("corner", (-118.15, 33.81))
    east, north = west + width * 1e-5, south + height * 1e-5
    row: dict[str, Any] = {
        "tile_id": tile_id,
        "scene_id": "scene",
        "scene_name": "scene.tif",
        "scale": "S",
        "height": height,
        "width": width,
        "extent_m": float(width),
        "gsd_m": 1.0,
        "crs": "EPSG:4326",
        "affine": [1e-5, 0.0, west, 0.0, -1e-5, north],
        "georeference": "affine",
        "geometry": shapely.box(west, south, east, north).wkb,
        "lon": (west + east) / 2,
        "lat": (south + north) / 2,
        "sensor": "Gaofen-3",
        "band": "C",
        "polarisation": "HH",
        "city": "Long Beach",
        "admin": "California",
        "country": "US",
        "airports": [],
        "ports": [],
        "image": png(image),
        "view": png(image),
    }
    return dict.fromkeys(TILES.names) | row | changes


def pyramid(scene: str, *, side: int = 64, corner: tuple[float, float] = (-118.15, 33.81)) -> Iterator[dict[str, Any]]:
    """One L tile with its 4 M and 16 S tiles (a factor of two a scale), with real overlap on the ground."""
    rng = np.random.default_rng(sum(scene.encode()))
    mean = np.full((4 * side, 4 * side), 80.0)
    mean[: side * 2, :] = 20.0
    for row, col in rng.integers(4, 4 * side - 8, (12, 2)):
        mean[row : row + 4, col : col + 8] = 230.0
    ground = speckled(mean, seed=int(rng.integers(1 << 30)))
    for scale, step in (("L", 4), ("M", 2), ("S", 1)):
        for down in range(0, 4, step):
            for right in range(0, 4, step):
                size = step * side
                window = ground[down * side : down * side + size, right * side : right * side + size]
                above = {"L": None, "M": f"{scene}-L-0-0", "S": f"{scene}-M-{down // 2 * 2}-{right // 2 * 2}"}[scale]
                west = corner[0] + right * side * 1e-5
                south = corner[1] + (4 * side - down * side - size) * 1e-5
                yield tile_row(
                    f"{scene}-{scale}-{down}-{right}",
                    window,
                    scene_id=scene,
                    scene_name=f"{scene}.tif",
                    scale=scale,
                    parent_id=above,
                    corner=(west, south),
                )


def write_tiles(workspace: Workspace, rows: list[dict[str, Any]], unit: str = "scene-0") -> None:
    """Publish rows as one file of `tiles/`."""
    workspace.write_table(pa.Table.from_pylist(rows, schema=TILES), "tiles", f"{unit}-testtest.parquet")


def index_tiles(
    workspace: Workspace, tables: Mapping[str, pa.Table], checkpoint: Path, *, run: str = "pretrain"
) -> None:
    """Put a checkpoint into a workspace and index its files of tiles, as the jobs leave both, without Ray."""
    import models
    from knowlip.archive import Version, checkpoint_digest, load_units

    folder = f"runs/{run}/checkpoint"
    workspace.write_folder(checkpoint, folder)
    model = models.load(checkpoint)
    width = model.network.config.projection
    version = Version(digest=checkpoint_digest(workspace, folder), checkpoint=folder, width=width)
    for name, tiles in tables.items():
        vectors = model.encode_image(tiles["view"].to_pylist())
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), width)
        table = pa.table({"tile_id": tiles["tile_id"], "vector": column})
        workspace.write_table(table, version.vectors, f"{name}.parquet")
    load_units(workspace, version)
    version.publish(workspace)
