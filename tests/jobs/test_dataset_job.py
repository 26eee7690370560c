"""The dataset job: from a folder as published to examples, splits and a card; what is bad stops it or is counted."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from jobs.dataset import DatasetSettings, dataset
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.splits import SplitChoice, read_split
from knowlip.errors import DataError, WorkspaceError
from knowlip.records import EXAMPLES
from knowlip.tiling.encoding import decode_png
from knowlip.workspace import Workspace
from tests.knowlip.benchmark.published import chip, class_folders

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
