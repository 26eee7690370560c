"""What the one training loop can be told: how to descend, how long, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from knowlip.settings import Section

__all__ = ["OptimisationSettings", "ScalingSettings", "TrainSettings", "overlaid"]


class OptimisationSettings(Section):
    """AdamW and its schedule; the defaults are section 4.1's."""

    learning_rate: float = Field(3e-4, gt=0)
    """Highest learning rate, reached at the end of the warm-up."""

    floor: float = Field(1e-6, ge=0)
    """Learning rate at the start of the warm-up and at the end of the decay."""

    warmup_steps: int = Field(3000, ge=0)
    """Optimiser steps over which the rate rises linearly."""

    schedule: Literal["exponential", "cosine", "polynomial", "multistep", "constant"] = "exponential"
    """How the rate falls after the warm-up."""

    decay: float = Field(0.9, gt=0, le=1)
    """Factor an epoch of the exponential schedule."""

    power: float = Field(0.9, gt=0)
    """Exponent of the polynomial schedule."""

    milestones: tuple[float, ...] = (0.75, 0.92)
    """Shares of the run after which the multistep schedule falls to a tenth."""

    weight_decay: float = Field(0.05, ge=0)
    """Decoupled weight decay; never on norms and biases."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's running moments."""

    clip_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this norm; 0 leaves them."""

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.floor > self.learning_rate:
            raise ValueError(f"floor {self.floor} is above learning_rate {self.learning_rate}")
        return self


class TrainSettings(Section):
    """On how much the loop descends, and when it looks up."""

    batch_size: int = Field(32, ge=2)
    """Examples an optimiser step, over all workers and accumulated micro-batches."""

    seed: int = Field(0, ge=0)
    """Decides initial weights, order, augmentation and masks."""

    shuffle_rows: int = Field(4096, ge=0)
    """Rows of the buffer in which a worker shuffles its shard, anew each epoch; 0 keeps the order."""

    evaluate_every: int = Field(1, ge=1)
    """Epochs between evaluations on the held-out split; the last epoch is always evaluated."""

    save_every: int = Field(1, ge=1)
    """Epochs between checkpoints; the last epoch is always saved."""

    keep: Literal["last", "best"] = "last"
    """Which checkpoint is the result: the last, or the best on the held-out split."""

    log_every: int = Field(20, ge=1)
    """Optimiser steps between status lines; only then are losses read from the device."""


class ScalingSettings(Section):
    """Where the loop runs.

    With `model.contrast.negative_group` set none of it changes what is learned; without, workers and accumulation
    decide how many pairs of the batch a pair is held against besides the queue.
    """

    workers: int = Field(2, ge=1)
    """Training processes."""

    cpus_per_worker: float = Field(0.5, gt=0)
    """Ray CPU slots a worker holds; the rest are left to the tasks that read its data."""

    threads: int = Field(0, ge=0)
    """Threads that a worker computes with on a CPU; 0 for its share of the machine's cores among the run's workers."""

    gpu: Literal["auto", "yes", "no"] = "auto"
    """One GPU a worker: when the cluster has enough, always, or never."""

    gpus_per_worker: float = Field(1.0, gt=0, le=1)
    """Part of a GPU that a worker holds; below 1 only for runs of one worker, several of which (a sweep's trials) then
    share a GPU."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass; bfloat16 needs GPUs. Weights and moments stay float32."""

    zero_stage: int = 1
    """DeepSpeed ZeRO: 0 replicates optimiser state and gradients, 1 shards the state, 2 the gradients too."""

    accumulation: int = Field(1, ge=1)
    """Micro-batches an optimiser step."""

    prefetch_batches: int = Field(2, ge=0)
    """Batches made ready ahead of the step."""

    hold_mb: float = Field(256, ge=0)
    """Splits of at most so many megabytes are read once and held in memory; larger ones are streamed each epoch."""

    max_failures: int = Field(2, ge=0)
    """Times that lost workers are replaced and training goes on from the last checkpoint."""

    @model_validator(mode="after")
    def _ranks_on_gpus_of_their_own(self) -> Self:
        if self.gpus_per_worker < 1 and self.workers > 1:
            raise ValueError(f"gpus_per_worker {self.gpus_per_worker} needs workers 1: NCCL wants a GPU a rank")
        return self

    @field_validator("zero_stage")
    @classmethod
    def _supported(cls, stage: int) -> int:
        if stage == 3:
            raise ValueError("3 would shard the parameters that the momentum update reads; use 0, 1 or 2")
        if stage not in (0, 1, 2):
            raise ValueError("must be 0, 1 or 2")
        return stage


def overlaid(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with some of them changed."""
    merged = dict(values)
    for name, change in changes.items():
        old = merged.get(name)
        merged[name] = overlaid(old, change) if isinstance(old, Mapping) and isinstance(change, Mapping) else change
    return merged
