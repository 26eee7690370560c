"""The learning rate as a pure function of the step, so that nothing of it needs saving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jobs.train.settings import OptimisationSettings

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then decay (section 4.1).

    Attributes:
        optimisation: The shape and its constants.
        steps_per_epoch: Optimiser steps an epoch.
        epochs: Epochs of the whole run, all its phases together.
    """

    optimisation: OptimisationSettings
    steps_per_epoch: int
    epochs: int

    def rate(self, step: int) -> float:
        """Return the learning rate of an optimiser step, counted from 0 at the start of the run."""
        settings = self.optimisation
        if step < settings.warmup_steps:
            share = step / settings.warmup_steps
            return settings.floor + share * (settings.learning_rate - settings.floor)
        return max(settings.floor, self._decayed(step - settings.warmup_steps))

    def _decayed(self, step: int) -> float:
        settings = self.optimisation
        if settings.schedule == "constant":
            return settings.learning_rate
        if settings.schedule == "exponential":
            # The decay is per epoch: the rate stands still within one.
            return settings.learning_rate * settings.decay ** (step // self.steps_per_epoch)
        whole = self.epochs * self.steps_per_epoch
        if settings.schedule == "multistep":
            passed = sum(step + settings.warmup_steps >= share * whole for share in settings.milestones)
            return settings.learning_rate * 0.1**passed
        done = min(1.0, step / max(1, whole - settings.warmup_steps))
        share = (
            (1 - done) ** settings.power if settings.schedule == "polynomial" else (1 + math.cos(math.pi * done)) / 2
        )
        return settings.floor + share * (settings.learning_rate - settings.floor)
