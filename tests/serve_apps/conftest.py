from __future__ import annotations

import pytest
import requests

from knowlip.workspace import Workspace
from tests.builders import free_port, index_tiles

KEY = "a-key-for-the-tests-0123456789"


@pytest.fixture(scope="session")
def served_workspace(tmp_path_factory, tiny_checkpoint, write_tiles_once):
    """A workspace with tiles, a checkpoint and an index, made without Ray."""

    workspace = Workspace(str(tmp_path_factory.mktemp("served") / "workspace"))
    tables = [write_tiles_once(workspace, "los", count=12), write_tiles_once(workspace, "san", count=8, lon=-98.5)]
    index_tiles(workspace, dict(zip(("los", "san"), tables, strict=True)), tiny_checkpoint)
    return workspace


@pytest.fixture(scope="session")
def address(ray_cluster, served_workspace):
    """Real Ray Serve on a free loopback port: everything at ``/``, questions at ``/ask``, with keys at ``/keys``."""
    from ray import serve

    from serve_apps import archive, retrieval, vqa
    from serve_apps.settings import RetrievalSettings, VqaSettings

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    root = served_workspace.root
    slots = {"workspace": root, "cpus": 0.2}
    vqa_alone = vqa.app(VqaSettings(**slots))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KNOWLIP_API_KEYS", KEY)
        behind_keys = retrieval.app(RetrievalSettings(**slots, requests_per_minute=20, queue=8))
    everything = archive.app(archive.ArchiveSettings(**slots, follow_s=0.5))
    serve.run_many(
        [
            serve.RunTarget(everything, name="archive", route_prefix="/"),
            serve.RunTarget(vqa_alone, name="vqa", route_prefix="/ask"),
            serve.RunTarget(behind_keys, name="keys", route_prefix="/keys"),
        ]
    )
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture
def post(address):
    """Function that posts to a path and gives the response."""
    return lambda path, **body: requests.post(f"{address}{path}", timeout=60, **body)
