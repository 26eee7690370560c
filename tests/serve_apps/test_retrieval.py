from __future__ import annotations

import io

import numpy as np
import pytest
import requests
import shapely.geometry
from PIL import Image

import models
from knowlip.archive import Archive
from knowlip.records import SUBTEXTS

pytestmark = pytest.mark.ray
SEARCH = "/v1/search"


def test_search_answers_what_the_model_and_the_index_say(post, served_workspace, tiny_checkpoint):
    reply = post(SEARCH, json={"text": "ships in a harbour", "k": 5})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/geo+json"
    found = reply.json()
    assert found["type"] == "FeatureCollection"
    vector = models.load(tiny_checkpoint).encode_query(["ships in a harbour"])[0]
    expected = Archive.open(served_workspace).search(vector, 5)
    assert [feature["id"] for feature in found["features"]] == [hit.entry.tile_id for hit in expected]
    scores = [feature["properties"]["score"] for feature in found["features"]]
    np.testing.assert_allclose(scores, [hit.score for hit in expected], atol=1e-4)
    first = found["features"][0]
    assert shapely.geometry.shape(first["geometry"]).bounds == pytest.approx(tuple(first["bbox"]))
    assert list(first["properties"]["texts"]) == list(SUBTEXTS)


def test_filters_narrow_the_search(post):
    reply = post(SEARCH, json={"text": "runway", "k": 50, "bbox": [-99, 33, -98, 34], "scales": ["S"]})
    features = reply.json()["features"]
    assert len(features) == 6
    assert all(feature["id"].startswith("san") and feature["properties"]["scale"] == "S" for feature in features)
    nowhere = post(SEARCH, json={"text": "runway", "bbox": [0, 0, 1, 1]})
    assert (nowhere.status_code, nowhere.json()["features"]) == (200, [])


def test_links_lead_to_the_tile_and_its_pictures(post, address, served_workspace):
    feature = post(SEARCH, json={"text": "oil tanks", "k": 1, "scales": ["S"]}).json()["features"][0]
    links = {link["rel"]: address + link["href"] for link in feature["links"]}
    tile = requests.get(links["self"], timeout=60).json()
    assert tile["id"] == feature["id"]
    assert tile["properties"]["texts"] == feature["properties"]["texts"]
    assert requests.get(links["parent"], timeout=60).json()["properties"]["scale"] == "M"
    picture = requests.get(links["image"], timeout=60)
    assert picture.headers["content-type"] == "image/png"
    tiles = served_workspace.read_table("tiles", columns=["tile_id", "image"]).to_pylist()
    assert picture.content == next(row["image"] for row in tiles if row["tile_id"] == feature["id"])
    assert Image.open(io.BytesIO(requests.get(links["thumbnail"], timeout=60).content)).size == (64, 64)


def test_the_service_says_what_it_is(address, served_workspace):
    info = requests.get(f"{address}/v1/info", timeout=60).json()
    assert info["tiles"] == 20
    assert info["checkpoints"]["search"] == Archive.open(served_workspace).version.digest
    assert info["holdings"]["scales"] == {"L": 2, "M": 2, "S": 16}
    for path in ("/healthz", "/readyz"):
        reply = requests.get(address + path, timeout=60)
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
    document = requests.get(f"{address}/openapi.json", timeout=60).json()
    assert set(document["paths"]) >= {SEARCH, "/v1/tiles/{tile_id}", "/v1/tiles/{tile_id}.png", "/v1/info"}
    assert "ProblemDocument" in document["components"]["schemas"]
    assert requests.get(f"{address}/docs", timeout=60).status_code == 200


WRONG = {
    "malformed JSON": ('{"text": ', 400, "not JSON"),
    "not an object": ("[1]", 422, "body"),
    "nothing to look for": ("{}", 422, "nothing to look for"),
    "re-ranking without words": ('{"like": "los-0002", "rerank": true}', 422, "rerank needs text"),
    "empty text": ('{"text": "  "}', 422, "text"),
    "long text": ('{"text": "' + "x" * 1001 + '"}', 422, "text"),
    "text of another type": ('{"text": 5}', 422, "text"),
    "control characters": ('{"text": "a\\u0000b"}', 422, "control characters"),
    "half a surrogate": ('{"text": "\\ud800"}', 400, "not JSON"),
    "huge k": ('{"text": "a", "k": 100000}', 422, "k: input should be less than or equal to 200"),
    "k of nothing": ('{"text": "a", "k": 0}', 422, "k"),
    "k as text": ('{"text": "a", "k": "10"}', 422, "k"),
    "k NaN": ('{"text": "a", "k": NaN}', 422, "k"),
    "inverted bbox": ('{"text": "a", "bbox": [10, 0, 5, 1]}', 422, "bbox: is inverted"),
    "bbox off the globe": ('{"text": "a", "bbox": [0, 0, 181, 1]}', 422, "bbox.2"),
    "bbox with NaN": ('{"text": "a", "bbox": [0, 0, NaN, 1]}', 422, "finite"),
    "bbox with infinity": ('{"text": "a", "bbox": [0, 0, Infinity, 1]}', 422, "bbox.2"),
    "bbox too short": ('{"text": "a", "bbox": [0, 0, 1]}', 422, "bbox"),
    "unknown field": ('{"text": "a", "colour": "red"}', 422, "colour"),
    "unknown scale": ('{"text": "a", "scales": ["XL"]}', 422, "scales"),
    "SQL in a sensor": ('{"text": "a", "sensors": ["x\' OR 1=1"]}', 422, "sensors"),
    "time without a zone": ('{"text": "a", "time_from": "2020-01-01T00:00:00"}', 422, "time_from"),
    "a deep nest": ("[" * 100_000, 400, ""),
    "a number of 5000 digits": ('{"text": "a", "k": ' + "9" * 5000 + "}", 400, ""),
    "bytes that are no text": (b'{"text": "\xff\xfe"}', 400, ""),
}


@pytest.mark.parametrize("case", WRONG, ids=list(WRONG))
def test_wrong_searches_are_answered_with_a_reason(post, case):
    body, status, reason = WRONG[case]
    data = body if isinstance(body, bytes) else body.encode()
    reply = post(SEARCH, data=data, headers={"content-type": "application/json"})
    problem = check_problem(reply, status)
    assert reason in problem["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/tiles/nobody", 404),
        ("/v1/tiles/nobody.png", 404),
        ("/v1/tiles/x%27%20OR%201=1", 422),
        ("/v1/tiles/los-0000.png?size=huge", 422),
        ("/v1/nothing", 404),
        ("/v1/search", 405),
    ],
)
def test_wrong_paths_are_answered_with_a_reason(address, path, status):
    check_problem(requests.get(address + path, timeout=60), status)


def test_a_body_beyond_the_limit_is_not_read(post):
    check_problem(post(SEARCH, data=b" " * (2**20 + 1), headers={"content-type": "application/json"}), 413)
    endless = (b" " * 2**16 for _ in range(40))
    check_problem(post(SEARCH, data=endless, headers={"content-type": "application/json"}), 413)


def check_problem(reply, status):
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert problem["title"]
    assert problem["detail"]
    return problem
