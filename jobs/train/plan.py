"""What the workers of a run are asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ray.train import Checkpoint

from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings
from knowlip.workspace import Workspace
from models.tasks.protocol import Task

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What the workers do: one phase of one run.

    Attributes:
        task: What is learned, not built yet.
        phase: Name of the phase, for logs and metrics.
        workspace: Where the run lies.
        run: Folder of the run.
        optimisation: AdamW and its schedule.
        train: Batch size, epochs, seed.
        scaling: Workers, stage, precision.
        rows: Examples a split: ``train``; ``val``, which chooses the best weights; ``test``, which scores those kept.
        held: Whether the splits fit in the workers' memory.
        first_epoch: Epochs done by the phases before.
        epochs: Epochs of this phase.
        all_epochs: Epochs of the whole run, for the schedule.
        start: Checkpoint of the phase before, to go on from.
        manifest: What the checkpoint's manifest says.
    """

    task: Task
    phase: str
    workspace: Workspace
    run: str
    optimisation: OptimisationSettings
    train: TrainSettings
    scaling: ScalingSettings
    rows: dict[str, int]
    held: bool = True
    first_epoch: int = 0
    epochs: int = 1
    all_epochs: int = 1
    start: Checkpoint | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> tuple[str, str, str]:
        """Ray Train's folder of this phase, below the workspace: run, state, phase."""
        return self.run, "_train", self.phase

    @property
    def last_epoch(self) -> int:
        """Epochs done when this phase is."""
        return self.first_epoch + self.epochs

    @property
    def micro_batch(self) -> int:
        """Examples of one worker's forward pass; fewer than asked for where the split is smaller."""
        return min(
            self.train.batch_size // (self.scaling.workers * self.scaling.accumulation),
            self.rows["train"] // (self.scaling.workers * self.scaling.accumulation),
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch; what does not fill the last one is left to another epoch's order."""
        return self.rows["train"] // self.scaling.workers // (self.micro_batch * self.scaling.accumulation)

    @property
    def samples_per_step(self) -> int:
        """Examples of all workers an optimiser step."""
        return self.micro_batch * self.scaling.workers * self.scaling.accumulation
