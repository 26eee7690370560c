"""The served application, for as long as a job needs it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray import serve
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from ray.dashboard.utils import get_address_for_submission_client

from knowlip.errors import KnowlipError
from knowlip.workspace import Workspace

__all__ = ["served"]

# An import string, as in a Serve config file: jobs never import the applications.
APPLICATION = "serve_apps.archive:app"


@contextmanager
def served(workspace: Workspace, *, timeout_s: float = 180) -> Iterator[str]:
    """Serve a workspace on a free loopback port; the application is taken down with the block.

    The cluster's own dashboard deploys it, as ``serve deploy`` does, so it ends with the cluster whatever becomes of
    this process.

    Args:
        workspace: What to serve; it holds an index and a checkpoint.
        timeout_s: How long the application may take to come up.

    Yields:
        Its address.

    Raises:
        KnowlipError: It did not come up.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(workspace.local()) if workspace.is_local else workspace.root
    quiet = {"logging_config": {"log_level": "WARNING"}}
    application = {"name": "archive", "import_path": APPLICATION, "args": {"workspace": root}, **quiet}
    dashboard = get_address_for_submission_client(ray.get_runtime_context().gcs_address)
    config = {"http_options": {"host": "127.0.0.1", "port": port}, "applications": [application], **quiet}
    ServeSubmissionClient(dashboard).deploy_applications(config)
    try:
        _await_running(timeout_s)
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()


def _await_running(timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        state = next(iter(serve.status().applications.values()), None)
        if state is not None and state.status == "RUNNING":
            return
        if time.monotonic() > until or (state is not None and state.status in {"DEPLOY_FAILED", "UNHEALTHY"}):
            reason = f"{state.status}: {state.message}" if state else "was not deployed"
            raise KnowlipError(reason, where=APPLICATION, fix="see the Serve logs below /tmp/ray")
        time.sleep(0.5)
