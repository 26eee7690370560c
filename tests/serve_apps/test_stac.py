"""The archive through the eyes of a STAC client."""

from __future__ import annotations

import numpy as np
import pystac
import pytest
import requests
from pystac_client import Client

import models
from knowlip.archive import Archive
from tests.serve_apps.test_retrieval import check_problem

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def client(address):
    return Client.open(f"{address}/stac")


@pytest.fixture
def by_words(address):
    """Function that gives a client whose every request has these words (pystac-client's search has no ``q`` yet)."""
    return lambda words: Client.open(f"{address}/stac", parameters={"q": words})


def test_it_is_a_catalog_that_can_be_searched(client):
    for name in ("CORE", "ITEM_SEARCH", "COLLECTIONS"):
        assert client.conforms_to(name), name
    assert any("free-text" in uri for uri in client.get_conforms_to())
    (tiles,) = client.get_collections()
    assert tiles.id == "tiles"
    assert tiles.extent.spatial.bboxes[0] == pytest.approx([-118.2, 33.8, -98.42, 33.81])


def test_items_are_found_by_words_place_and_time(client, by_words, served_workspace, tiny_checkpoint):
    found = list(by_words("oil tanks").search(method="GET", max_items=5).items())
    vector = models.load(tiny_checkpoint).encode_query(["oil tanks"])[0]
    expected = Archive.open(served_workspace).search(vector, 5)
    assert [item.id for item in found] == [hit.entry.tile_id for hit in expected]
    np.testing.assert_allclose(
        [item.properties["knowlip:score"] for item in found], [hit.score for hit in expected], atol=1e-4
    )
    place_and_time = {"bbox": [-99, 33, -98, 34], "datetime": "2020-11-08/2020-11-10"}
    some = by_words("oil tanks").search(method="GET", **place_and_time).items()
    assert {item.id for item in some} == {"san-0001", "san-0002", "san-0003"}
    area = {"type": "Polygon", "coordinates": [[[-98.6, 33], [-98.485, 33], [-98.485, 34], [-98.6, 34], [-98.6, 33]]]}
    assert {item.id for item in client.search(intersects=area).items()} == {"san-0000", "san-0001"}
    assert [item.id for item in client.search(ids=["los-0004"]).items()] == ["los-0004"]


def test_pages_follow_each_other(client, by_words, address):
    for search in (by_words("runway").search(limit=8, method="GET"), client.search(limit=8, method="POST")):
        pages = list(search.pages())
        assert [len(page.items) for page in pages] == [8, 8, 4]
        assert len({item.id for page in pages for item in page.items}) == 20
    found, body = [], {"q": "runway", "limit": 8}
    while body:
        page = requests.post(f"{address}/stac/search", json=body, timeout=60).json()
        found += [item["id"] for item in page["features"]]
        body = next((link["body"] for link in page["links"] if link["rel"] == "next"), None)
    assert found == [item.id for item in by_words("runway").search(method="GET").items()]


def test_every_link_of_the_landing_page_leads_somewhere(address):
    page = requests.get(f"{address}/stac/", timeout=60).json()
    for link in page["links"]:
        assert link["href"].startswith(f"{address}/stac/"), link
        if link.get("method", "GET") == "GET":
            assert requests.get(link["href"], timeout=60).status_code == 200, link


def test_an_item_is_valid_and_leads_to_its_image(client):
    item = client.get_collection("tiles").get_item("los-0003")
    assert isinstance(item, pystac.Item)
    body = item.to_dict(transform_hrefs=False)
    assert pystac.Item.from_dict(body).datetime.isoformat() == "2020-11-10T00:00:00+00:00"
    from stac_pydantic import Item

    Item.model_validate(body)
    assert requests.get(item.assets["image"].href, timeout=60).headers["content-type"] == "image/png"
    assert requests.get(item.assets["data"].href, timeout=60).content[:4] == b"II*\x00"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("bbox=5,0,1,1", 422),
        ("bbox=0,0,1", 400),
        ("bbox=0,0,nan,1", 422),
        ("datetime=yesterday", 400),
        ("limit=0", 422),
        ("q=%00", 422),
        ("token=later", 422),
        ("intersects={", 422),
        ("ids=../etc", 422),
    ],
)
def test_what_is_wrong_is_answered_with_a_reason(address, query, status):
    check_problem(requests.get(f"{address}/stac/search?{query}", timeout=60), status)


@pytest.mark.parametrize("body", ["[null]", "5", '"a"', '{"bbox": [5, 0, 1, 1]}', '{"limit": "many"}', '{"q": 5}', "{"])
def test_wrong_bodies_are_refused(address, body):
    headers = {"content-type": "application/json"}
    reply = requests.post(f"{address}/stac/search", data=body, headers=headers, timeout=60)
    check_problem(reply, 400 if body == "{" else 422)


def test_what_is_not_there_is_not_found(address):
    for path in ("collections/nobody", "collections/tiles/items/nobody", "nothing"):
        check_problem(requests.get(f"{address}/stac/{path}", timeout=60), 404)
