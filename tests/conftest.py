"""Fixtures that every test may use: the real data, one Ray cluster, and an empty workspace."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from moto.server import ThreadedMotoServer
from PIL import Image

from knowlip.records import CAPTIONS, SUBTEXTS, TILES, conform
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]

# The same examples on every machine and day; `--hypothesis-profile=default` looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one Ray cluster together where pytest-xdist deals them out to several processes.

    Jobs and services are two groups, so that two processes have about as much to do. pytest-xdist reads the groups in
    the same hook, hence first.
    """
    for item in items:
        if "ray_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("serve_apps" if "serve_apps" in item.path.parts else "jobs"))


@pytest.fixture(scope="session")
def knowlip_data() -> Path:
    """Folder of real radar data (`KNOWLIP_DATA`); the test is skipped where there is none."""
    folder = Path(os.environ.get("KNOWLIP_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").exists():
        pytest.skip(f"no real data at {folder}: set KNOWLIP_DATA")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One small Ray cluster for the whole session."""
    from jobs.cluster import connected

    with connected():
        yield


@pytest.fixture
def workspace_root(tmp_path: Path) -> str:
    """An empty workspace of the test's own."""
    return str(tmp_path / "workspace")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ThreadedMotoServer]]:
    """A bucket on a real S3 server of the test's own."""
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield name, server
    server.stop()


@pytest.fixture
def s3_workspace(bucket: tuple[str, ThreadedMotoServer]) -> Workspace:
    """An empty workspace on a real S3 server of the test's own."""
    return Workspace(f"s3://{bucket[0]}/some/prefix")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of an untrained KnowLIP, small enough to load in a moment."""
    import torch

    from models import KnowLIP, Preprocessing, Tokenizer, presets, save_checkpoint

    texts = [
        text
        for row in _captions([{"tile_id": str(n), "scale": "S"} for n in range(24)]).to_pylist()
        for text in (row[name] for name in SUBTEXTS)
    ]
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(texts, vocab_size=300)
    config = presets["tiny"]
    config = config.model_copy(update={"text": config.text.model_copy(update={"vocab_size": tokenizer.vocab_size})})
    preprocessing = Preprocessing(image_size=config.vision.image_size, channels=config.vision.channels)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    return save_checkpoint(folder, KnowLIP(config), tokenizer, preprocessing, {"made_by": "a test"})


@pytest.fixture
def write_tiles() -> Callable[..., pa.Table]:
    """Function that puts tiles, and their captions, into a workspace without cutting a scene."""
    return _write_tiles


@pytest.fixture(scope="session")
def write_tiles_once() -> Callable[..., pa.Table]:
    """`write_tiles` for fixtures that live longer than a test."""
    return _write_tiles


def _write_tiles(
    workspace: Workspace,
    unit: str = "scene-a",
    *,
    count: int = 6,
    lon: float = -118.2,
    lat: float = 33.8,
    side: int = 64,
    captions: bool = True,
    **columns: Any,
) -> pa.Table:
    """Write one file of tiles along a parallel: an L, an M within it, and S tiles within that.

    Args:
        workspace: Where to write.
        unit: Name of the files.
        count: Number of tiles.
        lon: West edge of the first tile, degrees.
        lat: South edge of all tiles, degrees.
        side: Pixels a side of the images.
        captions: Write captions too.
        columns: Values that replace the made-up ones in every row.

    Returns:
        The table of tiles.
    """
    rows = [_tile(unit, place, lon, lat, side) | columns for place in range(count)]
    tiles = conform(pa.Table.from_pylist(rows, TILES), TILES, where="tiles of a test")
    workspace.write_table(tiles, "tiles", f"{unit}.parquet", row_group_size=4)
    if captions:
        workspace.write_table(_captions(rows), "captions", f"{unit}.parquet")
    return tiles


def _tile(unit: str, place: int, lon: float, lat: float, side: int) -> dict[str, Any]:
    import shapely

    scale = ("L", "M")[place] if place < 2 else "S"
    west, east = lon + 0.01 * place, lon + 0.01 * (place + 1)
    pixels = np.random.default_rng(place).integers(1, 256, (side, side), dtype=np.uint8)
    pixels[: side // 2] //= place % 4 + 1
    stream = io.BytesIO()
    Image.fromarray(np.maximum(pixels, 1)).save(stream, "PNG")
    return {
        **dict.fromkeys(TILES.names),
        "tile_id": f"{unit}-{place:04d}",
        "scene_id": unit,
        "scene_name": f"{unit}.tif",
        "scale": scale,
        "parent_id": {"L": None, "M": f"{unit}-0000", "S": f"{unit}-0001"}[scale],
        "gsd_m": {"L": 16.0, "M": 4.0, "S": 1.0}[scale],
        "extent_m": {"L": 16384.0, "M": 4096.0, "S": 1024.0}[scale],
        "crs": "EPSG:4326",
        "affine": [0.01 / side, 0.0, west, 0.0, -0.01 / side, lat + 0.01],
        "georeference": "affine",
        "geometry": shapely.to_wkb(shapely.box(west, lat, east, lat + 0.01)),
        "bbox": {"xmin": west, "ymin": lat, "xmax": east, "ymax": lat + 0.01},
        "lon": (west + east) / 2,
        "lat": lat + 0.005,
        "sensor": "Sentinel-1A",
        "band": "C",
        "polarisation": "VH",
        "time": datetime(2020, 11, 7, tzinfo=UTC) + timedelta(days=place),
        "city": "Long Beach",
        "admin": "California",
        "country": "US",
        "airports": [{"code": "LGB", "name": "Long Beach Airport", "lon": west + 0.002, "lat": lat + 0.002}],
        "ports": [],
        "image": stream.getvalue(),
        "view": stream.getvalue(),
    }


def _captions(tiles: list[dict[str, Any]]) -> pa.Table:
    things = ("airport runway", "ships in a harbour", "oil tanks", "crop fields", "dense houses", "open water")
    rows = [
        {
            **dict.fromkeys(CAPTIONS.names),
            "tile_id": tile["tile_id"],
            "prompt_digest": "0" * 16,
            "model": "measured",
            "scale": tile["scale"],
            "family": "ground_target",
            **{name: f"{name.replace('_', ' ')} {things[place % 6]} number {place}." for name in SUBTEXTS},
            "status": "ok",
        }
        for place, tile in enumerate(tiles)
    ]
    return conform(pa.Table.from_pylist(rows, CAPTIONS), CAPTIONS, where="captions of a test")
