"""Queries are embedded with the weights that the index was made with, whatever is put in their place."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from knowlip.archive import Archive, Filters, Version
from knowlip.errors import CheckpointError
from knowlip.workspace import Workspace
from serve_apps.encoder import Encoder
from serve_apps.index import Index
from tests.builders import index_tiles


@pytest.fixture
def workspace(workspace_root):
    return Workspace(workspace_root)


@pytest.fixture
def tables(workspace, write_tiles, tiny_checkpoint):
    """Tiles that one checkpoint indexed."""
    tables = {"los": write_tiles(workspace, "los", count=8)}
    index_tiles(workspace, tables, tiny_checkpoint)
    return tables


@pytest.fixture
def other(tiny_checkpoint, tmp_path):
    """Another checkpoint."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, folder)
    place = folder / "preprocessing.json"
    place.write_text(place.read_text().replace('"mean": 0.35', '"mean": 0.9'))
    return folder


def encoder(workspace, version, *, follow_s=0.01):
    return Encoder.func_or_class(workspace, version, follow_s=follow_s, device="cpu", threads=1, batch_size=8)


def test_copies_that_are_started_again_after_an_exchange_begin_with_the_index_in_use(workspace, tables, other):
    first = Version.in_use(workspace)
    index_tiles(workspace, tables, other, run="other")
    second = Version.in_use(workspace)
    again, index = encoder(workspace, first), Index.func_or_class(workspace)
    query = asyncio.run(again.query("ships"))
    assert query.version.digest == second.digest != first.digest
    hits = asyncio.run(index.search(query, 3, Filters()))
    assert hits == Archive.open(workspace, version=second).search(query.vector, 3)
    # Who stays with its index is started again with that one.
    assert encoder(workspace, first, follow_s=0).version() == first
    # So is a copy that cannot have the new one.
    workspace.delete("runs/other/checkpoint", "model.safetensors")
    assert encoder(workspace, first).version() == first


def test_weights_that_did_not_make_the_index_embed_nothing(workspace, tables, other):
    version = Version.in_use(workspace)
    running = encoder(workspace, version)
    workspace.write_folder(other, "runs/pretrain/checkpoint")
    with pytest.raises(CheckpointError, match=f"was made by checkpoint {version.digest} .*, not by") as caught:
        encoder(workspace, version)
    assert "\n" not in str(caught.value)

    async def ask():
        await running.query("ships")
        if running._looking:
            await running._looking
        return await running.query("ships")

    # An index by weights that are replaced before they are loaded: the running one stays with its own.
    version.model_copy(update={"digest": "0123456789abcdef"}).publish(workspace)
    assert asyncio.run(ask()).version == version


def test_only_texts_are_counted(workspace, tables):
    held = encoder(workspace, Version.in_use(workspace))
    image = tables["los"]["view"][0].as_py()

    async def ask():
        return await asyncio.gather(held.texts(["ships in a harbour", "ships"]), held.image(image))

    (long, short), pictured = asyncio.run(ask())
    assert long.tokens > short.tokens > pictured.tokens == 0
