"""Segmentation as a task of the training loop: Segmenter on the vision tower (section 4.3, Table 4).

Shape letters: B batch, C classes, H W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from knowlip.benchmark.metrics import SCORERS, segmentation_record
from knowlip.errors import DataError
from models.augment import Augmentation
from models.fitting import Fitting
from models.heads.segmenter import Segmenter, SegmenterConfig
from models.tasks.base import CheckpointSettings
from models.tasks.head import HeadTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views

__all__ = ["COLUMNS", "SegmentationSettings", "SegmentationTask"]

COLUMNS = ("example_id", "view", "mask")
"""Columns of `datasets/NAME/` that segmentation reads."""

UNKNOWN = -1


class SegmentationSettings(CheckpointSettings):
    """What a segmentation task is made from."""

    classes: dict[int, str] = Field(min_length=2)
    """Name of each code of the masks, 1 … 255; 0 is unknown."""
    segmenter: SegmenterConfig = SegmenterConfig()
    """The head."""
    augmentation: Augmentation = Augmentation()
    """How training images vary; masks follow."""


class SegmentationTask(HeadTask):
    """A class for each pixel.

    Args:
        settings: What it is made from.
    """

    name = "segmentation"
    best_metric = "miou"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: SegmentationSettings

    def __init__(self, settings: SegmentationSettings) -> None:
        super().__init__(settings)
        self._codes = np.full(256, UNKNOWN, np.int16)
        for index, code in enumerate(settings.classes):
            self._codes[code] = index

    def _headed(self) -> nn.Module:
        """Return the tower with a mask transformer."""
        vision, settings = self.model.network.vision, self.settings
        patch, width = int(vision.patch_embed.patch_size[0]), int(vision.num_features)
        return Segmenter(vision, patch, width, len(settings.classes), settings.segmenter)

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return `pixels` (B, H, W) uint8, `labels` (B, H, W) with −1 where nothing is known, ids and `skipped`.

        Held-out batches have `truths` too: the labels of each image in its own pixels, and `fittings`.

        Raises:
            DataError: A mask has another size than its image, or holds an unknown code, or no row can be used.
        """
        settings = self.settings
        augmentation = settings.augmentation if train else None
        views = read_views(columns, self.model.preprocessing, augmentation, generator, fit=settings.fit, still=True)
        labels, truths, names = [], [], [str(columns["example_id"][index]) for index in views.kept]
        for name, index, fitting, turn in zip(names, views.kept, views.fittings, views.turns, strict=True):
            codes = _decoded(columns["mask"][index], fitting.shape, name)
            labels.append(self._indices(turn.image(fitting.mask(codes)), name))
            if not train:
                truths.append(self._indices(codes, name))
        return {
            "pixels": views.pixels,
            "labels": torch.from_numpy(np.stack(labels)),
            "truths": truths,
            "fittings": views.fittings,
            "example_id": names,
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy over known pixels."""
        logits_BCHW, labels_BHW = self.network(self._pixels(batch)).float(), batch["labels"].long()
        summed = functional.cross_entropy(logits_BCHW, labels_BHW, ignore_index=UNKNOWN, reduction="sum")
        return {"cross_entropy": summed / (labels_BHW != UNKNOWN).sum().clamp(min=1)}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Add the confusion of each image of a held-out batch, in the image's own pixels."""
        seen = self._places(batch["pixels"], batch["fittings"])
        for name, given, right in zip(batch["example_id"], seen, batch["truths"], strict=True):
            self._records.append({"example_id": name, **segmentation_record(given, right, len(self.settings.classes))})

    def predict(self, pixels_BHW: Tensor, fittings: Sequence[Fitting]) -> list[NDArray[np.uint8]]:
        """Return a mask (H, W) of the classes' codes for each image."""
        codes = np.array(list(self.settings.classes), np.uint8)
        return [codes[places_HW] for places_HW in self._places(pixels_BHW, fittings)]

    def _places(self, pixels_BHW: Tensor, fittings: Sequence[Fitting]) -> list[NDArray[np.int64]]:
        """Return for each pixel of each image which of the classes it is, counted from 0."""
        logits_BCHW = self.network(self.model.preprocessing.normalised(pixels_BHW)).float()
        rows = zip(logits_BCHW, fittings, strict=True)
        return [_on_image(logits_CHW, fitting).argmax(dim=0).cpu().numpy() for logits_CHW, fitting in rows]

    def _indices(self, codes_HW: NDArray[np.uint8], name: str) -> NDArray[np.int16]:
        labels = self._codes[codes_HW]
        unknown = np.unique(codes_HW[(labels == UNKNOWN) & (codes_HW != 0)])
        if len(unknown):
            known = ", ".join(map(str, self.settings.classes))
            raise DataError(
                f"unknown label values {unknown.tolist()}", where=name, fix=f"use {known}, or 0 for unknown"
            )
        return labels


def _on_image(logits_CHW: Tensor, fitting: Fitting) -> Tensor:
    """Return the logits of the input where the image lies, at the image's own size."""
    height, width = fitting.extent
    part = logits_CHW[None, :, fitting.top : fitting.top + height, fitting.left : fitting.left + width]
    return functional.interpolate(part, size=fitting.shape, mode="bilinear", align_corners=False)[0]


def _decoded(mask: bytes | None, shape: tuple[int, int], name: str) -> NDArray[np.uint8]:
    if mask is None:
        raise DataError("has no mask", where=name, fix="make the examples again")
    with Image.open(io.BytesIO(mask)) as opened:
        codes = np.asarray(opened, np.uint8)
    if codes.shape != shape:
        raise DataError(f"a mask of {codes.shape} on an image of {shape}", where=name, fix="give them one size")
    return codes
