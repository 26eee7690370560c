"""A file is there whole or not at all, on a disk and on an object store alike."""

import pickle
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pds
import pytest

from knowlip.errors import WorkspaceError
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]

TABLE = pa.table({"key": ["a", "b", "c"], "value": [1, 2, 3]})


@pytest.fixture
def bucket(monkeypatch):
    """A bucket on a real S3 server of the test's own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    # The server's buckets outlive it within a process, so each test has a bucket of its own.
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}/some/prefix"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def workspace(request, tmp_path):
    root = str(tmp_path / "with a space") if request.param == "disk" else request.getfixturevalue("bucket")
    return Workspace(root)


def test_what_is_written_is_read_and_listed(workspace):
    workspace.write_table(TABLE, "tiles", "b.parquet")
    workspace.write_table(TABLE.slice(0, 1), "tiles", "a.parquet")
    workspace.write_table(TABLE, "tiles", "_rejected", "a.parquet")
    workspace.write_bytes(b"{}", "tiles", "manifest.json")
    assert workspace.files("tiles") == ["a.parquet", "b.parquet"]
    assert workspace.read_table("tiles").num_rows == 4
    assert workspace.read_table("tiles", "b.parquet", columns=["value"], where=pds.field("key") == "b").to_pydict() == {
        "value": [2]
    }
    assert workspace.read_bytes("tiles", "manifest.json") == b"{}"


def test_what_is_not_there(workspace):
    assert workspace.files("tiles") == []
    assert not workspace.exists("tiles")
    workspace.delete("tiles")
    for read in (workspace.read_table, workspace.read_bytes, workspace.dataset):
        with pytest.raises(WorkspaceError, match="is not there; run the job that makes tiles first"):
            read("tiles")


def test_deleting_files_and_folders(workspace):
    workspace.write_bytes(b"1", "runs", "one", "x.parquet")
    workspace.write_bytes(b"2", "runs", "one", "y.parquet")
    workspace.delete("runs", "one", "x.parquet")
    assert workspace.files("runs", "one") == ["y.parquet"]
    workspace.delete("runs")
    assert not workspace.exists("runs", "one", "y.parquet")


def test_what_two_delete_at_once_is_gone_and_nobody_complains(tmp_path):
    workspace = Workspace(str(tmp_path))
    meeting = threading.Barrier(4)

    def delete(name):
        meeting.wait(10)
        workspace.delete("some", name)

    for number in range(100):
        workspace.write_bytes(b"", "some", str(number))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(delete, [str(number)] * 4))
        assert not workspace.exists("some", str(number))


def test_a_pickled_workspace_finds_the_same_files(workspace):
    workspace.write_bytes(b"1", "notes")
    assert pickle.loads(pickle.dumps(workspace)).read_bytes("notes") == b"1"  # noqa: S301


def test_a_relative_workspace_is_the_same_one_in_a_worker_that_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Workspace("here").write_bytes(b"1", "notes")
    travelled = pickle.dumps(Workspace("here"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(travelled).read_bytes("notes") == b"1"  # noqa: S301


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    workspace = Workspace(str(tmp_path))
    workspace.write_bytes(b"old", "tiles", "a.parquet")

    unwritable = pa.table({"either": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])})
    with pytest.raises(pa.ArrowNotImplementedError):
        workspace.write_table(unwritable, "tiles", "a.parquet")
    assert workspace.read_bytes("tiles", "a.parquet") == b"old"
    assert [path.name for path in (tmp_path / "tiles").iterdir()] == ["a.parquet"]


def test_a_second_run_is_refused_while_the_first_holds_the_artefact(tmp_path):
    workspace = Workspace(str(tmp_path))
    again = workspace.lock("tiles")
    refused = pytest.raises(WorkspaceError, match="another run is writing it")
    with workspace.lock("tiles"), workspace.lock("captions"), refused:
        again.__enter__()
    with workspace.lock("tiles"):
        assert workspace.exists(".locks")


def test_a_root_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "taken").write_text("a file")
    refused = pytest.raises(WorkspaceError, match="cannot be made")
    with refused, Workspace(str(tmp_path / "taken")).lock("tiles"):
        pass


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    script = (
        "import os, signal, sys; from knowlip.workspace import Workspace\n"
        "with Workspace(sys.argv[1]).lock('tiles'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with Workspace(str(tmp_path)).lock("tiles"):
        assert (tmp_path / ".locks" / "tiles").exists()


def test_only_a_disk_has_local_paths(bucket):
    with pytest.raises(WorkspaceError, match="not on a local disk"):
        Workspace(bucket).local("tiles")


def test_an_unknown_scheme_is_one_line():
    with pytest.raises(WorkspaceError, match=r"workspace ftp2://x/y: cannot be opened"):
        Workspace("ftp2://x/y").files("tiles")


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path):
    """In a process that may write no file over 64 KiB."""
    script = (
        "import resource, signal, sys\n"
        "import pyarrow as pa\n"
        "from knowlip.errors import WorkspaceError\n"
        "from knowlip.workspace import Workspace\n"
        "import os\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "workspace = Workspace(sys.argv[1])\n"
        "noise = os.urandom(1 << 20)\n"
        "workspace.write_bytes(b'small', 'tiles', 'fits.bin')\n"
        "for write in (lambda: workspace.write_bytes(noise, 'tiles', 'a.bin'),\n"
        "              lambda: workspace.write_table(pa.table({'x': [noise]}), 'tiles', 'a.parquet')):\n"
        "    try:\n"
        "        write()\n"
        "    except WorkspaceError as error:\n"
        "        print(error.code, error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True, cwd=ROOT / "platform"
    )
    lines = ran.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("disk_full ") and "no room" in line for line in lines)
    assert [path.name for path in (tmp_path / "tiles").iterdir()] == ["fits.bin"]


def test_a_store_that_does_not_answer_is_said(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(WorkspaceError, match="could not be written") as caught:
        Workspace(bucket, tries=1).write_bytes(b"x", "tiles", "a.bin")
    assert caught.value.code == "unreachable"
