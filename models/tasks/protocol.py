"""What the one training loop asks of a task: six small methods and three names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Batch", "Counted", "Task"]

Batch = dict[str, Any]
"""What ``collate`` returns: tensors (moved to the device by the loop) and, beside them, plain lists of ids."""


@runtime_checkable
class Task(Protocol):
    """One thing to learn: how its batches, losses and scores are made.

    The loop (``jobs/train/loop.py``) owns the optimiser, the schedule, the checkpoints and the clock; a task owns its
    network and what is asked of it. A task is made from its settings in every worker and holds no open resources.

    Attributes:
        name: Short name, used in run folders and metric names.
        best_metric: The metric by which the best checkpoint is kept.
        higher_is_better: Whether more of ``best_metric`` is better.
    """

    name: str
    best_metric: str
    higher_is_better: bool

    def build(self) -> nn.Module:
        """Make the network whose parameters are trained; called once in each worker, before all else."""
        ...

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Turn the columns of some rows into a batch: decode, augment (only when training), tokenise."""
        ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted loss terms of a batch; the loop descends their sum and logs each."""
        ...

    def after_step(self) -> None:
        """Do what follows an optimiser step (momentum update); nothing for most tasks."""
        ...

    def evaluate(self, batch: Batch) -> None:
        """Add one held-out batch to the running scores."""
        ...

    def metrics(self) -> dict[str, float]:
        """Return the scores since the last call, and start afresh."""
        ...

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint folder that ``models.load`` opens."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A task that can say how much its steps compute; the loop then tells a GPU's use (MFU)."""

    def flops(self, batch: Batch) -> float:
        """Return the floating-point operations of a training step on a batch."""
        ...
