"""Training state in a form that any number of workers and any ZeRO stage can take up again.

DeepSpeed's own checkpoints are shards of one world size. Ours holds each parameter's moments under the parameter's
name, gathered and scattered through DeepSpeed's public accessors:

    weights.safetensors   parameters and buffers: the model, its momentum encoders, the queue and its head
    moments.safetensors   AdamW's two moments of each trained parameter
    progress.json         epochs, steps and samples done, and who made it

Order and randomness need no saving: they follow from seed, epoch and rank.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from deepspeed.runtime.engine import DeepSpeedEngine
from deepspeed.utils import safe_get_full_optimizer_state, safe_set_full_optimizer_state
from safetensors.torch import save_file
from torch import Tensor, nn

from knowlip.errors import CheckpointError
from models.checkpoint import load_strictly, read_weights

__all__ = ["Progress", "allocate_moments", "read_progress", "restore_moments", "restore_weights", "save"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
_WEIGHTS_FILE, _MOMENTS_FILE, _PROGRESS_FILE = "weights.safetensors", "moments.safetensors", "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        epoch: Epochs done.
        step: Optimiser steps done.
        samples: Examples seen.
    """

    epoch: int = 0
    step: int = 0
    samples: int = 0


def save(folder: Path, engine: DeepSpeedEngine, network: nn.Module, progress: Progress, *, writes: bool) -> None:
    """Write the training state; every worker must call this, one of them with ``writes``.

    Args:
        folder: An empty folder.
        engine: Holds the moments.
        network: Holds the weights.
        progress: How far the run is.
        writes: Whether this worker writes what all gather.
    """
    moments = _gather_moments(engine, network, keep=writes)
    if not writes:
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: _held(tensor) for name, tensor in network.state_dict().items()}, folder / _WEIGHTS_FILE)
    save_file(moments, folder / _MOMENTS_FILE)
    (folder / _PROGRESS_FILE).write_text(json.dumps(asdict(progress)))


def read_progress(folder: Path) -> Progress:
    """Return how far a saved state is.

    Raises:
        CheckpointError: The folder is not a training state.
    """
    try:
        return Progress(**json.loads((folder / _PROGRESS_FILE).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"is no training state ({error})", where=str(folder), fix="start again") from error


def restore_weights(folder: Path, network: nn.Module) -> None:
    """Load parameters and buffers, strictly, before the engine starts.

    Raises:
        CheckpointError: The state belongs to another architecture; one line names the keys.
    """
    load_strictly(network, read_weights(folder / _WEIGHTS_FILE), where=str(folder))


def allocate_moments(engine: DeepSpeedEngine, step: int = 0) -> None:
    """Make AdamW's moments, zero, before its first step, and tell ZeRO of them.

    AdamW makes them at its first step, one parameter group after the other; ZeRO links them after the first group (as
    of deepspeed 0.19), so that the accessors would never find those of the second.
    """
    zero = engine.zero_optimization()
    base: torch.optim.Optimizer = engine.optimizer.optimizer if zero else engine.optimizer
    for group in base.param_groups:
        for parameter in group["params"]:
            zeros = {key: torch.zeros_like(parameter, memory_format=torch.preserve_format) for key in _MOMENTS}
            base.state[parameter] = {"step": torch.tensor(float(step)), **zeros}
    if zero:
        engine.optimizer._lazy_init_hp_params_optimizer_state()


def restore_moments(folder: Path, engine: DeepSpeedEngine, network: nn.Module, step: int) -> None:
    """Scatter AdamW's moments over the workers, whatever their number and ZeRO stage."""
    held = read_weights(folder / _MOMENTS_FILE)
    allocate_moments(engine, step)
    for name, parameter in _trained(network):
        for key in _MOMENTS:
            value = held[f"{name}.{key}"].to(parameter.device)
            if engine.zero_optimization():
                safe_set_full_optimizer_state(parameter, value, key)
            else:
                engine.optimizer.state[parameter][key].copy_(value)


def _gather_moments(engine: DeepSpeedEngine, network: nn.Module, *, keep: bool) -> dict[str, Tensor]:
    gathered = {}
    for name, parameter in _trained(network):
        for key in _MOMENTS:
            if engine.zero_optimization():
                value = safe_get_full_optimizer_state(parameter, key)  # an all-reduce: every worker takes part
            else:
                value = engine.optimizer.state[parameter][key]
            if keep:
                gathered[f"{name}.{key}"] = _held(value)
    return gathered


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def _held(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU that shares nothing, which is what safetensors stores."""
    return tensor.detach().cpu().contiguous().clone()
