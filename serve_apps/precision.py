"""How inference is computed: in which precision, and on a CPU with how many threads."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

__all__ = ["inference", "take_threads"]


def take_threads(threads: int) -> None:
    """Compute with so many threads, 0 for as many as there are cores: Ray would leave one to a part of a CPU.

    Threads that wait for one another sleep meanwhile: by spinning they would take the cores from the gateway and the
    index, which have the next request to prepare.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


def inference(device: str) -> AbstractContextManager[object]:
    """Return the context in which a model computes on a device: that in which the index's tiles were embedded."""
    # Here, not above: the gateway and the index import this module, and have no use for torch.
    from models.inference import inference

    return inference(device)
