from __future__ import annotations

import shutil

import numpy as np
import pytest

import models
from jobs.embedding import EmbedTiles
from jobs.index import IndexSettings, _version, index
from knowlip.archive import Archive, Version
from knowlip.errors import CheckpointError, WorkspaceError
from knowlip.manifest import Manifest
from knowlip.workspace import Workspace

pytestmark = pytest.mark.ray


@pytest.fixture
def workspace(workspace_root, write_tiles, tiny_checkpoint):
    workspace = Workspace(workspace_root)
    write_tiles(workspace, "los", count=9)
    write_tiles(workspace, "san", count=7, lon=-98.5)
    shutil.copytree(tiny_checkpoint, workspace.local("runs/pretrain/checkpoint"))
    return workspace


def listing(archive):
    return sorted(entry.tile_id for entry in archive.browse(limit=1000))


def test_a_run_that_ended_halfway_goes_on_and_new_tiles_are_appended(
    ray_cluster, workspace, write_tiles, tiny_checkpoint
):
    settings = IndexSettings(workspace=workspace.root, batch_size=4)
    # One file is embedded and nothing loaded, as after a kill; it is not embedded again.
    EmbedTiles(workspace, _version(workspace, settings), batch_size=8, device="cpu")({"item": "los.parquet"})
    assert Version.current(workspace) is None
    summary = index(settings)
    assert summary.counts == {
        "tiles in the index": 16,
        "tiles embedded now": 7,
        "tiles added or renewed": 16,
    }
    tiles = workspace.read_table("tiles", columns=["tile_id", "view"]).to_pylist()
    archive = Archive.open(workspace)
    assert listing(archive) == sorted(tile["tile_id"] for tile in tiles)
    model = models.load(tiny_checkpoint)
    for tile in tiles[::5]:
        query = model.encode_image([tile["view"]])[0]
        np.testing.assert_allclose(archive.search(query, 3)[0].score, 1.0, atol=1e-4)
    manifest = Manifest.read(workspace, "index")
    assert manifest.settings["run"] == "pretrain"
    assert set(manifest.inputs) == {"tiles", "captions", "runs/pretrain/checkpoint"}

    again = index(settings)
    assert (again.counts["tiles embedded now"], again.counts["tiles added or renewed"]) == (0, 0)
    assert Manifest.read(workspace, "index").made_at == manifest.made_at

    write_tiles(workspace, "new", count=3, lon=5.0)
    assert index(settings.revised(dry_run=True)).counts == {"files to embed": 1, "tiles to embed": 3}
    appended = index(settings)
    assert (appended.counts["tiles embedded now"], appended.counts["tiles in the index"]) == (3, 19)
    ids = listing(Archive.open(workspace))
    assert len(ids) == len(set(ids)) == 19


def test_tiles_that_were_screened_or_cut_again_are_embedded_again(ray_cluster, workspace, write_tiles, tiny_checkpoint):
    settings = IndexSettings(workspace=workspace.root)
    index(settings)
    whole = workspace.read_table("tiles", "san.parquet")
    workspace.write_table(whole.slice(0, 5), "tiles", "san.parquet")
    set_aside = index(settings)
    assert (set_aside.counts["tiles in the index"], set_aside.counts["tiles embedded now"]) == (14, 5)
    workspace.write_table(whole, "tiles", "san.parquet")
    back = index(settings)
    assert (back.counts["tiles in the index"], back.counts["tiles embedded now"]) == (16, 7)
    write_tiles(workspace, "san", count=7, lon=-98.5, side=48)
    assert index(settings.revised(dry_run=True)).counts == {"files to embed": 1, "tiles to embed": 7}
    index(settings)
    model, archive = models.load(tiny_checkpoint), Archive.open(workspace)
    tiles = workspace.read_table("tiles", "san.parquet", columns=["tile_id", "view"]).to_pylist()
    for tile, made in zip(tiles, model.encode_image([tile["view"] for tile in tiles]), strict=True):
        np.testing.assert_allclose(archive.vector(tile["tile_id"]), made, atol=1e-5)


def test_as_many_views_go_through_the_model_at_once_as_are_asked_for(workspace, write_tiles, monkeypatch):
    sizes = []
    encode = models.KnowLIP.encode_image

    def watched(network, image_BCHW):
        sizes.append(len(image_BCHW))
        return encode(network, image_BCHW)

    monkeypatch.setattr(models.KnowLIP, "encode_image", watched)
    write_tiles(workspace, "many", count=90)
    version = _version(workspace, IndexSettings(workspace=workspace.root))
    EmbedTiles(workspace, version, batch_size=80, device="cpu")({"item": "many.parquet"})
    assert sizes == [80, 10]


def test_weights_that_were_replaced_meanwhile_embed_nothing(workspace):
    version = _version(workspace, IndexSettings(workspace=workspace.root))
    place = workspace.local(version.checkpoint, "preprocessing.json")
    place.write_text(place.read_text().replace('"mean": 0.35', '"mean": 0.4'))
    with pytest.raises(CheckpointError, match=f"was made by checkpoint {version.digest} .*, not by"):
        EmbedTiles(workspace, version, batch_size=8, device="cpu")({"item": "los.parquet"})
    assert workspace.files(version.vectors) == []


@pytest.mark.slow
def test_another_checkpoint_builds_beside_and_is_switched_to(ray_cluster, workspace, tiny_checkpoint):
    settings = IndexSettings(workspace=workspace.root)
    first = _version(workspace, settings)
    for name in workspace.files("tiles"):
        EmbedTiles(workspace, first, batch_size=8, device="cpu")({"item": name})
    index(settings)
    other = workspace.local("runs/other/checkpoint")
    shutil.copytree(tiny_checkpoint, other)
    config = other / "preprocessing.json"
    config.write_text(config.read_text().replace('"mean": 0.35', '"mean": 0.4'))
    held_open = Archive.open(workspace)
    index(settings.revised(run="other"))
    second = Version.current(workspace)
    assert first.digest != second.digest
    assert second.checkpoint == "runs/other/checkpoint"
    assert len(held_open) == len(Archive.open(workspace)) == 16
    with pytest.raises(CheckpointError, match="was made by checkpoint"):
        Archive.open(workspace, checkpoint=first.digest)


def test_what_is_missing_is_one_line(workspace, tmp_path):
    with pytest.raises(CheckpointError, match=r"runs/nobody/checkpoint: holds no checkpoint; train one"):
        index(IndexSettings(workspace=workspace.root, run="nobody"))
    with pytest.raises(WorkspaceError, match="run the job that makes tiles first"):
        index(IndexSettings(workspace=str(tmp_path)))
