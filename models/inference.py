"""How a trained model is computed: float32 on a CPU, bfloat16 where a GPU computes it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["inference"]


def inference(device: str) -> AbstractContextManager[object]:
    """Return the context in which a model computes on a device."""
    if device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
