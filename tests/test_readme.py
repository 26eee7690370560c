"""What the README shows is what runs: every shell block, in order, in a copy of the repository with tiny settings."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from ray.util import get_node_ip_address

from jobs.demo import DemoSettings, demo
from knowlip.workspace import Workspace
from tests.builders import free_port
from tests.tiny_road import ARTEFACTS, write_configs

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
REMEMBERED = ("export ", "source ")
HEAD = "ray start --head\n"


class Reader:
    """A person who types the README's blocks into one shell."""

    def __init__(self, folder: Path, environment: dict[str, str], ports: dict[str, int]) -> None:
        self.folder = folder
        self.environment = environment
        self.ports = ports
        self.remembered: list[str] = ["source .venv/bin/activate"]

    def script(self, block: str) -> str:
        for shown, port in self.ports.items():
            block = block.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
        script = "\n".join(["set -euo pipefail", *self.remembered, block])
        self.remembered += [line for line in block.splitlines() if line.startswith(REMEMBERED)]
        return script

    def type(self, block: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self.script(block)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def leaving_open(self, block: str, ready: str, said: str = "") -> Iterator[None]:
        """Type a block that goes on until it is interrupted; wait until it has said so and an address answers."""
        log = self.folder / "open.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                ["bash", "-c", self.script(block)],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + 180
            while not (said in log.read_text() and _answers(ready)):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.5)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(address: str) -> bool:
    """Whether a server is up; Ray's dashboard may ask for a token first."""
    try:
        return httpx.get(address, timeout=5).status_code in {200, 401}
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A copy of the repository with tiny settings, an empty home, and one head on which all the commands run."""
    if " " in sys.prefix:
        pytest.skip(
            "with --block, Ray's head ends with its client server, which a space in the path keeps from starting"
        )
    folder = tmp_path_factory.mktemp("clone")
    for name in ("jobs", "models", "platform", "serve_apps"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "runtime_env.yaml", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    write_configs(folder / "jobs" / "configs")
    ports = {"8265": free_port(), "8000": free_port()}
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KNOWLIP_"))}
    environment |= {"HOME": str(folder), "RAY_ADDRESS": f"{get_node_ip_address()}:{port}", "OMP_NUM_THREADS": "1"}
    reader = Reader(folder, environment, ports)
    # Short, because Ray's sockets lie below it; apart, because others on this machine look for Ray in its usual place.
    state = Path(tempfile.mkdtemp(prefix="ray-"))
    shown = next(block for block in BLOCKS if block.endswith(HEAD))
    started = (
        f"exec ray start --head --block --port {port} --dashboard-port {ports['8265']} --num-cpus 4 --temp-dir {state}"
    )
    with reader.leaving_open(shown.replace(HEAD, started), f"http://127.0.0.1:{ports['8265']}/api/version"):
        yield reader
    shutil.rmtree(state, ignore_errors=True)


def test_the_measured_table_is_the_newest_figures():
    """`python scripts/measured.py` was run after the last benchmark."""
    script = runpy.run_path(str(ROOT / "scripts" / "measured.py"))
    readme, figures = (ROOT / name for name in ("README.md", "benchmarks/results.jsonl"))
    assert script["rewritten"](readme.read_text(), figures.read_text()) == readme.read_text()
    missed = {"benchmark": "b", "metric": "m", "value": 2.0, "target": 1.0, "better": "lower"}
    assert "| 2 | ≤ 1 | missed |" in script["table"]([missed])


def test_the_blocks_are_found():
    assert len(BLOCKS) == (ROOT / "README.md").read_text().count("```bash")
    assert "make demo\n" in BLOCKS
    assert sum("python -m jobs." in block for block in BLOCKS) >= 6


@pytest.mark.parametrize("target", sorted({word for block in BLOCKS for word in re.findall(r"^make ([\w-]+)", block)}))
def test_make_knows_its_targets(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_the_readme_shows_is_what_runs(reader):
    port = reader.ports["8000"]
    server = None
    for block in BLOCKS:
        if block.startswith("make ") or block.endswith(HEAD):
            continue  # the targets are tested above; the head runs already
        if block.startswith("serve run"):
            server = f"exec {block}"
            continue
        if server and "curl" in block:
            reader.type(f"serve start --http-port {port}")
            # What was served before may answer until then.
            with reader.leaving_open(server, f"http://127.0.0.1:{port}/readyz", "is ready at"):
                said = reader.type(block)
            first, _ = json.JSONDecoder().raw_decode(said)  # replies follow one another without a line's end
            assert "confidence" in first or first["type"] == "FeatureCollection"
            server = None
        else:
            reader.type(block)
    workspace = Workspace(str(reader.folder / "workspace" / "first"))
    assert all(workspace.exists(artefact) for artefact in ARTEFACTS if artefact != "answers")
    assert workspace.exists("report.html")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_finds_the_jobs_work_done(reader, capsys, ray_cluster):
    """The demo walks the same road with the same settings, so what the blocks above made is not made twice."""
    workspace = reader.folder / "workspace" / "first"
    before = {path: path.stat().st_mtime_ns for path in workspace.glob("tiles/*.parquet")}
    demo(DemoSettings(workspace=str(workspace), configs=str(reader.folder / "jobs" / "configs")))
    table = capsys.readouterr().out.rpartition("The road")[2]
    cells = [[cell.strip() for cell in line.split("│")] for line in table.splitlines() if line.count("│") == 5]
    rows = {row[1]: row[4] for row in cells if row[1]}  # what is long goes on in rows without a stage
    assert {path: path.stat().st_mtime_ns for path in workspace.glob("tiles/*.parquet")} == before
    asked = {"ask", "report"}
    assert {stage for stage, seconds in rows.items() if seconds != "done before"} == asked
    assert all(Workspace(str(workspace)).exists(artefact) for artefact in ARTEFACTS)
