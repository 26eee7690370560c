"""The served application, for as long as a job needs it."""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_type_hints

import httpx
from ray import serve

from knowlip.archive.keys import environment_keys
from knowlip.errors import KnowlipError
from knowlip.workspace import Workspace

__all__ = ["served"]

# An import string, as `serve run` takes it: jobs never depend on the applications.
APPLICATION = "serve_apps.archive:app"


@contextmanager
def served(workspace: Workspace, *, timeout_s: float = 180) -> Iterator[httpx.Client]:
    """Serve a workspace on a free loopback port; the application is taken down with the block.

    It is put together in this process, where most of what that needs is loaded already, and takes this job's code along
    to the nodes.

    Args:
        workspace: What to serve; it holds an index and a checkpoint.
        timeout_s: How long the application may take to come up.

    Yields:
        A client of it. Where the environment holds keys (`KNOWLIP_API_KEYS`), the application asks for one of them.

    Raises:
        KnowlipError: It did not come up, or something that it serves is not there.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"log_level": "WARNING"}
    root = str(workspace.local()) if workspace.is_local else workspace.root
    application = _application(root)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    serve.run_many(
        [serve.RunTarget(application, name="archive", logging_config=quiet)], wait_for_applications_running=False
    )
    try:
        _await_running(timeout_s)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=_key(), timeout=60) as client:
            yield client
    finally:
        serve.shutdown()


def _key() -> dict[str, str]:
    keys = environment_keys()
    return {"X-API-Key": keys[0]} if keys else {}


def _application(root: str) -> serve.Application:
    module, _, name = APPLICATION.partition(":")
    build = getattr(importlib.import_module(module), name)
    settings = get_type_hints(build)["args"]
    return build(settings(workspace=root))


def _await_running(timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        state = next(iter(serve.status().applications.values()), None)
        if state is not None and state.status == "RUNNING":
            return
        if time.monotonic() > until or (state is not None and state.status in {"DEPLOY_FAILED", "UNHEALTHY"}):
            reason = f"{state.status}: {state.message}" if state else "was not deployed"
            raise KnowlipError(reason, where=APPLICATION, fix="see the Serve logs below /tmp/ray")
        time.sleep(0.2)
