"""Jobs handed to a head by `ray job submit`, from an environment that knows Ray and not this project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knowlip.manifest import Manifest
from knowlip.workspace import Workspace
from tests.builders import free_port, long_scene
from tests.knowlip.benchmark.published import class_folders
from tests.llm_server import LlmServer
from tests.tiny_road import write_configs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
DEMO = "jobs/configs/{}-demo.yaml"
ROAD = (
    ("simulate", "--config", DEMO.format("simulate")),
    ("tile", "--config", DEMO.format("tile")),
    ("screen", "sheet"),
    ("export", "--format", "stac"),
    ("caption",),
    ("review", "sheet"),
    ("text_report",),
    ("corpus",),
    ("pretrain", "--config", DEMO.format("pretrain")),
    ("baseline", "--config", DEMO.format("baseline"), "--epochs", "1"),
    ("scio_report",),
    ("examples", "--task", "classification"),
    ("examples", "--task", "detection"),
    ("examples", "--task", "vqa"),
    ("language", "--of", "detection", "--task", "captioning"),
    ("evaluate", "--model", "m", "--most", "2", "--base-url", "{endpoint}"),
    ("dataset", "--source", "{chips}", "--layout", "class-folders", "--name", "chips"),
    ("finetune", "--task", "classification", "--config", DEMO.format("finetune-classification")),
    ("finetune", "--task", "vqa", "--config", DEMO.format("finetune-vqa")),
    ("sweep", "--config", "jobs/configs/sweep-demo.yaml", "--search.trials", "1", "--search.grace-epochs", "1"),
    ("benchmark", "--data", "chips", "--rows", "ours", "--epochs", "1"),
    ("index",),
    ("ask", "--questions", "1"),
    ("report",),
)
"""Every job, in an order in which each finds what it reads; but `jobs.demo`, which is the same road in one process."""


@dataclass(frozen=True)
class Elsewhere:
    """A head, and somebody with Ray, a token and a copy of the code.

    Attributes:
        python: An interpreter with this project's requirements and without the project.
        code: The copy.
        address: Of the head's dashboard.
        environment: What commands are started with.
    """

    python: Path
    code: Path
    address: str
    environment: dict[str, str]

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Type a command of Ray's."""
        command = [str(self.python), "-m", "ray.scripts.scripts", *arguments]
        return subprocess.run(
            command, cwd=self.code, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )

    def submit(self, job: str, *arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Submit a job, and wait for its end unless told otherwise."""
        own = ("--working-dir", ".", "--runtime-env", "runtime_env.yaml", *flags)
        command = ("python", "-m", f"jobs.{job}", *arguments)
        return self.ray("job", "submit", "--address", self.address, *own, "--", *command)


def without_the_project(folder: Path) -> Path:
    """Make an environment of all that is installed here but the project; return its interpreter."""
    venv.create(folder, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    here = Path(sys.prefix) / there.relative_to(folder)
    for entry in here.iterdir():
        if "knowlip" not in entry.name.lower():
            (there / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    python, code = without_the_project(folder / "venv"), folder / "code"
    for name in ("jobs", "models", "platform", "serve_apps"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "runtime_env.yaml", code)
    write_configs(code / "jobs" / "configs")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "KNOWLIP_", "PYTHON"))}
    path = f"{python.parent}{os.pathsep}{kept.get('PATH', '')}"
    environment = kept | {"HOME": str(folder), "PATH": path, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}
    dashboard, state = free_port(), tempfile.mkdtemp(prefix="ray-")
    found = Elsewhere(python, code, f"http://127.0.0.1:{dashboard}", environment)
    assert found.ray("get-auth-token", "--generate").returncode == 0
    ports = {
        "port": free_port(),
        "dashboard-port": dashboard,
        "ray-client-server-port": free_port(),
        "dashboard-agent-listen-port": free_port(),
    }
    flags = [f"--{name}={port}" for name, port in ports.items()]
    command = [str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=4", *flags]
    log = folder / "head.log"
    with log.open("w") as stream:
        head = subprocess.Popen(
            [*command, f"--temp-dir={state}", "--disable-usage-stats"],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 180
        while found.ray("job", "list", "--address", found.address).returncode:
            assert head.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
        yield found
    finally:
        head.send_signal(signal.SIGINT)
        try:
            head.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(state, ignore_errors=True)


def test_the_project_is_not_installed_there(elsewhere):
    command = [str(elsewhere.python), "-c", "import ray, torch, rasterio; import knowlip"]
    done = subprocess.run(command, env=elsewhere.environment, capture_output=True, text=True, check=False)
    assert "No module named 'knowlip'" in done.stderr


def test_every_job_runs_where_only_its_requirements_are(elsewhere, tmp_path):
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.py") if "\n    run(" in path.read_text(encoding="utf-8")}
    assert jobs == {job for job, *_ in ROAD} | {"demo"}
    workspace, chips = str(tmp_path / "workspace"), class_folders(tmp_path / "chips", classes=("A220", "A330"), each=20)
    with LlmServer().serving() as endpoint:
        for job, *words in ROAD:
            arguments = [word.format(endpoint=endpoint.url, chips=chips) for word in words]
            done = elsewhere.submit(job, *arguments, "--workspace", workspace)
            assert done.returncode == 0, f"{job}\n{done.stdout}\n{done.stderr}"
            assert "took" in done.stdout, f"{job} did not say what it did\n{done.stdout}"
        assert endpoint.asked.total() > 0


def test_the_whole_road_runs_as_one_job(elsewhere, tmp_path):
    done = elsewhere.submit("demo", "--workspace", str(tmp_path / "workspace"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "12/12" in done.stdout


def test_a_job_that_is_stopped_goes_on_when_it_is_submitted_again(elsewhere, tmp_path):
    workspace = Workspace(str(tmp_path / "workspace"))
    arguments = ["--workspace", workspace.root, *long_scene(tmp_path, fields=960)]
    begun = elsewhere.submit("tile", *arguments, flags=("--no-wait", "--submission-id", "first"))
    assert begun.returncode == 0, begun.stderr
    until = time.monotonic() + 300
    while len(workspace.files("tiles")) < 3:
        assert time.monotonic() < until, elsewhere.ray("job", "logs", "--address", elsewhere.address, "first").stdout
        time.sleep(0.05)
    assert elsewhere.ray("job", "stop", "--address", elsewhere.address, "first").returncode == 0
    assert "STOPPED" in elsewhere.ray("job", "status", "--address", elsewhere.address, "first").stdout.upper()
    assert Manifest.read(workspace, "tiles") is None, "it was done before it could be stopped"
    made = {name: workspace.local("tiles", name).stat().st_mtime_ns for name in workspace.files("tiles")}
    done = elsewhere.submit("tile", *arguments)
    assert done.returncode == 0, done.stdout
    assert Manifest.read(workspace, "tiles") is not None
    assert {name: workspace.local("tiles", name).stat().st_mtime_ns for name in made} == made
