"""A workspace on a store that fails: what is asked for is done once it answers, and nothing is seen half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pytest

from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace
from tests.flaky_store import FlakyStore, Request, flaky_bucket, well_behaved

LARGE = os.urandom(24_000_000)
"""Three parts of a multipart upload."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[FlakyStore, str, dict[str, str]]]:
    with flaky_bucket() as made:
        yield made


@pytest.fixture
def store(bucket, monkeypatch) -> Iterator[FlakyStore]:
    flaky, _, environment = bucket
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    flaky.done.clear()
    flaky.requests = 0
    yield flaky
    flaky.misdeed = well_behaved


@pytest.fixture
def workspace(bucket, store, request) -> Workspace:
    return Workspace(f"{bucket[1]}/{request.node.name.translate(str.maketrans('[]', '--'))}")


@pytest.mark.parametrize("misdeed", ["throttle", "reset", "cut"])
def test_a_request_that_fails_is_made_again(workspace, store, misdeed):
    store.misdeed = lambda request: misdeed if request.number % 3 == 1 else None
    table = pa.table({"tile_id": ["a", "b"], "value": [1.0, 2.0]})
    workspace.write_table(table, "tiles", "a.parquet")
    workspace.write_bytes(b"{}", "tiles", "manifest.json")
    assert workspace.files("tiles") == ["a.parquet"]
    assert workspace.read_table("tiles").equals(table)
    assert workspace.read_bytes("tiles", "manifest.json") == b"{}"
    assert workspace.exists("tiles", "a.parquet")
    workspace.delete("tiles", "a.parquet")
    assert not workspace.exists("tiles", "a.parquet")
    assert store.done[misdeed] >= 3


def test_a_multipart_upload_that_is_cut_in_the_middle_is_taken_up_again(workspace, store):
    cut = []

    def once_a_part(request: Request) -> str | None:
        if request.method == "PUT" and "partNumber" in request.path and request.path not in cut:
            cut.append(request.path)
            return "cut"
        return None

    store.misdeed = once_a_part
    workspace.write_bytes(LARGE, "index", "large.bin")
    assert len(cut) >= 2, "it was not uploaded in parts"
    assert workspace.read_bytes("index", "large.bin") == LARGE


def test_an_upload_that_never_completes_is_never_seen(workspace, store):
    impatient = Workspace(workspace.root, tries=1)
    workspace.write_bytes(b"older", "index", "small.bin")
    for data in (b"newer", LARGE):
        store.misdeed = lambda request: "cut" if request.method == "PUT" else None
        with pytest.raises(WorkspaceError, match="could not be written") as told:
            impatient.write_bytes(data, "index", "small.bin")
        assert told.value.code == "unreachable"
        store.misdeed = well_behaved
        assert workspace.read_bytes("index", "small.bin") == b"older"


def test_a_writer_that_dies_halfway_leaves_nothing(workspace, store):
    """Closing an upload completes it, so a writer's exception must not close one."""

    rows = pa.table({"value": pa.array([1, 2, 3])})
    with pytest.raises(TypeError):
        workspace.write_table(rows, "tiles", "a.parquet", row_group_size="many")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        workspace.write_bytes("no bytes", "tiles", "b.bin")  # type: ignore[arg-type]
    assert not workspace.exists("tiles")


def test_credentials_in_a_uri_are_refused():
    with pytest.raises(WorkspaceError, match="must hold no credentials"):
        Workspace("s3://key:secret@bucket/prefix").exists("tiles")
    with pytest.raises(WorkspaceError, match="unknown options colour"):
        Workspace("s3://bucket/prefix?colour=red").exists("tiles")


@pytest.mark.slow
def test_an_outage_of_twenty_seconds_is_waited_for(workspace, store):
    store.go_away(20)
    workspace.write_bytes(b"1", "tiles", "a.bin")
    store.go_away(20)
    assert workspace.read_bytes("tiles", "a.bin") == b"1"
    assert store.done["away"] > 2
