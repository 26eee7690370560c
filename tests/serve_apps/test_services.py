"""How deployments are asked, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
from ray.exceptions import RayTaskError

from knowlip.errors import DataError, WorkspaceError
from knowlip.workspace import Workspace
from serve_apps.problems import Problem
from serve_apps.services import Services
from tests.builders import free_port, index_tiles
from tests.conftest import ROOT

GONE = WorkspaceError("no longer holds tile a", where="tiles/a.parquet", code="stale_index")
AWAY = WorkspaceError("could not be read", where="index/a", code="unreachable")
WRONG = DataError("is no query", where="search vector", fix="give 64 values")


class Method:
    """A deployment's method that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def remote(self, *_: object) -> None:
        raise self.error


def wrapped(error: Exception) -> Exception:
    """An error as Ray's own calls bring it."""
    return RayTaskError("search", "a traceback", error).as_instanceof_cause()


@pytest.mark.parametrize("brought", [wrapped, lambda error: error], ids=["by Ray", "over gRPC"])
@pytest.mark.parametrize(("error", "status"), [(GONE, 404), (AWAY, 503), (WRONG, 422)])
def test_an_error_of_ours_is_answered_as_what_it_means(brought, error, status):
    with pytest.raises(Problem) as caught:
        asyncio.run(Services().ask(Method(brought(error))))
    assert caught.value.status_code == status


@pytest.mark.parametrize("error", [wrapped(ValueError("a fault")), ValueError("a fault")], ids=["by Ray", "over gRPC"])
def test_any_other_error_stays_what_it_is(error):
    with pytest.raises(ValueError, match=r"a (fault|traceback)") as caught:
        asyncio.run(Services().ask(Method(error)))
    assert caught.value is error


_SERVED = """
import json, sys, warnings

import ray, requests
from ray import serve

from knowlip.workspace import Workspace
from serve_apps.gateway import Door, Gateway
from serve_apps.index import Index
from serve_apps.services import Services

root, port, *paths = sys.argv[1:]
warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
ray.init(address="local", num_cpus=2, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
index = Index.options(ray_actor_options={"num_cpus": 0.1}).bind(Workspace(root))
serve.run(Gateway.options(ray_actor_options={"num_cpus": 0.1}).bind(Services(index=index), Door()))
replies = [requests.get(f"http://127.0.0.1:{port}{path}", timeout=60) for path in paths]
print(json.dumps([[reply.status_code, reply.text] for reply in replies]))
ray.shutdown()
"""


@pytest.mark.slow
def test_an_image_that_is_gone_is_not_found_in_the_fast_mode_either(tmp_path, write_tiles, tiny_checkpoint):
    """With the switch for more throughput that the documentation names, on a cluster that was started with it."""
    workspace = Workspace(str(tmp_path / "workspace"))
    index_tiles(workspace, {"los": write_tiles(workspace, "los")}, tiny_checkpoint)
    workspace.local("tiles/los.parquet").unlink()
    environment = {
        **os.environ,
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
    }
    command = [sys.executable, "-c", _SERVED, workspace.root, str(free_port())]
    paths = ["/v1/tiles/los-0000", "/v1/tiles/los-0000.png"]
    done = subprocess.run([*command, *paths], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    (there, _), (status, said) = json.loads(done.stdout.splitlines()[-1])
    assert there == 200
    assert (status, "no longer holds this tile's image" in said) == (404, True), said
