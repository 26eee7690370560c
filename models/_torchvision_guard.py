"""Lets torchvision be imported beside a torch for which its compiled operators do not load.

A CPU-only torch with a torchvision built for CUDA cannot load ``torchvision/_C``; `import torchvision` (which timm and
transformers do) then fails with "operator torchvision::nms does not exist". This module defines what is missing, and
does nothing where the compiled operators load. It must be imported before torchvision.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
from pathlib import Path

import torch

__all__ = ["install"]

_NMS = "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_QNMS = "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[torch.library.Library] = []


def install() -> bool:
    """Define the missing operators if the compiled ones do not load; once a process.

    Returns:
        Whether the stand-ins are in place.
    """
    if _libraries:
        return True
    if "torchvision" in sys.modules or _compiled_operators_load():
        return False
    library = torch.library.Library("torchvision", "DEF")
    library.define(_NMS)
    library.define(_QNMS)
    library.impl("nms", _nms, "CPU")
    _libraries.append(library)
    _use_eager_roi_align()
    return True


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True  # not installed: nothing to mend
    for folder in spec.submodule_search_locations:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder) / f"_C{suffix}"
            if path.exists():
                try:
                    torch.ops.load_library(str(path))
                except OSError:
                    return False
                return True
    return False


def _nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression of (N, 4) boxes x1 y1 x2 y2; returns kept indices, best first."""
    order = scores.argsort(descending=True, stable=True)
    boxes = dets[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    overlaps = shared > iou_threshold * (area[:, None] + area[None, :] - shared)
    keep = torch.ones(len(boxes), dtype=torch.bool)
    for index in range(len(boxes)):
        if keep[index]:
            keep[index + 1 :] &= ~overlaps[index, index + 1 :]
    return order[keep]


def _use_eager_roi_align() -> None:
    """Unwrap torchvision's Python `roi_align`: compiling it takes many seconds at its first call."""
    importlib.import_module("torchvision.ops")
    module = sys.modules["torchvision.ops.roi_align"]
    plain = inspect.getclosurevars(module._roi_align).nonlocals.get("fn")
    if plain is not None:
        module._roi_align = plain
    # torchvision.ops.nms asks this before it calls the operator, which is now there.
    sys.modules["torchvision.ops.boxes"]._assert_has_ops = lambda: None


install()
