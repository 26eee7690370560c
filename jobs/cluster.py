"""The Ray cluster a job runs on: the one it was submitted to, or one of its own."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.data import DataContext

__all__ = ["connected"]


@contextmanager
def connected() -> Iterator[None]:
    """Connect to ``RAY_ADDRESS``, or start a local cluster that ends with the block.

    A driver that is connected already (the demo, a test) is left as it is.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    # Ray's processes are forked and replaced at once, which is safe whatever lancedb's threads are doing.
    warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
    # A laptop with one or two cores still runs two training workers and their data tasks: Ray's CPUs are only slots.
    slots = max(4, os.cpu_count() or 1) if address == "local" else None
    if address == "local":
        # Ray Train would start a process a run to hear of nodes that are about to be taken away.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    cluster = ray.init(
        address=address,
        num_cpus=slots,
        logging_level=logging.WARNING,
        log_to_driver=True,
        runtime_env=_runtime_env() if address == "local" else None,
    )
    _configure_data()
    if cluster.dashboard_url:
        job = ray.get_runtime_context().get_job_id()
        print(f"Ray dashboard: http://{cluster.dashboard_url}/#/jobs/{job}", file=sys.stderr)
    try:
        yield
    finally:
        ray.shutdown()


def _runtime_env() -> dict[str, str] | None:
    """Quote an interpreter whose path has spaces: Ray starts workers that have an environment through a shell."""
    quoted = shlex.quote(sys.executable)
    return {"py_executable": quoted} if quoted != sys.executable else None


def _configure_data() -> None:
    """Show Ray Data's bars on a terminal, and elsewhere a line when an execution ends; let errors come as they are."""
    context = DataContext.get_current()
    # Wrapped in Ray Data's own, an error loses its cause on the way, and with it the one line for the person.
    context.raise_original_map_exception = True
    context.print_on_execution_start = False
    context.enable_progress_bars = os.isatty(1)
    # It would advise, as a warning, to turn them on.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
