"""The corpus job: every captioned tile once, by place, rebuilt when its inputs change."""

from __future__ import annotations

import pytest

from jobs.caption import CaptionSettings, caption
from jobs.corpus import CorpusSettings, corpus
from knowlip.errors import SettingsError, WorkspaceError
from knowlip.manifest import Manifest
from knowlip.records import CORPUS, SUBTEXTS
from knowlip.settings import read_settings
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles

pytestmark = pytest.mark.ray


@pytest.fixture
def captions(workspace_root: str, ray_cluster: None) -> Workspace:
    workspace = Workspace(workspace_root)
    for place in range(3):
        write_tiles(workspace, list(pyramid(f"scene{place}", corner=(-118.0 + place, 33.0))), f"scene{place}-0")
    caption(CaptionSettings(workspace=workspace.root))
    return workspace


def _settings(workspace: Workspace, **changes: object) -> CorpusSettings:
    split = {"train": 0.6, "val": 0.2, "test": 0.2}
    return CorpusSettings.model_validate({"workspace": workspace.root, "split": split, "shard_rows": 20, **changes})


def test_pairs_shards_and_a_second_run(captions: Workspace) -> None:
    summary = corpus(_settings(captions))
    table = captions.read_table("corpus")
    assert table.schema.remove_metadata().equals(CORPUS.remove_metadata())
    rows = table.to_pylist()
    ids = [row["tile_id"] for row in rows]
    assert len(ids) == len(set(ids)) == summary.counts["pairs"]
    assert len(ids) + sum(int(line.split()[0]) for line in summary.set_aside) == 63
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    texts = {row["tile_id"]: row for row in captions.read_table("captions").to_pylist()}
    views = {row["tile_id"]: row["view"] for row in captions.read_table("tiles").to_pylist()}
    assert all(row["view"] == views[row["tile_id"]] for row in rows)
    assert all(row[name] == texts[row["tile_id"]][name] for row in rows for name in SUBTEXTS)
    assert len(captions.files("corpus")) == summary.counts["shards"] == -(-len(ids) // 20)
    assert ids != sorted(ids)
    assert "up to date" in corpus(_settings(captions)).title


def test_a_new_scene_rebuilds_and_leaves_nothing_of_the_old(captions: Workspace) -> None:
    corpus(_settings(captions))
    old = set(captions.files("corpus"))
    write_tiles(captions, list(pyramid("scene9", corner=(-100.0, 40.0))), "scene9-0")
    caption(CaptionSettings(workspace=captions.root))
    # A killed run leaves finished shards aside and no manifest: the next one goes on and publishes all of one recipe.
    corpus(_settings(captions))
    fresh = captions.files("corpus")
    assert not old & set(fresh)
    assert len({name.rsplit("-", 1)[1] for name in fresh}) == 1
    ids = captions.read_table("corpus", columns=["tile_id"])["tile_id"].to_pylist()
    assert any(one.startswith("scene9") for one in ids)
    assert len(ids) == len(set(ids))
    manifest = Manifest.read(captions, "corpus")
    assert manifest is not None
    assert set(manifest.inputs) == {"tiles", "captions"}


@pytest.mark.slow
def test_many_shards_are_shuffled_into_the_same_corpus(captions: Workspace) -> None:
    corpus(_settings(captions))
    few = captions.read_table("corpus")
    summary = corpus(_settings(captions, shard_rows=5))
    assert summary.counts["shards"] > 8
    many = captions.read_table("corpus")
    assert many.sort_by("tile_id").equals(few.sort_by("tile_id"))
    assert many["tile_id"].to_pylist() == few["tile_id"].to_pylist()


def test_a_run_that_died_while_building_goes_on(captions: Workspace) -> None:
    undisturbed = _settings(captions)
    corpus(undisturbed)
    whole = captions.read_table("corpus").sort_by("tile_id")
    manifest = Manifest.read(captions, "corpus")
    assert manifest is not None
    names = captions.files("corpus")
    building = f"_building-{manifest.recipe}"
    captions.delete("corpus", "manifest.json")
    first = captions.read_bytes("corpus", names[0])
    for name in names:
        captions.delete("corpus", name)
    captions.write_bytes(first, "corpus", building, "part-00000.parquet")
    captions.write_bytes(first, "corpus", "_building-of-other-settings", "part-00000.parquet")
    corpus(undisturbed)
    assert not captions.exists("corpus", building)
    assert not captions.exists("corpus", "_building-of-other-settings")
    assert captions.read_table("corpus").sort_by("tile_id").equals(whole)
    assert captions.files("corpus") == names


def test_without_captions_one_line_says_what_to_run(workspace_root: str) -> None:
    workspace = Workspace(workspace_root)
    write_tiles(workspace, list(pyramid("one")))
    with pytest.raises(WorkspaceError, match="captions"):
        corpus(CorpusSettings(workspace=workspace.root))


def test_fractions_that_do_not_sum_are_refused() -> None:
    with pytest.raises(SettingsError, match="sum to 1"):
        read_settings(CorpusSettings, ["--split.train", "0.9"], prog="corpus")
