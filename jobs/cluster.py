"""The Ray cluster a job runs on: the one it was submitted to, or one of its own."""

from __future__ import annotations

import logging
import os
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
    ray.init(address=address, num_cpus=slots, logging_level=logging.WARNING, log_to_driver=True)
    _quiet_data()
    try:
        yield
    finally:
        ray.shutdown()


def _quiet_data() -> None:
    """Show Ray Data's progress bars on a terminal only; elsewhere they would fill the log."""
    context = DataContext.get_current()
    interactive = os.isatty(1)
    context.enable_progress_bars = interactive
    context.enable_operator_progress_bars = interactive
