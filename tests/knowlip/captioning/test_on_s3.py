"""What was paid for is safe on an object store too, and two runs do not pay twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from knowlip.captioning.claim import claimed
from knowlip.captioning.journal import FOLDER, Entry, Journal
from knowlip.captioning.journal_writer import SEAL_S, JournalWriter
from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace


def entry(number: int) -> Entry:
    return Entry(tile_id=f"tile{number}", key=f"key{number}", model="m", prompts="p", status="ok", prompt_tokens=10)


def segments(workspace: Workspace) -> list[str]:
    return workspace.files(*FOLDER, "scene", suffix=".jsonl")


def test_replies_are_sealed_while_the_run_goes_on_and_packed_at_its_end(s3_workspace: Workspace) -> None:
    journal = Journal(s3_workspace)

    async def run() -> None:
        writer = JournalWriter(s3_workspace, seal_s=0.2)
        for number in range(3):
            await writer.append("scene", entry(number))
        until = time.monotonic() + 20
        while not segments(s3_workspace) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        # A kill here would lose nothing.
        assert set(journal.read("scene")) == {"key0", "key1", "key2"}
        await writer.append("scene", entry(3))
        await writer.close()

    asyncio.run(run())
    assert len(segments(s3_workspace)) == 2
    assert SEAL_S <= 10
    journal.pack()
    assert not segments(s3_workspace)
    assert set(Journal(s3_workspace).read("scene")) == {f"key{number}" for number in range(4)}
    assert journal.spent().tokens == 40


def test_a_second_run_is_turned_away_until_the_first_ends_or_dies(s3_workspace: Workspace) -> None:
    with claimed(s3_workspace, "captions"):
        with pytest.raises(WorkspaceError, match="another run"), claimed(s3_workspace, "captions"):
            raise AssertionError("two runs at once")
        with claimed(s3_workspace, "something-else"):
            pass
    with claimed(s3_workspace, "captions"):
        pass
    s3_workspace.write_bytes(b"", ".locks", "captions", "of-a-run-that-was-killed")
    time.sleep(1.1)
    with claimed(s3_workspace, "captions", stale_s=1.0):
        assert s3_workspace.files(".locks", "captions", suffix="") != ["of-a-run-that-was-killed"]
