"""Searching by more than words: by images, by tiles, within areas, ordered anew; and what a tile offers besides."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import rasterio
import requests
from PIL import Image

import models
from knowlip.archive import Archive
from tests.serve_apps.test_retrieval import SEARCH, check_problem
from tests.serve_apps.test_vqa import encoded, tiff

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return models.load(tiny_checkpoint)


def ids(reply):
    assert reply.status_code == 200, reply.text
    return [feature["id"] for feature in reply.json()["features"]]


def expected(workspace, vector, k):
    return [hit.entry.tile_id for hit in Archive.open(workspace).search(vector, k)]


def form(picture, **query):
    return {"image": ("a.png", picture), "query": (None, json.dumps(query), "application/json")}


def test_an_image_finds_what_looks_like_it(post, served_workspace, model):
    picture = served_workspace.read_table("tiles", columns=["image"])["image"][7].as_py()
    found = ids(post(SEARCH, files=form(picture, k=5)))
    assert found == expected(served_workspace, model.encode_image([picture])[0], 5)
    assert found[0].endswith("0007")


def test_an_image_and_words_count_the_same(post, served_workspace, model):
    picture = encoded(seed=2)
    vector = (model.encode_image([picture])[0] + model.encode_query(["oil tanks"])[0]) / 2
    assert ids(post(SEARCH, files=form(picture, text="oil tanks", k=6))) == expected(served_workspace, vector, 6)


def test_a_tile_finds_others_like_it(post, served_workspace):
    archive = Archive.open(served_workspace)
    found = ids(post(SEARCH, json={"like": "los-0005", "k": 4}))
    assert "los-0005" not in found
    assert found == [one for one in expected(served_workspace, archive.vector("los-0005"), 5) if one != "los-0005"]
    check_problem(post(SEARCH, json={"like": "nobody"}), 404)


def test_what_is_found_is_ordered_by_matching(post, served_workspace, model):
    features = post(SEARCH, json={"text": "crop fields", "k": 5, "rerank": True}).json()["features"]
    tiles = served_workspace.read_table("tiles", columns=["tile_id", "view"]).to_pylist()
    matches = model.match([tile["view"] for tile in tiles], ["crop fields"] * len(tiles))
    best = sorted(zip(matches, tiles, strict=True), key=lambda pair: -pair[0])[:5]
    np.testing.assert_allclose(
        [feature["properties"]["match"] for feature in features], [match for match, _ in best], atol=1e-4
    )


def test_a_polygon_a_time_and_a_resolution_narrow_the_search(post):
    ring = [[-118.2, 33.7], [-118.145, 33.7], [-118.2, 33.9], [-118.2, 33.7]]
    area = {"type": "Polygon", "coordinates": [ring]}
    assert set(ids(post(SEARCH, json={"text": "ships", "k": 50, "polygon": area}))) == {
        "los-0000",
        "los-0001",
        "los-0002",
    }
    days = {"time_from": "2020-11-09T00:00:00Z", "time_to": "2020-11-10T12:00:00+00:00"}
    assert {name[-1] for name in ids(post(SEARCH, json={"text": "ships", "k": 50, **days}))} == {"2", "3"}
    assert len(ids(post(SEARCH, json={"text": "ships", "k": 50, "gsd_min_m": 2, "gsd_max_m": 8}))) == 2
    for nothing in ({"sensors": ["Capella"]}, {"polarisations": ["HH"]}, {"time_from": "2031-01-01T00:00:00Z"}):
        assert ids(post(SEARCH, json={"text": "ships", **nothing})) == []
    open_ring = {"type": "Polygon", "coordinates": [ring[:3]]}
    check_problem(post(SEARCH, json={"text": "ships", "polygon": open_ring}), 422)


@pytest.mark.parametrize(
    ("files", "status", "reason"),
    [
        ({"image": ("a", b"GIF89a")}, 415, "neither PNG nor JPEG nor TIFF"),
        ({"query": (None, "{}")}, 422, "image: give a file"),
        (form(encoded(), k=1000), 422, "k"),
        ({"image": ("a", encoded()), "query": (None, "{")}, 400, "not JSON"),
        ({"image": ("a", encoded()), "colour": (None, "red")}, 422, "colour: is no part of this form"),
    ],
)
def test_wrong_forms_are_refused(post, files, status, reason):
    assert reason in check_problem(post(SEARCH, files=files), status)["detail"]


def test_a_tile_hands_out_its_family_and_a_geotiff(address):
    family = requests.get(f"{address}/v1/tiles/los-0001/family", timeout=60).json()
    assert [one["id"] for one in family["parents"]] == ["los-0000"]
    assert [one["id"] for one in family["children"]] == [f"los-{number:04d}" for number in range(2, 12)]
    data = requests.get(f"{address}/v1/tiles/los-0003.tif", timeout=60)
    with rasterio.MemoryFile(data.content) as file, file.open() as source:
        assert (source.crs.to_epsg(), source.dtypes[0], source.shape) == (4326, "uint8", (64, 64))
        assert source.bounds.left == pytest.approx(-118.17)
        png = requests.get(f"{address}/v1/tiles/los-0003.png", timeout=60).content
        np.testing.assert_array_equal(source.read(1), np.asarray(Image.open(io.BytesIO(png))))


def test_a_georeferenced_upload_gets_its_place(post):
    from rasterio.transform import from_origin

    pixels = np.random.default_rng(0).integers(1, 255, (80, 80), dtype=np.uint8)
    upload = tiff(pixels, crs="EPSG:32611", transform=from_origin(385_000, 3_735_000, 10, 10))
    place = post("/v1/vqa", files={"image": upload}, data={"question": "What is seen?"}).json()["place"]
    assert (place["country"], place["admin"]) == ("US", "California")
    assert place["bbox"] == pytest.approx([-118.246, 33.741, -118.237, 33.748], abs=0.01)
    assert post("/v1/vqa", files={"image": encoded()}, data={"question": "What?"}).json()["place"] is None
