"""Labels and questions follow from what a tile holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from knowlip.benchmark.answers import same
from knowlip.benchmark.content import Content, from_annotations, from_truth, read_truth
from knowlip.benchmark.datasets import annotated, content_of, examples_of
from knowlip.benchmark.sft import KINDS, captions, classification, questions
from knowlip.errors import DataError
from knowlip.tiling.encoding import decode_png
from knowlip.workspace import Workspace
from tests.builders import png, speckled, tile_row

HARBOUR = Content(
    targets=(("ship", 1), ("ship", 9), ("storage tank", 5), ("building", 2)),
    landforms=(("water", 0.7), ("built up", 0.28), ("grass", 0.02)),
    region_landforms={1: "water", 9: "built up"},
    source="truth",
)


def test_the_class_is_the_most_frequent_target_else_the_landform() -> None:
    assert classification(HARBOUR) == "ship"
    empty = Content((("building", 1),), HARBOUR.landforms, {}, "truth")
    assert classification(empty) == "water"
    assert classification(Content((), (), {}, "truth")) is None


def test_every_kind_is_asked_and_every_answer_is_right() -> None:
    asked = questions(HARBOUR, tile_id="t", seed=0, most=50)
    assert {one["kind"] for one in asked} == set(KINDS)
    by_kind = {kind: [one for one in asked if one["kind"] == kind] for kind in KINDS}
    counts = {one["question"].lower(): one["answer"] for one in by_kind["count"]}
    for what, number in (("ships", "2"), ("storage tanks", "1"), ("buildings", "1"), ("aircraft", "0")):
        assert any(what in question and answer == number for question, answer in counts.items())
    assert {one["answer"] for one in by_kind["region"]} == {"5", "2"}  # two ships have no one region
    assert same(by_kind["category"][0]["answer"], "ship, building, storage tank")
    assert same(by_kind["landforms"][0]["answer"], "built up, water")  # 2 % of grass does not count
    assert by_kind["main_landform"][0]["answer"] == "water"
    assert len({one["question"] for one in asked}) == len(asked)


def test_questions_are_drawn_from_seed_and_tile() -> None:
    first = questions(HARBOUR, tile_id="t", seed=0, most=3)
    assert first == questions(HARBOUR, tile_id="t", seed=0, most=3)
    assert len({one["kind"] for one in first}) == 3
    others = [questions(HARBOUR, tile_id=f"t{number}", seed=0, most=3) for number in range(20)]
    assert any(other != first for other in others)


@pytest.fixture
def scene(tmp_path: Path) -> Workspace:
    """Truth of a north-up scene of 300 x 300 pixels at 1e-5 degrees: one ship, water in the west, grass in the east."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    west, north = -118.15, 33.81
    lon, lat = west + 245.5e-5, north - 40.5e-5
    square = [[lon - 1e-5, lat - 1e-5], [lon + 1e-5, lat - 1e-5], [lon, lat + 2e-5], [lon - 1e-5, lat - 1e-5]]
    feature = {
        "type": "Feature",
        "properties": {"class": "ship"},
        "geometry": {"type": "Polygon", "coordinates": [square]},
    }
    truth = {"type": "FeatureCollection", "features": [feature]}
    (folder / "scene.truth.geojson").write_text(json.dumps(truth))
    codes = np.full((300, 300), 1, np.uint8)
    codes[:, 200:] = 2
    profile = {"driver": "GTiff", "width": 300, "height": 300, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(
        folder / "scene.landcover.tif", "w", transform=Affine(1e-5, 0, west, 0, -1e-5, north), **profile
    ) as out:
        out.write(codes, 1)
        out.update_tags(legend=json.dumps({1: "water", 2: "grass"}))
    return Workspace(str(tmp_path))


def test_truth_lands_in_the_tile_and_region_that_contain_it(scene: Workspace) -> None:
    truth = read_truth(scene, "scenes", "scene.tif")
    assert truth is not None
    picture = speckled(np.full((150, 150), 60.0))
    corner = (-118.15, 33.81 - 150e-5)
    left = tile_row("left", picture, row_off=0, col_off=0, corner=corner)
    right = tile_row("right", picture, row_off=0, col_off=150, corner=(corner[0] + 150e-5, corner[1]))
    assert from_truth(left, truth).targets == ()
    content = from_truth(right, truth)
    assert content.targets == (("ship", 2),)  # column 95 of 150, row 40 of 150: upper centre
    assert content.landforms[0] == ("grass", pytest.approx(2 / 3))
    assert content.region_landforms == {1: "water", 4: "water", 7: "water"} | dict.fromkeys((2, 3, 5, 6, 8, 9), "grass")


def test_a_coarser_stored_image_gives_the_same_content(scene: Workspace) -> None:
    truth = read_truth(scene, "scenes", "scene.tif")
    assert truth is not None
    whole = tile_row("whole", speckled(np.full((150, 150), 60.0)), row_off=0, col_off=0, corner=(-118.15, 33.807))
    whole |= {"height": 300, "width": 300, "affine": [2e-5, 0.0, -118.15, 0.0, -2e-5, 33.81]}
    content = from_truth(whole, truth)
    assert content.targets == (("ship", 3),)
    assert dict(content.landforms) == pytest.approx({"water": 2 / 3, "grass": 1 / 3})


def test_without_truth_a_tile_is_measured(scene: Workspace) -> None:
    assert read_truth(scene, "scenes", "elsewhere.tif") is None
    mean = np.full((200, 200), 15.0)
    mean[:40] = 100.0
    mean[120:126, 100:120] = 250.0
    content = content_of(tile_row("t", speckled(mean)), None)
    assert content.source == "measured"
    assert content.counts == {"vessel": 1}
    assert content.landforms[0][0] == "water"


def test_truth_that_is_no_geojson_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "scene.truth.geojson").write_text('{"features": [{}]}')
    with pytest.raises(DataError, match=r"scene\.truth\.geojson.*class"):
        read_truth(Workspace(str(tmp_path)), "scenes", "scene.tif")


def test_examples_have_the_split_and_the_view_of_their_tile() -> None:
    row = tile_row("t", speckled(np.full((64, 64), 60.0)))
    (label,) = examples_of(row, HARBOUR, task="classification", split="val", seed=0, most=3)
    assert (label["label"], label["split"], label["view"]) == ("ship", "val", row["view"])
    asked = list(examples_of(row, HARBOUR, task="vqa", split="test", seed=0, most=4))
    assert len({one["example_id"] for one in asked}) == 4
    assert all(one["question"] and one["answer"] and one["split"] == "test" for one in asked)
    (said,) = examples_of(row, HARBOUR, task="captioning", split="test", seed=0, most=1)
    assert all("building" not in text for text in said["texts"])  # buildings belong to the landform
    with pytest.raises(DataError, match="'detection' is not made from content"):
        list(examples_of(row, HARBOUR, task="detection", split="train", seed=0, most=1))


def test_five_captions_say_category_quantity_and_place() -> None:
    content = Content((("aircraft", 1), ("aircraft", 5), ("aircraft", 5), ("A320/321", 9)), (), {}, "annotated")
    texts = captions(content, tile_id="t", seed=0)
    assert len(set(texts)) == 5
    for text in texts:
        assert all(place in text for place in ("upper-left", "centre", "lower-right")), text
        assert "aircraft" in text
        assert "A320/321" in text
        counted = "three aircraft" in text.lower() or ("one aircraft" in text and "two aircraft" in text)
        assert counted, text
        assert text[0].isupper()
        assert text.endswith(".")
    assert captions(content, tile_id="t", seed=0) == texts
    assert sorted(captions(content, tile_id="other", seed=0)) == sorted(texts)
    assert len({captions(content, tile_id=f"{n}", seed=0)[0] for n in range(40)}) == 5
    assert captions(Content((), (("water", 1.0),), {}, "truth"), tile_id="t", seed=0) == []


class TestAnnotations:
    def test_boxes_give_counts_categories_and_regions(self) -> None:
        boxes = [
            {"category": "ship", "xmin": 80, "ymin": 2, "xmax": 88, "ymax": 8},
            {"category": "tanker", "xmin": 40, "ymin": 40, "xmax": 50, "ymax": 50},
        ]
        content = from_annotations(boxes, None, ("ship", "tanker", "yacht"), (90, 90))
        assert content.targets == (("ship", 3), ("tanker", 5))
        asked = questions(content, tile_id="t", seed=0, most=50)
        assert {one["kind"] for one in asked} == {"count", "category", "region"}
        absent = [one for one in asked if "yacht" in one["question"]]
        assert [one["answer"] for one in absent] == ["0"]

    def test_masks_give_landforms(self) -> None:
        codes = np.zeros((90, 90), np.uint8)
        codes[:, :60], codes[:30, 60:] = 1, 3
        content = from_annotations((), codes, ("water", "road", "grass"), (90, 90))
        asked = questions(content, tile_id="t", seed=0, most=50)
        assert {one["kind"] for one in asked} == {"category", "main_landform", "landforms", "region_landform"} - {
            "category"
        }
        by_kind = {one["kind"]: one["answer"] for one in asked}
        assert by_kind["main_landform"] == "water"
        assert same(by_kind["landforms"], "grass, water")
        assert content.region_landforms[3] == "grass"
        assert 6 not in content.region_landforms  # nothing is known there

    def test_truth_gives_boxes_and_masks_of_a_picture(self, scene: Workspace) -> None:
        truth = read_truth(scene, "scenes", "scene.tif")
        picture = speckled(np.full((150, 150), 60.0))
        row = tile_row("right", picture, row_off=0, col_off=150, corner=(-118.15 + 150e-5, 33.81 - 150e-5))
        (example,) = annotated(row, truth, task="detection", split="test")
        (box,) = example["boxes"]
        # The ship lies at columns 244.5 to 246.5 and rows 38.5 to 41.5 of the scene.
        assert (box["category"], example["split"]) == ("ship", "test")
        edges = [box[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
        assert edges == pytest.approx([94.5, 38.5, 96.5, 41.5], abs=0.01)
        (example,) = annotated(row, truth, task="segmentation", split="test")
        codes = decode_png(example["mask"])
        assert (codes[:, :50] == 1).all()
        assert (codes[:, 50:] == 2).all()
        assert list(annotated(row, None, task="detection", split="test")) == []

    def test_a_picture_may_be_smaller_than_the_image(self, scene: Workspace) -> None:
        truth = read_truth(scene, "scenes", "scene.tif")
        picture = speckled(np.full((150, 150), 60.0))
        row = tile_row("right", picture, row_off=0, col_off=150, corner=(-118.15 + 150e-5, 33.81 - 150e-5))
        row["view"] = png(picture[:75, :75])  # half as many pixels a side
        (example,) = annotated(row, truth, task="detection", split="test")
        assert example["boxes"] == []  # one pixel wide: nobody can see it
        (example,) = annotated(row, truth, task="segmentation", split="test")
        assert decode_png(example["mask"]).shape == (75, 75)
