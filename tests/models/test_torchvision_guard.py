"""The stand-ins for torchvision's operators: there when they are needed, right, and out of the way."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from typing import Any

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


@pytest.mark.skipif(not guard.install(), reason="torchvision's compiled operators load here")
@pytest.mark.parametrize("aligned", [True, False])
def test_regions_are_pooled_as_by_torchvisions_own_python(aligned):
    import torchvision.ops  # noqa: F401

    module = sys.modules["torchvision.ops.roi_align"]
    plain = torchvisions_own_roi_align(module)
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 4, 9, 13, generator=generator, dtype=torch.float64, requires_grad=True)
    corner = torch.rand(20, 2, generator=generator, dtype=torch.float64) * 20
    size = 1 + torch.rand(20, 2, generator=generator, dtype=torch.float64) * 22
    image = torch.randint(0, 3, (20, 1), generator=generator)
    regions = torch.cat([image, corner, corner + size], dim=1)  # all inside maps of 45 x 65 pixels
    given = (maps, regions, 0.2, 5, 3, 2, aligned)
    expected, found = plain(*given), module._roi_align(*given)
    assert torch.allclose(found, expected, atol=1e-5)
    slopes = [torch.autograd.grad(pooled.square().sum(), maps)[0] for pooled in (expected, found)]
    assert torch.allclose(*slopes, atol=1e-4)
    with pytest.raises(NotImplementedError, match="sampling_ratio"):
        module._roi_align(maps, regions, 0.2, 5, 3, -1, aligned)


def torchvisions_own_roi_align(module: Any) -> Any:
    """Compile torchvision's Python `_roi_align` anew, without its decorator, from the module's source."""
    tree = ast.parse(inspect.getsource(module))
    tree.body = [node for node in tree.body if getattr(node, "name", "") == "_roi_align"]
    tree.body[0].decorator_list = []
    scope = dict(vars(module))
    exec(compile(tree, module.__file__, "exec"), scope)  # noqa: S102 (the library's own source)
    return scope["_roi_align"]


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
