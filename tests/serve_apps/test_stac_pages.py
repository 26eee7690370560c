"""An archive of many tiles is gone through to its end, page by page; nothing of Ray runs here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from starlette.testclient import TestClient

from knowlip.archive import Archive, Version, entry_schema
from knowlip.workspace import Workspace
from serve_apps.gateway import build_gateway
from serve_apps.index import Index
from serve_apps.services import Services
from tests.serve_apps.in_process import Handle

COLUMNS, ROWS = 110, 100
"""A grid of tiles of a hundredth of a degree, row by row to the north."""
VERSION = Version(digest="0123456789abcdef", checkpoint="runs/pretrain/checkpoint", width=8)


def grid():
    """Rows of the index with the least that a search needs."""
    places = [(column / 100, row / 100) for row in range(ROWS) for column in range(COLUMNS)]
    west, south = np.array(places).T
    count = len(places)
    columns = {
        "tile_id": [f"t{place:05d}" for place in range(count)],
        "scene_id": ["s"] * count,
        "scene_name": ["s.tif"] * count,
        "scale": ["S"] * count,
        "file": ["f.parquet"] * count,
        "row": list(range(count)),
        "revision": ["r"] * count,
        "vector": list(np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)),
        "geometry": [shapely.to_wkb(shapely.box(x, y, x + 0.009, y + 0.009)) for x, y in places],
        "xmin": west,
        "xmax": west + 0.009,
        "ymin": south,
        "ymax": south + 0.009,
        "gsd_m": np.ones(count),
    }
    schema = entry_schema(VERSION.width)
    return pa.table([pa.array(columns.get(field.name, [None] * count), field.type) for field in schema], schema=schema)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    workspace = Workspace(str(tmp_path_factory.mktemp("archive") / "workspace"))
    Archive.of_version(workspace, VERSION).add(grid())
    VERSION.publish(workspace)
    index = Handle(Index.func_or_class(workspace))
    with TestClient(build_gateway(Services(encoder=object(), index=index))) as client:
        yield client


def pages(client, body):
    while body:
        reply = client.post("/stac/search", json=body)
        assert reply.status_code == 200, reply.text
        yield reply.json()
        body = next((link["body"] for link in reply.json()["links"] if link["rel"] == "next"), None)


def test_every_tile_is_reached_and_counted(client):
    found = list(pages(client, {"limit": 200}))
    ids = [item["id"] for page in found for item in page["features"]]
    assert len(ids) == len(set(ids)) == COLUMNS * ROWS
    assert {page["numberMatched"] for page in found} == {COLUMNS * ROWS}
    assert sum(page["numberReturned"] for page in found) == COLUMNS * ROWS
    some = next(pages(client, {"limit": 3, "bbox": [0.001, 0.001, 0.035, 0.005]}))
    assert (some["numberMatched"], some["numberReturned"]) == (4, 3)


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        # A corner in the north-east, and a hair to the south-west, so that its bounds hold all there is.
        (shapely.Polygon([(0, 0), (1.1, 0.975), (1.1, 1), (1.05, 1), (0, 0.00001)]), None),
        (shapely.box(0.001, 0.001, 0.035, 0.005), 4),
        (shapely.box(5, 5, 6, 6), 0),
    ],
    ids=["wide", "small", "elsewhere"],
)
def test_every_tile_within_a_polygon_is_reached(client, area, expected):
    bounds = [shapely.from_wkb(wkb) for wkb in grid()["geometry"].to_pylist()]
    within = {f"t{place:05d}" for place in np.flatnonzero(shapely.intersects(np.array(bounds), area))}
    assert len(within) == (expected if expected is not None else len(within))
    found = list(pages(client, {"limit": 50, "intersects": shapely.geometry.mapping(area)}))
    ids = [item["id"] for page in found for item in page["features"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == within
    # Clients take an empty page for the end; what matches the bounds alone is not counted as matching.
    assert all(page["features"] for page in found[:-1])
    assert not any("numberMatched" in page for page in found)


def test_two_places_at_once_are_refused(client):
    area = '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}'
    assert client.get("/stac/search", params={"bbox": "0,0,1,1", "intersects": area}).status_code == 400


def test_words_lead_only_so_far(client):
    assert client.get("/stac/search?token=10999").json()["numberReturned"] == 1
    reply = client.get("/stac/search?q=ships&token=2000")
    assert reply.status_code == 422
    assert "beyond the first 2000" in reply.json()["detail"]
