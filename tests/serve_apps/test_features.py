"""What is sent of tiles is what the OpenAPI document's models say, though no model is made of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from knowlip.archive import Archive
from serve_apps.features import GeoJSON, PlainJSON, features
from serve_apps.schemas import Family, Feature, FeatureCollection

REQUEST = SimpleNamespace(scope={"root_path": "/here"})


@pytest.fixture(scope="module")
def hits(served_workspace):
    archive = Archive.open(served_workspace)
    return archive.search(np.ones(archive.version.width), 20)


def test_a_collection_is_its_model_byte_for_byte(hits):
    made = features([hit.entry for hit in hits], REQUEST, [{"score": hit.score, "match": 0.5} for hit in hits])
    body = GeoJSON({"type": "FeatureCollection", "features": made}).body
    found = FeatureCollection.model_validate_json(body, strict=True)
    assert found.model_dump_json().encode() == body
    for feature, hit in zip(found.features, hits, strict=True):
        plain = Feature(**hit.entry.feature())
        assert (feature.id, feature.bbox) == (plain.id, plain.bbox)
        assert shapely.geometry.shape(feature.geometry).equals(shapely.geometry.shape(plain.geometry))
        assert feature.properties == plain.properties | {"score": round(hit.score, 6), "match": 0.5}
        assert feature.links[0].href == f"/here/v1/tiles/{feature.id}"


def test_nothing_found_is_a_collection_too(hits):
    body = GeoJSON({"type": "FeatureCollection", "features": features([], REQUEST)}).body
    assert FeatureCollection.model_validate_json(body).features == []


def test_footprints_of_all_kinds_and_figures_that_are_none(hits):
    over = shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)])
    odd = replace(hits[0].entry, footprint=shapely.to_wkb(over), facts={**hits[0].entry.facts, "gsd_m": float("nan")})
    body = PlainJSON({"parents": features([odd], REQUEST), "children": []}).body
    (feature,) = Family.model_validate_json(body).parents
    assert shapely.geometry.shape(feature.geometry).equals(over)
    assert feature.properties["gsd_m"] is None
