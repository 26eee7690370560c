"""The DeepSpeed engine around a task's network."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import deepspeed
import deepspeed.comm
import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from torch import Tensor, nn

from jobs.train.deepspeed_config import deepspeed_config, parameter_groups
from jobs.train.settings import OptimisationSettings, ScalingSettings
from models.tasks.protocol import Batch, Task

__all__ = ["TaskModule", "start_engine"]


class TaskModule(nn.Module):
    """A network whose forward pass is its task's losses, so that DeepSpeed's hooks see the whole step.

    Args:
        task: What is learned.
        network: What the task built.
        precision: ``bfloat16`` computes the step under autocast.
    """

    def __init__(self, task: Task, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.network = network
        self._task = task
        self._precision = precision

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which the network computes."""
        device = next(self.network.parameters()).device
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._precision == "bfloat16")

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted loss terms of a batch."""
        with self.autocast():
            return self._task.losses(batch)


def start_engine(
    module: TaskModule, optimisation: OptimisationSettings, scaling: ScalingSettings, *, micro_batch_size: int
) -> DeepSpeedEngine:
    """Start DeepSpeed in a worker of which torch.distributed is up.

    Args:
        module: What is trained; its weights must be loaded already, because ZeRO copies them here.
        optimisation: AdamW and clipping.
        scaling: Stage and accumulation.
        micro_batch_size: Examples a forward pass.
    """
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # On a CPU DeepSpeed would compile a shared-memory all-reduce for half a minute in each fresh home. It looks here
    # whether that is possible (and probes the compiler to find out); found not to be, it leaves the work to gloo.
    vars(deepspeed.ops).setdefault("__compatible_ops__", {})
    deepspeed.comm.init_distributed(dist_init_required=None, verbose=False)
    engine, *_ = deepspeed.initialize(
        model=module,
        model_parameters=parameter_groups(module.network, optimisation.weight_decay),
        config=deepspeed_config(optimisation, scaling, micro_batch_size=micro_batch_size),
    )
    return engine
