"""What reports draw over images and of features: in the right place, in the right colour, as the metric judges."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from knowlip.errors import DataError
from knowlip.reporting.overlays import COLOURS, detections_drawn, heat_map
from knowlip.reporting.plane import tsne
from knowlip.reporting.scatter import scatter
from tests.builders import png


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def box(category: str, *corners: float, score: float = 0.9) -> dict[str, object]:
    return {"category": category, "box": list(corners), "score": score}


def test_boxes_are_drawn_as_the_metric_judges_them() -> None:
    right = [box("ship", 10, 10, 30, 30), box("ship", 60, 60, 80, 80), box("tank", 40, 10, 50, 20)]
    given = [
        box("ship", 11, 10, 31, 30),
        box("ship", 9, 10, 29, 30, score=0.8),  # the ship is taken already
        box("ship", 40, 10, 50, 20),  # there is a tank
        box("tank", 60, 10, 70, 20, score=0.2),  # too unsure to be drawn
    ]
    picture, counts = detections_drawn(png(np.full((100, 100), 90, np.uint8)), given, right, side=200)
    assert counts == {"right": 1, "false": 2, "missed": 2}
    pixels = opened(picture)
    assert pixels.shape == (200, 200, 3)
    assert tuple(pixels[40, 22]) == COLOURS["right"]
    assert tuple(pixels[140, 120]) == COLOURS["missed"]
    assert tuple(pixels[5, 5]) == (90, 90, 90)


def test_an_image_without_boxes_stays_as_it_is() -> None:
    picture, counts = detections_drawn(png(np.full((20, 40), 90, np.uint8)), [], [], side=80)
    assert counts == {"right": 0, "false": 0, "missed": 0}
    assert (opened(picture) == 90).all()
    assert opened(picture).shape == (40, 80, 3)


def test_the_warmest_place_is_where_the_model_looks_most() -> None:
    shares = np.full((4, 4), 0.01, np.float32)
    shares[3, 0] = 0.85
    pixels = opened(heat_map(png(np.full((64, 64), 90, np.uint8)), shares)).astype(int)
    warm = pixels.sum(axis=2)
    row, column = np.unravel_index(warm.argmax(), warm.shape)
    assert row > 44
    assert column < 20
    nothing = opened(heat_map(png(np.full((16, 16), 90, np.uint8)), np.zeros((2, 2), np.float32)))
    assert np.ptp(nothing.sum(axis=2).astype(int)) == 0


def test_classes_that_differ_lie_apart_and_a_seed_decides_the_picture() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 60)).astype(np.float32)
    features[20:] += 8.0
    places = tsne(features, seed=3)
    assert places.shape == (40, 2)
    centres = np.array([places[:20].mean(axis=0), places[20:].mean(axis=0)])
    own = np.linalg.norm(places - np.repeat(centres, 20, axis=0), axis=1)
    other = np.linalg.norm(places - np.repeat(centres[::-1], 20, axis=0), axis=1)
    assert (own < other).all()
    assert np.array_equal(places, tsne(features, seed=3))
    svg = scatter({"ship": places[:20], "tank & crane": places[20:]}, "tsne")
    assert len(re.findall("<use ", svg)) >= 40
    assert "tank &amp; crane" in svg
    with pytest.raises(DataError, match="4 images"):
        tsne(features[:4])
