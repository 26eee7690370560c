"""Lets torchvision be imported beside a torch for which its compiled operators do not load.

A CPU-only torch with a torchvision built for CUDA cannot load ``torchvision/_C``; `import torchvision` (which timm and
transformers do) then fails with "operator torchvision::nms does not exist". This module defines what is missing, and
does nothing where the compiled operators load. It must be imported before torchvision.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

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
    _use_sampled_roi_align()
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
    left_N, top_N, right_N, bottom_N = dets[order].unbind(1)
    area_N = (right_N - left_N) * (bottom_N - top_N)
    shared_NN = _overlap(left_N, right_N) * _overlap(top_N, bottom_N)
    overlaps_NN = shared_NN > iou_threshold * (area_N[:, None] + area_N[None, :] - shared_NN)
    overlapping, keep = overlaps_NN.numpy(), np.ones(len(dets), dtype=bool)
    for index in range(len(dets)):
        if keep[index]:
            keep[index + 1 :] &= ~overlapping[index, index + 1 :]
    return order[torch.from_numpy(keep)]


def _overlap(first_N: torch.Tensor, last_N: torch.Tensor) -> torch.Tensor:
    """Return how much of an axis each pair of spans shares."""
    inner_NN = torch.minimum(last_N[:, None], last_N[None, :]) - torch.maximum(first_N[:, None], first_N[None, :])
    return inner_NN.clamp(min=0)


def _use_sampled_roi_align() -> None:
    """Put `_roi_align` in the place of torchvision's Python one, which is compiled for many seconds at first."""
    importlib.import_module("torchvision.ops")
    module = sys.modules["torchvision.ops.roi_align"]
    module._roi_align = _roi_align
    # torchvision.ops.nms asks this before it calls the operator, which is now there.
    sys.modules["torchvision.ops.boxes"]._assert_has_ops = lambda: None


def _roi_align(
    maps_BCHW: torch.Tensor,
    rois_K5: torch.Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """Pool regions (image, x1 y1 x2 y2) bilinearly, as `torchvision.ops.roi_align` does; (K, C, rows, columns).

    Raises:
        NotImplementedError: No fixed number of samples a cell is asked for.
    """
    if sampling_ratio < 1:
        raise NotImplementedError("roi_align without torchvision's compiled operators needs a sampling_ratio")
    height, width = maps_BCHW.shape[2:]
    corners_K4 = rois_K5[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    sides_K2 = corners_K4[:, 2:] - corners_K4[:, :2]
    if not aligned:
        sides_K2 = sides_K2.clamp(min=1.0)
    x_KX = _samples(corners_K4[:, 0], sides_K2[:, 0], pooled_width * sampling_ratio)
    y_KY = _samples(corners_K4[:, 1], sides_K2[:, 1], pooled_height * sampling_ratio)
    inside_KYX = _inside(y_KY, height)[:, :, None] & _inside(x_KX, width)[:, None, :]
    # Pixel 0 lies at -1 and the last one at 1; beyond them the border's value holds.
    across_KYX = (2 * x_KX / max(width - 1, 1) - 1)[:, None, :].expand(inside_KYX.shape)
    down_KYX = (2 * y_KY / max(height - 1, 1) - 1)[:, :, None].expand(inside_KYX.shape)
    grid_KYX2 = torch.stack([across_KYX, down_KYX], dim=-1).to(maps_BCHW.dtype)
    pooled = maps_BCHW.new_zeros(len(rois_K5), maps_BCHW.shape[1], pooled_height, pooled_width)
    for image in range(len(maps_BCHW)):
        of_image = torch.nonzero(rois_K5[:, 0] == image).squeeze(1)
        if not len(of_image):
            continue
        grid = grid_KYX2[of_image].flatten(0, 1)[None]
        sampled_1CSX = functional.grid_sample(
            maps_BCHW[image : image + 1], grid, padding_mode="border", align_corners=True
        )
        sampled_CKYX = sampled_1CSX[0].reshape(-1, len(of_image), *inside_KYX.shape[1:])
        sampled_KCYX = sampled_CKYX.transpose(0, 1) * inside_KYX[of_image, None]
        pooled = pooled.index_copy(0, of_image, functional.avg_pool2d(sampled_KCYX, sampling_ratio))
    return pooled


def _samples(start_K: torch.Tensor, side_K: torch.Tensor, count: int) -> torch.Tensor:
    """Return where a region is sampled along one side: the middles of so many equal parts."""
    middles = (torch.arange(count, device=start_K.device) + 0.5) / count
    return start_K[:, None] + side_K[:, None] * middles


def _inside(places: torch.Tensor, size: int) -> torch.Tensor:
    return (places >= -1) & (places <= size)


install()
