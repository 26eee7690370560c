"""Segmentation: masks follow their images, and are scored in the images' own pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from knowlip.errors import DataError
from models.heads.segmenter import SegmenterConfig
from models.tasks.segmentation import SegmentationSettings, SegmentationTask

Columns = dict[str, np.ndarray]
CLASSES = {3: "dark", 9: "bright"}


@pytest.fixture
def task(tiny_checkpoint: Path) -> SegmentationTask:
    head = SegmenterConfig(layers=1, heads=2)
    return SegmentationTask(SegmentationSettings(checkpoint=str(tiny_checkpoint), classes=CLASSES, segmenter=head))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def halves() -> Columns:
    """Two images of another size than the input, bright where the mask says so; a row of each is unknown."""
    made = {name: np.empty(2, dtype=object) for name in ("example_id", "view", "mask")}
    for place, shape in enumerate(((64, 96), (80, 80))):
        image, mask = np.full(shape, 40, np.uint8), np.full(shape, 3, np.uint8)
        image[: shape[0] // 2, shape[1] // 2 :] = 220
        mask[: shape[0] // 2, shape[1] // 2 :] = 9
        mask[0] = 0
        made["example_id"][place], made["view"][place], made["mask"][place] = f"e{place}", png(image), png(mask)
    return made


class Threshold(nn.Module):
    """Knows the answer: what is bright on the input."""

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        bright = pixels_BCHW[:, 0] - 0.5
        return torch.stack([-bright, bright], dim=1)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_is_scored_in_the_images_own_pixels(task: SegmentationTask, fit: str) -> None:
    task.settings = task.settings.model_copy(update={"fit": fit})
    batch = task.collate(halves(), train=False, generator=torch.Generator())
    task._network = Threshold()
    task.evaluate(batch)
    figures = task.metrics()
    assert figures["miou"] > 0.93  # what is lost is one pixel of the input along the edges
    pixels = [int(np.sum(record["confusion"])) for record in task.scored]
    assert pixels == [63 * 96, 79 * 80]


def test_masks_turn_with_their_images(task: SegmentationTask) -> None:
    for seed in range(6):
        batch = task.collate(halves(), train=True, generator=torch.Generator().manual_seed(seed))
        known = batch["labels"] >= 0
        bright = batch["pixels"] > 130
        assert (bright == (batch["labels"] == 1))[known].float().mean() > 0.98


def test_learns_and_keeps_unknown_pixels_out_of_the_loss(task: SegmentationTask) -> None:
    network = task.build().train()
    batch = task.collate(halves(), train=False, generator=torch.Generator())
    batch["labels"][:, :4] = -1
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    first = task.losses(batch)["cross_entropy"]
    for _ in range(10):
        optimiser.zero_grad()
        task.losses(batch)["cross_entropy"].backward()
        optimiser.step()
    assert task.losses(batch)["cross_entropy"] < first
    batch["labels"][:] = -1
    assert task.losses(batch)["cross_entropy"] == 0


def test_masks_that_do_not_fit_are_one_clear_line(task: SegmentationTask) -> None:
    rows = halves()
    rows["mask"][0] = png(np.full((64, 96), 4, np.uint8))
    with pytest.raises(DataError, match=r"e0: unknown label values \[4\]; use 3, 9, or 0 for unknown"):
        task.collate(rows, train=True, generator=torch.Generator())
    rows["mask"][0] = png(np.full((10, 10), 3, np.uint8))
    with pytest.raises(DataError, match=r"e0: a mask of \(10, 10\) on an image of \(64, 96\)"):
        task.collate(rows, train=True, generator=torch.Generator())
