"""Detection: boxes lie where the images' pixels do, whatever happens to them on the way."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from knowlip.errors import DataError
from models.heads.vitdet import DetectorConfig
from models.tasks.detection import DetectionSettings, DetectionTask

Columns = dict[str, np.ndarray]


def settings(checkpoint: Path, **changes: object) -> DetectionSettings:
    head = DetectorConfig(width=16, anchors_px=(4, 8, 16, 24, 32), proposals=8, pooled=2, head_width=32)
    return DetectionSettings(checkpoint=str(checkpoint), classes=("block",), detector=head, **changes)


def columns(*images: np.ndarray, boxes: list[tuple[float, ...]]) -> Columns:
    """One box an image."""
    made = {name: np.empty(len(images), dtype=object) for name in ("example_id", "view", "boxes")}
    for place, (image, box) in enumerate(zip(images, boxes, strict=True)):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        made["example_id"][place], made["view"][place] = f"e{place}", stream.getvalue()
        made["boxes"][place] = [{"category": "block", **dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))}]
    return made


def blocks() -> Columns:
    """A bright block in an image that is larger and wider than the input, and one in a small one."""
    large, small = np.full((48, 96), 40, np.uint8), np.full((20, 24), 40, np.uint8)
    large[12:36, 60:84] = 250
    small[2:8, 10:22] = 250
    return columns(large, small, boxes=[(60, 12, 84, 36), (10, 2, 22, 8)])


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_follow_what_happens_to_their_images(tiny_checkpoint: Path, fit: str, seed: int) -> None:
    task = DetectionTask(settings(tiny_checkpoint, fit=fit))
    batch = task.collate(blocks(), train=True, generator=torch.Generator().manual_seed(seed))
    for pixels, target in zip(batch["pixels"], batch["targets"], strict=True):
        rows, cols = np.nonzero(pixels.numpy() > 150)
        seen = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        assert target["boxes"][0].tolist() == pytest.approx(seen, abs=1.0)
        assert target["labels"].tolist() == [1]


def test_losses_are_finite_with_and_without_boxes_and_figures_come_back(tiny_checkpoint: Path, tmp_path: Path) -> None:
    task = DetectionTask(settings(tiny_checkpoint))
    network = task.build().train()
    rows = blocks()
    rows["boxes"][1] = None
    batch = task.collate(rows, train=False, generator=torch.Generator().manual_seed(0))
    losses = task.losses(batch)
    assert set(losses) == {"classifier", "box_reg", "objectness", "rpn_box_reg"}
    sum(losses.values()).backward()
    assert network.backbone.vision.patch_embed.proj.weight.grad.abs().sum() > 0
    network.eval()
    task.evaluate(batch)
    assert set(task.metrics()) == {"map50", "recall50"}
    assert [len(record["truths"]) for record in task.scored] == [1, 0]
    task.export(tmp_path / "tuned", {})
    assert models.load(tmp_path / "tuned").preprocessing.image_size == 32


def test_an_unknown_category_is_one_clear_line(tiny_checkpoint: Path) -> None:
    rows = blocks()
    rows["boxes"][0][0]["category"] = "hangar"
    with pytest.raises(DataError, match=r"examples: unknown categories \['hangar'\]; use \['block'\]"):
        DetectionTask(settings(tiny_checkpoint)).collate(rows, train=True, generator=torch.Generator())
