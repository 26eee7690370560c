"""A marked key of each kind is in the environment of all jobs, and afterwards in nothing that was written or said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llm_server import LlmServer
from tests.tiny_road import write_configs

ROOT = Path(__file__).resolve().parents[2]
CANARY = "sk-canary-5d1e90b7c2"
SECRETS = {
    name: f"{CANARY}-{name.lower()}"
    for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "KNOWLIP_API_KEYS", "HF_TOKEN")
}
ROAD = """
import json, sys
from jobs.caption import CaptionSettings, caption
from jobs.cluster import connected
from jobs.demo import DemoSettings, demo
from jobs.export import ExportSettings, export
from jobs.screen import ScreenSettings, screen_again
from jobs.scio_report import ScioReportSettings, scio_report
from jobs.text_report import TextReportSettings, text_report
from knowlip.errors import KnowlipError
from knowlip.workspace import Workspace

root, configs, url, wrong, shown = sys.argv[1:]
with connected():
    demo(DemoSettings(workspace=root, configs=configs))
    export(ExportSettings(workspace=root, format="stac"))
    screen_again(ScreenSettings(workspace=root, action="sheet"))
    scio_report(ScioReportSettings(workspace=root))
    text_report(TextReportSettings(workspace=root))
    Workspace(root).delete("captions")
    for address in (wrong, url):
        endpoint = {"base_url": address, "model": "m", "image_px": 64, "back_off_s": 0.01, "tries": 1, "timeout_s": 5}
        try:
            caption(CaptionSettings(workspace=root, captioner="endpoint", endpoint=endpoint))
        except KnowlipError as error:
            print("stopped:", error)
    from ray.util import state
    asks = (state.list_actors, state.list_tasks, state.list_runtime_envs, state.list_workers, state.list_jobs)
    known = [ask(detail=True, limit=1000) for ask in asks]
    with open(shown, "w") as stream:
        json.dump([[repr(one) for one in kind] for kind in known], stream)
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets lie below it, and their paths may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="canary-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def holding(folder: Path) -> list[str]:
    """Files below a folder that hold the canary in their name or their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if CANARY in str(path) or CANARY.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_key_is_in_anything_that_is_written_or_said(short_folder, tmp_path):
    configs = write_configs(tmp_path / "configs")
    environment = os.environ | SECRETS | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    environment |= {"RAY_ADDRESS": "local", "RAY_TMPDIR": str(short_folder), "HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    shown = tmp_path / "state.json"
    with LlmServer(key=SECRETS["OPENAI_API_KEY"]).serving() as server:
        words = [str(tmp_path / "workspace"), str(configs), server.url, "http://127.0.0.1:9/v1", str(shown)]
        done = subprocess.run(
            [sys.executable, "-c", ROAD, *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert server.asked.total() > 0, "the endpoint was never asked"
    assert "stopped:" in done.stdout
    assert CANARY not in done.stdout + done.stderr
    actors, tasks, *_ = json.loads(shown.read_text())
    assert actors
    assert tasks
    assert CANARY not in shown.read_text()
    assert len(list(short_folder.rglob("*.log"))) > 5, "Ray's logs are not here"
    assert not holding(tmp_path)
    assert not holding(short_folder)
    (tmp_path / "control").write_text(f"found {CANARY}")
    assert holding(tmp_path), "the search finds nothing at all"
