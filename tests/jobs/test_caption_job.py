"""The caption job on small pyramids: complete, repeatable, resumable, and never twice."""

from __future__ import annotations

import pytest

from jobs.caption import CaptionSettings, caption
from knowlip.errors import WorkspaceError
from knowlip.manifest import Manifest
from knowlip.records import CAPTIONS, SUBTEXTS
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles

pytestmark = pytest.mark.ray


@pytest.fixture
def tiled(workspace_root: str) -> Workspace:
    workspace = Workspace(workspace_root)
    rows = list(pyramid("one"))
    write_tiles(workspace, rows[:11], "one-0")  # a parent and its children may lie in different strips
    write_tiles(workspace, rows[11:], "one-1")
    write_tiles(workspace, list(pyramid("two", corner=(-117.0, 33.0))), "two-0")
    return workspace


def _texts(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    rows = workspace.read_table("captions").to_pylist()
    assert len({row["tile_id"] for row in rows}) == len(rows)
    return {row["tile_id"]: tuple(row[name] for name in SUBTEXTS) for row in rows}


def test_every_tile_gets_eight_texts_and_its_lineage(tiled: Workspace, ray_cluster: None) -> None:
    summary = caption(CaptionSettings(workspace=tiled.root))
    table = tiled.read_table("captions")
    assert table.schema.equals(CAPTIONS)
    rows = {row["tile_id"]: row for row in table.to_pylist()}
    assert len(rows) == 42 == summary.counts["captions"]
    assert all(row[name] for row in rows.values() for name in SUBTEXTS)
    assert all((row["parent_digest"] is None) == (row["scale"] == "L") for row in rows.values())
    manifest = Manifest.read(tiled, "captions")
    assert manifest is not None
    assert manifest.counts["captions"] == 42


def test_a_second_run_does_nothing_and_a_lost_unit_is_made_again_the_same(tiled: Workspace, ray_cluster: None) -> None:
    settings = CaptionSettings(workspace=tiled.root)
    caption(settings)
    before = _texts(tiled)
    assert caption(settings).counts["units made now"] == 0
    tiled.delete("captions", tiled.files("captions")[0])  # what a kill -9 leaves: a unit that was never published
    assert caption(settings).counts["units made now"] == 1
    assert _texts(tiled) == before


def test_other_settings_are_refused_unless_overwriting(tiled: Workspace, ray_cluster: None) -> None:
    caption(CaptionSettings(workspace=tiled.root))
    before = _texts(tiled)
    with pytest.raises(WorkspaceError, match="other settings"):
        caption(CaptionSettings(workspace=tiled.root, seed=1))
    caption(CaptionSettings(workspace=tiled.root, seed=1, overwrite=True))
    after = _texts(tiled)
    assert after.keys() == before.keys()
    assert after != before


def test_captions_of_tiles_that_are_gone_go_too(tiled: Workspace, ray_cluster: None) -> None:
    settings = CaptionSettings(workspace=tiled.root)
    caption(settings)
    tiled.delete("tiles", "two-0-testtest.parquet")
    caption(settings)
    assert set(_texts(tiled)) == {row["tile_id"] for row in pyramid("one")}


def test_dry_run_counts_and_writes_nothing(tiled: Workspace) -> None:
    summary = caption(CaptionSettings(workspace=tiled.root, dry_run=True))
    assert (summary.counts["tiles L"], summary.counts["tiles M"], summary.counts["tiles S"]) == (2, 8, 32)
    assert not tiled.exists("captions")


def test_without_tiles_one_line_says_what_to_run(workspace_root: str) -> None:
    with pytest.raises(WorkspaceError, match=r"jobs\.tile"):
        caption(CaptionSettings(workspace=workspace_root))
