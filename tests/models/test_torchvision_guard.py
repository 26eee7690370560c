"""The stand-ins for torchvision's operators: there when they are needed, right, and out of the way."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from models import _torchvision_guard as guard


def test_importing_models_loads_no_network_library():
    code = (
        "import sys, models; "
        "loaded = [n for n in ('transformers', 'timm', 'ray') if n in sys.modules]; "
        "assert not loaded, loaded; import torchvision.ops; models.KnowLIP"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_installing_twice_changes_nothing():
    assert guard.install() == guard.install()


def slow_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """Keep the best box, drop what overlaps it too much, and so on."""

    def iou(a: list[float], b: list[float]) -> float:
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        shared = width * height
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    left = sorted(range(len(boxes)), key=lambda i: -scores[i].item())
    kept: list[int] = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou(boxes[best].tolist(), boxes[i].tolist()) <= threshold]
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_non_maximum_suppression_keeps_the_right_boxes(seed):
    from torchvision.ops import nms

    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(40, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + 2 + torch.rand(40, 2, generator=generator) * 8], dim=1)
    scores = torch.rand(40, generator=generator)
    assert nms(boxes, scores, 0.4).tolist() == slow_nms(boxes, scores, 0.4)
    assert nms(boxes[:0], scores[:0], 0.4).tolist() == []


def test_roi_align_runs_without_a_compiler():
    from torchvision.ops import roi_align

    image = torch.arange(64.0).view(1, 1, 8, 8)
    boxes = torch.tensor([[0, 2.0, 2.0, 6.0, 6.0]])
    counters = torch._dynamo.utils.counters
    before = counters["stats"].get("unique_graphs", 0)
    pooled = roi_align(image, boxes, output_size=2, sampling_ratio=2, aligned=True)
    # pixel centres lie at half pixels: the mean over columns 2…4 and rows 2…4 is that at (2.5, 2.5)
    assert pooled[0, 0].tolist() == [[22.5, 24.5], [38.5, 40.5]]
    assert counters["stats"].get("unique_graphs", 0) == before
