"""Published layouts: what is read from tiny sets in each of them, from the real files, and what is said of bad ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.benchmark.layouts import Faults, Layout, LayoutOptions, Listing, list_folder, load, padded
from knowlip.errors import DataError
from knowlip.tiling.encoding import decode_png
from tests.knowlip.benchmark.published import chip, class_folders, coco_file, raster, voc_file


def listed(root: Path, layout: Layout, *, skip: bool = False, **options: object) -> tuple[Listing, Faults]:
    faults = Faults(skip)
    return list_folder(root, layout, LayoutOptions.model_validate(options), faults), faults


def corners(listing: Listing, name: str) -> list[tuple[str, float, float, float, float]]:
    entry = next(entry for entry in listing.entries if entry.name == name)
    return [(box.category, box.xmin, box.ymin, box.xmax, box.ymax) for box in entry.boxes or ()]


class TestClassFolders:
    def test_a_folder_is_a_class(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path)
        (root / "groups.json").write_text(json.dumps({"A220/000.png": 7, "A330/001.png": 7}))
        listing, _ = listed(root, "class-folders")
        assert (listing.task, listing.classes, len(listing.entries)) == ("classification", ("A220", "A330"), 20)
        by_name = {entry.name: entry for entry in listing.entries}
        assert by_name["A330/001.png"].label == "A330"
        assert by_name["A330/001.png"].group == by_name["A220/000.png"].group == "7"
        assert by_name["A220/001.png"].group == ""

    def test_categories_hold_kinds_and_splits_hold_categories(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            for name in ("Cargo/BulkCarrier", "Tanker/OilTanker"):
                chip(tmp_path / split / name / "Ship_C01S01N0001.png", seed=len(name))
        coarse, _ = listed(tmp_path, "class-folders")
        fine, _ = listed(tmp_path, "class-folders", label_depth=2)
        assert coarse.classes == ("Cargo", "Tanker")
        assert fine.classes == ("BulkCarrier", "OilTanker")
        assert Counter(entry.split for entry in fine.entries) == {"train": 2, "test": 2}

    def test_opensarship_names_its_classes(self, tmp_path: Path) -> None:
        for number, name in enumerate(("Visual_Cargo_x10615_y4996_VH.png", "Tanker_x6945_y4168.png")):
            chip(tmp_path / name, seed=number)
        listing, _ = listed(tmp_path, "opensarship")
        assert listing.classes == ("cargo", "tanker")

    def test_bad_sets_are_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is no folder; give the data set's folder"):
            listed(tmp_path / "nowhere", "class-folders")
        root = class_folders(tmp_path / "set")
        (root / "A400").mkdir()
        with pytest.raises(DataError, match="A400: is a class without images"):
            listed(root, "class-folders")
        chip(root / "stray.png")
        listing, faults = listed(root, "class-folders", skip=True)
        assert len(listing.entries) == 20
        assert faults.counts == {"empty_class": 1, "no_label": 1}

    def test_a_damaged_image(self, tmp_path: Path) -> None:
        root = class_folders(tmp_path)
        (root / "A220" / "000.png").write_bytes(b"no image")
        listing, _ = listed(root, "class-folders")
        with pytest.raises(DataError, match=r"000\.png: is no image that can be read") as caught:
            load(listing.entries[0], None)
        assert "\n" not in str(caught.value)


def coco_set(root: Path, **changes: object) -> Path:
    """Three images in two splits, as HRSID has it: a file for each and one for both."""
    images = [{"id": n, "file_name": f"{n:06d}.jpg", "width": 48, "height": 40} for n in (1, 2, 3)]
    boxes = [
        {"id": 10, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 5]},
        {"id": 11, "image_id": 1, "category_id": 2, "bbox": [20, 20, 4, 4], "iscrowd": 0},
        {"id": 12, "image_id": 3, "category_id": 1, "bbox": [40, 30, 8.4, 10.6]},
        {"id": 13, "image_id": 3, "category_id": 1, "bbox": [0, 0, 48, 40], "iscrowd": 1},
    ]
    boxes[0] |= changes
    for image in images:
        chip(root / "JPEGImages" / image["file_name"], seed=image["id"])
    coco_file(root / "annotations" / "train2017.json", images[:2], boxes[:2], ("ship", "vessel"))
    coco_file(root / "annotations" / "test2017.json", images[2:], boxes[2:], ("ship", "vessel"))
    coco_file(root / "annotations" / "train_test2017.json", images, boxes, ("ship", "vessel"))
    return root


class TestCoco:
    def test_splits_lie_in_files(self, tmp_path: Path) -> None:
        listing, faults = listed(coco_set(tmp_path), "coco")
        assert (listing.task, listing.classes, faults.lines) == ("detection", ("ship", "vessel"), [])
        assert [entry.split for entry in listing.entries] == ["train", "train", "test"]
        assert corners(listing, "JPEGImages/000001.jpg") == [("ship", 2, 3, 12, 8), ("vessel", 20, 20, 24, 24)]
        assert corners(listing, "JPEGImages/000002.jpg") == []
        row = load(listing.entries[2], None).row()
        # What reaches over the edge by rounding is cut; crowds are no targets.
        assert row["boxes"] == [{"category": "ship", "xmin": 40, "ymin": 30, "xmax": 48, "ymax": 40}]

    def test_ssdd_keeps_files_of_one_name_apart(self, tmp_path: Path) -> None:
        for split, seed in (("train", 1), ("test", 2)):
            image = {"id": 1, "file_name": "000001.jpg", "width": 48, "height": 40}
            box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [seed, 1, 9, 9]}
            chip(tmp_path / "images" / split / "000001.jpg", seed=seed)
            coco_file(tmp_path / "annotations" / f"{split}.json", [image], [box], ("ship",))
            if split == "test":
                coco_file(tmp_path / "annotations" / "test_inshore.json", [image], [box], ("ship",))
        listing, _ = listed(tmp_path, "coco")
        assert [(entry.name, entry.split) for entry in listing.entries] == [
            ("images/test/000001.jpg", "test"),
            ("images/train/000001.jpg", "train"),
        ]

    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            ({"image_id": 9}, "missing_image", "annotation 10: names the image 9, which is not listed"),
            ({"category_id": 9}, "annotation", "annotation 10: has no box of a declared category"),
            ({"bbox": [2, 3, 10]}, "annotation", "annotation 10: has no box"),
        ],
    )
    def test_bad_annotations(self, tmp_path: Path, change: dict[str, object], code: str, message: str) -> None:
        root = coco_set(tmp_path, **change)
        with pytest.raises(DataError, match=message):
            listed(root, "coco")
        listing, faults = listed(root, "coco", skip=True)
        assert faults.counts == {code: 1}
        assert [len(entry.boxes or ()) for entry in listing.entries] == [1, 0, 1]

    @pytest.mark.parametrize("part", ["image_id", "category_id", "bbox"])
    def test_an_annotation_that_lacks_a_part(self, tmp_path: Path, part: str) -> None:
        file = coco_set(tmp_path) / "annotations" / "train2017.json"
        held = json.loads(file.read_text())
        del held["annotations"][0][part]
        file.write_text(json.dumps(held))
        with pytest.raises(DataError, match=f"annotation 10: .*'{part}'"):
            listed(tmp_path, "coco")
        listing, faults = listed(tmp_path, "coco", skip=True)
        assert faults.counts == {"annotation": 1}
        assert [len(entry.boxes or ()) for entry in listing.entries] == [1, 0, 1]

    @pytest.mark.parametrize("change", [{"height": None}, {"width": "wide"}, {"height": [40]}])
    def test_an_image_whose_size_is_none(self, tmp_path: Path, change: dict[str, object]) -> None:
        file = coco_set(tmp_path) / "annotations" / "train2017.json"
        held = json.loads(file.read_text())
        held["images"][0] |= change
        file.write_text(json.dumps(held))
        with pytest.raises(DataError, match=r"train2017\.json: an image has no id, name or size"):
            listed(tmp_path, "coco")
        listing, faults = listed(tmp_path, "coco", skip=True)
        assert faults.counts == {"annotation": 1}
        assert [entry.name for entry in listing.entries] == ["JPEGImages/000002.jpg", "JPEGImages/000003.jpg"]

    @pytest.mark.parametrize(
        ("box", "message"),
        [([40, 3, 20, 5], "box ship .* reaches outside the image of 48 × 40"), ([2, 3, 0, 5], "has no area")],
    )
    def test_bad_boxes(self, tmp_path: Path, box: list[int], message: str) -> None:
        listing, _ = listed(coco_set(tmp_path, bbox=box), "coco")
        with pytest.raises(DataError, match=message):
            load(listing.entries[0], None)

    def test_an_image_that_is_not_there(self, tmp_path: Path) -> None:
        root = coco_set(tmp_path)
        (root / "JPEGImages" / "000002.jpg").unlink()
        with pytest.raises(DataError, match=r"train2017.json, image 2: names the image '000002.jpg', which is not"):
            listed(root, "coco")
        listing, faults = listed(root, "coco", skip=True)
        assert len(listing.entries) == 2
        assert faults.counts == {"missing_image": 1}

    def test_an_image_of_another_size(self, tmp_path: Path) -> None:
        root = coco_set(tmp_path)
        chip(root / "JPEGImages" / "000001.jpg", size=(60, 60))
        listing, _ = listed(root, "coco")
        with pytest.raises(DataError, match="is 60 × 60 and annotated as 48 × 40"):
            load(listing.entries[0], None)

    def test_an_image_in_two_splits(self, tmp_path: Path) -> None:
        root = coco_set(tmp_path)
        (root / "annotations" / "val.json").write_text((root / "annotations" / "test2017.json").read_text())
        with pytest.raises(DataError, match="lies in val and in test"):
            listed(root, "coco")

    def test_what_is_no_coco(self, tmp_path: Path) -> None:
        chip(tmp_path / "a.png")
        with pytest.raises(DataError, match="0 annotation files"):
            listed(tmp_path, "coco")
        for text in ("[]", '{"images": [], "annotations": [], "categories": [{"id": 1}]}'):
            (tmp_path / "annotations.json").write_text(text)
            with pytest.raises(DataError, match=r"annotations\.json: is no COCO JSON"):
                listed(tmp_path, "coco")


class TestVoc:
    def test_image_sets_and_folders_split(self, tmp_path: Path) -> None:
        for name in ("0000001", "0000002"):
            chip(tmp_path / "JPEGImages" / f"{name}.jpg", seed=int(name))
            voc_file(tmp_path / "Annotations" / f"{name}.xml", [("A220", 1, 2, 11, 12)])
        (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
        (tmp_path / "ImageSets" / "Main" / "test.txt").write_text("0000002\n")
        chip(tmp_path / "JPEGImages_train" / "0000009.jpg", seed=9)
        voc_file(tmp_path / "Annotations_train" / "0000009.xml", [])
        listing, _ = listed(tmp_path, "voc")
        assert [entry.split for entry in listing.entries] == [None, "test", "train"]
        assert corners(listing, "JPEGImages/0000001.jpg") == [("A220", 1, 2, 11, 12)]
        assert listing.entries[0].shape == (40, 48)

    def test_bad_annotations(self, tmp_path: Path) -> None:
        chip(tmp_path / "JPEGImages" / "1.jpg")
        voc_file(tmp_path / "Annotations" / "1.xml", [("ship", 1, 1, 9, 9)])
        voc_file(tmp_path / "Annotations" / "2.xml", [("ship", 1, 1, 9, 9)])
        with pytest.raises(DataError, match=r"Annotations/2\.xml: names the image '2\.jpg', which is not there"):
            listed(tmp_path, "voc")
        (tmp_path / "Annotations" / "3.xml").write_text("<annotation><object></annotation>")
        listing, faults = listed(tmp_path, "voc", skip=True)
        assert len(listing.entries) == 1
        assert faults.counts == {"missing_image": 1, "annotation": 1}


def colours(*rows: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array(rows, np.uint8).repeat(20, 0).repeat(24, 1)


class TestMasks:
    def test_images_beside_masks(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            chip(tmp_path / "images" / split / "a.png", size=(4, 6))
            (tmp_path / "masks" / split).mkdir(parents=True)
            Image.fromarray(np.array([[0, 0, 3, 3, 5, 5]] * 4, np.uint8)).save(tmp_path / "masks" / split / "a.png")
        with pytest.raises(DataError, match="does not say what its label values mean"):
            listed(tmp_path, "image-mask")
        (tmp_path / "legend.json").write_text('{"0": null, "5": "water", "3": "road"}')
        listing, _ = listed(tmp_path, "image-mask")
        assert (listing.task, listing.classes) == ("segmentation", ("water", "road"))
        assert [(entry.name, entry.split) for entry in listing.entries] == [
            ("images/test/a.png", "test"),
            ("images/train/a.png", "train"),
        ]
        assert decode_png(load(listing.entries[0], listing.legend).row()["mask"])[0].tolist() == [0, 0, 2, 2, 1, 1]

    def test_fusar_map_is_coloured(self, tmp_path: Path) -> None:
        chip(tmp_path / "SAR_1024" / "JiuJiang_01_01_01_01_SAR_001.png")
        mask = colours([(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 0)])
        raster(tmp_path / "LAB_1024" / "JiuJiang_01_01_01_01_LAB_001.tif", np.moveaxis(mask, 2, 0))
        listing, _ = listed(tmp_path, "fusar-map")
        assert listing.classes == ("background", "building", "vegetation", "water", "road")
        codes = load(listing.entries[0], listing.legend).codes
        assert codes is not None
        assert codes[::20, ::24].tolist() == [[2, 3], [4, 5]]

    def test_air_polarsar_seg_lies_in_sets(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).gamma(4, 200, (1, 40, 48)).astype(np.uint16)
        for split in ("train_set", "test_set"):
            for polarisation in ("HH", "HV", "VV"):
                raster(tmp_path / split / f"AIR-PolarSAR-Seg-1_{polarisation}.tiff", pixels)
            mask = colours([(0, 0, 255), (0, 255, 255)], [(255, 255, 255), (0, 0, 0)])
            Image.fromarray(mask).save(tmp_path / split / "AIR-PolarSAR-Seg-1_gt.png")
        listing, _ = listed(tmp_path, "air-polarsar-seg")
        assert [entry.split for entry in listing.entries] == ["test", "train"]
        loaded = load(listing.entries[0], listing.legend)
        assert loaded.codes is not None
        assert loaded.codes[::20, ::24].tolist() == [[1, 4], [5, 0]]
        assert loaded.pixels.max() > 200  # 16-bit amplitudes are scaled to 8 bit
        Image.fromarray(mask + np.uint8(1)).save(tmp_path / "test_set" / "AIR-PolarSAR-Seg-1_gt.png")
        with pytest.raises(DataError, match="unknown label value #010000"):
            load(listing.entries[0], listing.legend)

    def test_bad_masks(self, tmp_path: Path) -> None:
        decibels = np.random.default_rng(0).normal(-12, 3, (2, 40, 48)).astype(np.float32)
        for name in ("a", "b", "c"):
            raster(tmp_path / f"{name}_S1Hand.tif", decibels)
        raster(tmp_path / "a_LabelHand.tif", np.full((1, 40, 48), 2, np.int16))
        raster(tmp_path / "b_LabelHand.tif", np.full((1, 40, 47), 1, np.int16))
        with pytest.raises(DataError, match=r"c_S1Hand\.tif: has no mask \(looked for c_labelhand\)"):
            listed(tmp_path, "sen1floods11")
        listing, faults = listed(tmp_path, "sen1floods11", skip=True)
        assert faults.counts == {"missing_mask": 1}
        with pytest.raises(DataError, match=r"unknown label value 2; the legend knows -1, 0, 1"):
            load(listing.entries[0], listing.legend)
        with pytest.raises(DataError, match="a mask of 47 × 40 on an image of 48 × 40"):
            load(listing.entries[1], listing.legend)


def test_padding_keeps_the_scale() -> None:
    pixels = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    wide = padded(pixels, 7)
    assert wide[2:5, 1:5].tolist() == pixels.tolist()
    assert wide.sum() == pixels.sum()
    assert padded(pixels, 2).tolist() == [[6, 7], [10, 11]]


class TestRealFiles:
    def test_sar_acd(self, knowlip_data: Path) -> None:
        listing, _ = listed(knowlip_data / "sar_acd", "class-folders")
        counts = Counter(entry.label for entry in listing.entries)
        assert sum(counts.values()) == 3032
        assert counts["Boeing737"] == 528
        assert len({entry.group for entry in listing.entries}) == 696
        assert {entry.fold for entry in listing.entries} == {0, 1, 2, 3, 4}
        assert load(listing.entries[0], None).pixels.ndim == 2

    def test_opensarship(self, knowlip_data: Path) -> None:
        listing, _ = listed(knowlip_data / "ships", "class-folders")
        assert (len(listing.entries), len(listing.classes)) == (843, 5)

    def test_ssdd(self, knowlip_data: Path) -> None:
        listing, _ = listed(knowlip_data / "detection" / "ssdd_mini", "coco")
        boxes = [load(entry, None).boxes or () for entry in listing.entries]
        assert (len(boxes), sum(map(len, boxes)), listing.classes) == (15, 47, ("ship",))

    def test_sar_aircraft(self, knowlip_data: Path, tmp_path: Path) -> None:
        source = knowlip_data / "detection" / "sar_aircraft"
        listing, _ = listed(source, "coco")
        assert [len(load(entry, None).boxes or ()) > 0 for entry in listing.entries] == [True] * 9
        # All 16,463 boxes belong to declared images and lie within them; the images themselves are not needed for that.
        held = json.loads((source / "annotations_all.json").read_text())
        (tmp_path / "images").mkdir()
        for image in held["images"]:
            (tmp_path / "images" / image["file_name"]).touch()
        (tmp_path / "annotations.json").write_text(json.dumps(held))
        whole, faults = listed(tmp_path, "coco")
        assert (len(whole.entries), sum(len(entry.boxes or ()) for entry in whole.entries)) == (4368, 16463)
        assert len(whole.classes) == 7
        assert faults.lines == []

    def test_land_cover(self, knowlip_data: Path) -> None:
        listing, _ = listed(knowlip_data / "segmentation" / "terramind", "terramind-lulc")
        loaded = [load(entry, listing.legend) for entry in listing.entries]
        assert [one.pixels.shape for one in loaded] == [(224, 224)] * 5
        assert {int(code) for one in loaded for code in np.unique(one.codes)} == {1, 2, 3, 4, 5, 6, 7, 9}
        assert all(np.median(one.pixels) > 20 for one in loaded)  # decibels became amplitudes that show something

    def test_floods(self, knowlip_data: Path) -> None:
        listing, _ = listed(knowlip_data / "segmentation" / "sen1floods11", "sen1floods11")
        one = load(listing.entries[0], listing.legend, band=2)
        assert one.codes is not None
        water, land = one.pixels[one.codes == 2], one.pixels[one.codes == 1]
        assert np.median(water) < np.median(land)  # open water is dark
