"""The archive on a real S3 server of the test's own."""

from __future__ import annotations

import shutil
import uuid

import numpy as np
import pyarrow as pa
import pytest

from knowlip.archive import (
    Archive,
    Filters,
    Version,
    checkpoint_digest,
    fetched_checkpoint,
    files_to_embed,
    load_units,
    local_checkpoint,
    placed_checkpoint,
    read_picture,
    tiles_digest,
    write_vectors,
)
from knowlip.errors import CheckpointError, WorkspaceError
from knowlip.workspace import Workspace

CHECKPOINT = "runs/pretrain/checkpoint"


@pytest.fixture
def workspace(s3_workspace):
    return s3_workspace


def test_an_archive_is_filled_searched_and_appended_to(workspace, write_tiles):
    version = Version(digest="0123456789abcdef", checkpoint=CHECKPOINT, width=8)
    for name, rows in (("los", 12), ("san", 5)):
        tiles = write_tiles(workspace, name, count=rows)
        vectors = np.random.default_rng(rows).normal(size=(rows, 8)).astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 8)
        table, file = pa.table({"tile_id": tiles["tile_id"], "vector": column}), f"{name}.parquet"
        assert files_to_embed(workspace, version) == [file]
        write_vectors(workspace, version, file, table, source=tiles_digest(workspace, file))
        assert load_units(workspace, version).rows == rows
    assert files_to_embed(workspace, version) == []
    assert load_units(workspace, version).rows == 0
    version.publish(workspace)
    archive = Archive.open(workspace, checkpoint=version.digest)
    assert len(archive) == 17
    best = archive.search(vectors[3], 2, Filters(scales=("S",)))[0]
    assert (best.entry.tile_id, best.score) == ("san-0003", pytest.approx(1.0, abs=1e-5))
    assert read_picture(workspace, best.entry, "view").startswith(b"\x89PNG")


def test_a_checkpoint_is_copied_once(workspace):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint_digest(workspace, CHECKPOINT)
    weights = uuid.uuid4().bytes
    workspace.write_bytes(weights, CHECKPOINT, "model.safetensors")
    workspace.write_bytes(b"{}", CHECKPOINT, "config.json")
    digest = checkpoint_digest(workspace, CHECKPOINT)
    workspace.write_bytes(b'{"when": "now"}', CHECKPOINT, "manifest.json")
    assert checkpoint_digest(workspace, CHECKPOINT) == digest
    folder = fetched_checkpoint(workspace, CHECKPOINT)
    try:
        assert (folder / "model.safetensors").read_bytes() == weights
        (folder / "mark").touch()
        assert (fetched_checkpoint(workspace, CHECKPOINT) / "mark").exists()
    finally:
        shutil.rmtree(folder)


def test_a_checkpoint_is_named_so_that_any_machine_finds_it(workspace, tmp_path, workspace_root):
    with pytest.raises(CheckpointError, match="is no checkpoint folder"):
        placed_checkpoint(workspace, CHECKPOINT)
    for name, data in (("model.safetensors", uuid.uuid4().bytes), ("config.json", b"{}")):
        workspace.write_bytes(data, CHECKPOINT, name)
        (tmp_path / name).write_bytes(data)
    place = placed_checkpoint(workspace, CHECKPOINT)
    assert place == workspace.uri(CHECKPOINT)
    folder = local_checkpoint(place)
    try:
        assert (folder / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
        here = Workspace(workspace_root)
        assert placed_checkpoint(here, place) == place  # that of another workspace
    finally:
        shutil.rmtree(folder)
    assert placed_checkpoint(workspace, str(tmp_path)) == str(tmp_path)
    here.write_folder(tmp_path, CHECKPOINT)
    assert placed_checkpoint(here, CHECKPOINT) == str(here.local(CHECKPOINT))


def test_a_store_that_does_not_answer_is_one_line(workspace, bucket, write_tiles):
    version = Version(digest="0123456789abcdef", checkpoint=CHECKPOINT, width=8)
    tiles = write_tiles(workspace, "los", count=3)
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(24, np.float32)), 8)
    table = pa.table({"tile_id": tiles["tile_id"], "vector": column})
    workspace.write_table(table, version.vectors, "los.parquet")
    load_units(workspace, version)
    archive = Archive.of_version(workspace, version)
    bucket[1].stop()
    with pytest.raises(WorkspaceError, match=r"could not be read .*ask again when the store answers") as caught:
        archive.search(np.ones(8, np.float32), 2)
    assert caught.value.code == "unreachable"
