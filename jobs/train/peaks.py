"""What GPUs can do at most, from their makers' data sheets: dense, without sparsity."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["peak_flops"]

_TERAFLOPS: dict[str, tuple[float, float]] = {
    "B200": (2250, 75),
    "H200": (989, 67),
    "H100 PCIe": (756, 51),
    "H100": (989, 67),
    "A100": (312, 19.5),
    "L40S": (362, 91.6),
    "L4": (121, 30.3),
    "A10G": (70, 31.5),
    "A10": (125, 31.2),
    "RTX 6000 Ada": (364, 91.1),
    "RTX A6000": (155, 38.7),
    "RTX 4090": (165, 82.6),
    "RTX 3090": (71, 35.6),
}
"""10¹² operations a second in bfloat16 and in float32, by a part of the device's name; longer names stand first."""


def peak_flops(device: torch.device, precision: Literal["float32", "bfloat16"]) -> float | None:
    """Return a device's operations a second at most; nothing for a CPU and for a GPU that is not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((peaks for part, peaks in _TERAFLOPS.items() if part in name), None)
    return None if found is None else 1e12 * found[precision == "float32"]
