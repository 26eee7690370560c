"""What a request needs of a deployment it asks in one call; nothing of Ray runs here."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from starlette.testclient import TestClient

import models
from knowlip.archive import Version
from serve_apps.encoder import Encoder
from serve_apps.gateway import build_gateway
from serve_apps.index import Index
from serve_apps.services import Services
from tests.serve_apps.in_process import Handle


@pytest.fixture(scope="module")
def services(served_workspace):
    version = Version.in_use(served_workspace)
    encoder = Encoder.func_or_class(served_workspace, version, follow_s=0.0, device="cpu", threads=1, batch_size=4)
    return Services(encoder=Handle(encoder), index=Handle(Index.func_or_class(served_workspace)))


@pytest.fixture
def client(services):
    services.encoder.asked.clear()
    with TestClient(build_gateway(services)) as client:
        yield client


def test_many_texts_are_embedded_in_one_call(client, services, tiny_checkpoint):
    texts = [f"{number} ships in a harbour" for number in range(11)]
    reply = client.post("/v1/embeddings", json={"input": texts, "encoding_format": "base64"})
    vectors = [np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in reply.json()["data"]]
    np.testing.assert_allclose(vectors, models.load(tiny_checkpoint).encode_text(texts), atol=1e-5)
    assert services.encoder.asked == {"texts": 1}


def test_tiles_are_ordered_anew_in_one_call(client, services, served_workspace, tiny_checkpoint):
    reply = client.post("/v1/search", json={"text": "oil tanks", "rerank": True, "k": 20})
    found = {one["id"]: one["properties"]["match"] for one in reply.json()["features"]}
    model, tiles = models.load(tiny_checkpoint), served_workspace.read_table("tiles", columns=["tile_id", "view"])
    right = model.match(tiles["view"].to_pylist(), ["oil tanks"] * len(tiles))
    expected = dict(zip(tiles["tile_id"].to_pylist(), right.tolist(), strict=True))
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert services.encoder.asked == {"query": 1, "matches": 1}
