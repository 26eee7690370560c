"""The dataset job: from a folder as published to examples, splits and a card; what is bad stops it or is counted."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from jobs.dataset import DatasetSettings, dataset
from jobs.language import LanguageSettings, language
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.splits import SplitChoice, read_split
from knowlip.errors import DataError, WorkspaceError
from knowlip.records import EXAMPLES
from knowlip.tiling.encoding import decode_png
from knowlip.workspace import Workspace
from tests.knowlip.benchmark.published import chip, class_folders, coco_file

pytestmark = pytest.mark.ray


def test_a_folder_becomes_a_data_set(workspace_root: str, tmp_path: Path, ray_cluster: None) -> None:
    root, workspace = class_folders(tmp_path / "set", each=12), Workspace(workspace_root)
    pixels = chip(root / "A220" / "copy.png", seed=0)  # A220/000.png again …
    chip(root / "A330" / "clash.png", seed=1)  # … and A220/001.png under another name
    settings = DatasetSettings(source=str(root), layout="class-folders", name="chips", workspace=workspace.root)
    assert dataset(settings.model_copy(update={"dry_run": True})).counts["images"] == 26
    assert not workspace.exists("datasets")

    summary = dataset(settings)
    table = workspace.read_table("datasets/chips")
    assert table.schema.remove_metadata().equals(EXAMPLES.remove_metadata())
    rows = {row["example_id"]: row for row in table.to_pylist()}
    assert len(rows) == summary.counts["examples"] == 26
    assert rows["A330/003.png"]["label"] == "A330"
    assert (decode_png(rows["A220/copy.png"]["view"]) == pixels).all()
    splits = defaultdict(set)
    for row in rows.values():
        splits[row["group"]].add(row["split"])
    assert len(splits) == summary.counts["groups"] == 24
    assert all(len(held) == 1 for held in splits.values())

    card = DatasetCard.read(workspace, "chips")
    assert (card.task, card.classes, card.counts) == ("classification", ("A220", "A330"), {"A220": 13, "A330": 13})
    assert card.conflicts == ((("A220/001.png", "A220"), ("A330/clash.png", "A330")),)
    grouped = read_split(workspace, "datasets/chips", "grouped", sha256=card.splits["grouped"])
    assert grouped.members(SplitChoice()) == {name: row["split"] for name, row in rows.items()}

    assert dataset(settings).counts == summary.counts  # done before
    with pytest.raises(WorkspaceError, match="other settings"):
        dataset(settings.model_copy(update={"seed": 1}))


def test_what_is_bad_stops_or_is_counted(workspace_root: str, tmp_path: Path, ray_cluster: None) -> None:
    root, workspace = class_folders(tmp_path / "set", each=12), Workspace(workspace_root)
    (root / "A330" / "000.png").write_bytes(b"")
    chip(root / "lonely" / "one.png", seed=77)  # one example cannot be both trained on and tested
    settings = DatasetSettings(source=str(root), layout="class-folders", name="chips", workspace=workspace.root)
    with pytest.raises(Exception, match=r"000\.png: is no image that can be read"):
        dataset(settings)
    assert not workspace.exists("datasets", "chips", "manifest.json")
    summary = dataset(settings.model_copy(update={"skip_bad": True}))
    assert (summary.counts["set aside: unreadable"], summary.counts["set aside: missing_class"]) == (1, 1)
    assert summary.counts["examples"] == 23
    assert any("class 'lonely' is missing from" in line for line in summary.set_aside)
    (root / "A330" / "000.png").unlink()
    with pytest.raises(DataError, match="class 'lonely' is missing from"):
        dataset(settings.model_copy(update={"name": "again"}))
    with pytest.raises(DataError, match="the set has no split 'published'; use one of random, grouped"):
        dataset(settings.model_copy(update={"name": "third", "split": SplitChoice(scheme="published")}))


def test_language_follows_from_boxes(workspace_root: str, tmp_path: Path, ray_cluster: None) -> None:
    images, boxes = [], []
    for number in range(1, 16):
        chip(tmp_path / "images" / f"{number}.png", seed=number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 48, "height": 40})
        corners = [[2, 2, 8, 8], [36, 2, 8, 8], [20, 16, 8, 8]][: number % 4]
        boxes += [
            {"id": len(boxes) + i, "image_id": number, "category_id": 1, "bbox": c} for i, c in enumerate(corners)
        ]
    coco_file(tmp_path / "annotations.json", images, boxes, ("ship",))
    workspace = Workspace(workspace_root)
    common = {"workspace": workspace.root}
    dataset(DatasetSettings(source=str(tmp_path), layout="coco", name="boats", **common))
    language(LanguageSettings(of="boats", task="captioning", **common))
    summary = language(LanguageSettings(of="boats", task="vqa", **common))

    boats = {row["example_id"]: row for row in workspace.read_table("datasets/boats").to_pylist()}
    said = workspace.read_table("datasets/boats-captioning").to_pylist()
    assert {row["tile_id"] for row in said} == {name for name, row in boats.items() if row["boxes"]}
    asked = workspace.read_table("datasets/boats-vqa").to_pylist()
    for row in [*said, *asked]:
        source = boats[row["tile_id"]]
        assert (row["split"], row["group"]) == (source["split"], source["group"])
        if row["kind"] == "count":
            assert row["answer"] == str(len(source["boxes"]))
        if row["texts"]:
            assert len(set(row["texts"])) == 5
    card = DatasetCard.read(workspace, "boats-vqa")
    assert set(card.counts) == {"count", "category", "region"}
    assert summary.counts["majority_accuracy"] == card.floors["majority_accuracy"]
    assert 0 < card.balance["count"]["evenness"] <= 1
    members = read_split(workspace, "datasets/boats-vqa", "grouped", sha256=card.splits["grouped"]).members(
        SplitChoice()
    )
    assert members == {row["example_id"]: row["split"] for row in asked}
    with pytest.raises(DataError, match="is for vqa; give a set with boxes or masks"):
        language(LanguageSettings(of="boats-vqa", **common))
