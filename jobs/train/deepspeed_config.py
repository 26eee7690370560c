"""From our settings to DeepSpeed's, and what AdamW decays."""

from __future__ import annotations

from typing import Any

from torch import nn

from jobs.train.settings import OptimisationSettings, ScalingSettings

__all__ = ["deepspeed_config", "parameter_groups"]


def deepspeed_config(
    optimisation: OptimisationSettings, scaling: ScalingSettings, *, micro_batch_size: int
) -> dict[str, Any]:
    """Return the configuration of `deepspeed.initialize`.

    Precision is left to autocast inside the step, so parameters, moments and the momentum encoders stay float32 and
    one checkpoint serves every stage.

    Args:
        optimisation: AdamW and clipping.
        scaling: Stage and accumulation.
        micro_batch_size: Examples a worker sees in one forward pass.
    """
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": scaling.accumulation,
        "gradient_clipping": optimisation.clip_norm,
        "zero_optimization": {
            "stage": scaling.zero_stage,
            "overlap_comm": False,
            # Small models should not allocate DeepSpeed's half-gigabyte default buckets.
            "reduce_bucket_size": 50_000_000,
            "allgather_bucket_size": 50_000_000,
        },
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": optimisation.learning_rate,
                "betas": list(optimisation.betas),
                "eps": 1e-8,
                "weight_decay": optimisation.weight_decay,
                # PyTorch's AdamW: nothing is compiled at run time.
                "torch_adam": True,
            },
        },
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trained parameters into those that decay and those that do not (norms, biases, scalars)."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    free = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
