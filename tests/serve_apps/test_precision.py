"""How the processes compute in which models are held."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

_STARTED = """
import sys

from knowlip.archive import Version
from knowlip.errors import CheckpointError
from knowlip.workspace import Workspace
from serve_apps.answerer import Answerer
from serve_apps.encoder import Encoder

deployment, root = sys.argv[1:]
shared = {"device": "cpu", "threads": 1, "batch_size": 1}
try:
    if deployment == "answerer":
        Answerer.func_or_class(Workspace(root), "runs/none/checkpoint", **shared)
    else:
        version = Version(digest="a" * 16, checkpoint="runs/none/checkpoint", width=8)
        Encoder.func_or_class(Workspace(root), version, follow_s=0.0, **shared)
except CheckpointError:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize("deployment", ["answerer", "encoder"])
def test_threads_that_wait_leave_the_cores_to_others(deployment, tmp_path):
    """The library of threads says how it waits when torch brings it in, which is when it reads that."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    command = [sys.executable, "-c", _STARTED, deployment, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True"], done.stderr[-4000:]
    said = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not said:
        pytest.skip("torch computes with another library of threads here")
    assert set(said) == {"0"}
