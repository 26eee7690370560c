"""Detection as a task of the training loop: ViTDet on the vision tower (section 4.3, Table 4).

Shape letters: B batch, T boxes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from knowlip.benchmark.metrics import SCORERS, detection_record
from knowlip.errors import DataError
from models.augment import Augmentation
from models.fitting import Fitting
from models.heads.vitdet import DetectorConfig, make_detector
from models.tasks.base import CheckpointSettings
from models.tasks.head import HeadTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views

__all__ = ["COLUMNS", "Detection", "DetectionSettings", "DetectionTask"]

COLUMNS = ("example_id", "view", "boxes")
"""Columns of `datasets/NAME/` that detection reads."""

_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class Detection:
    """A target that was found.

    Attributes:
        category: What it is.
        box: Its edges (xmin, ymin, xmax, ymax) in pixels of the image.
        score: How sure that is, 0 to 1.
    """

    category: str
    box: tuple[float, float, float, float]
    score: float


class DetectionSettings(CheckpointSettings):
    """What a detection task is made from."""

    classes: tuple[str, ...] = Field(min_length=1)
    """Category names, in the order of the head's outputs after the background."""
    detector: DetectorConfig = DetectorConfig()
    """The head."""
    augmentation: Augmentation = Augmentation()
    """How training images vary; boxes follow."""


class DetectionTask(HeadTask):
    """Boxes of targets.

    Args:
        settings: What it is made from.
    """

    name = "detection"
    best_metric = "map50"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: DetectionSettings

    def __init__(self, settings: DetectionSettings) -> None:
        super().__init__(settings)
        self._index = {name: index + 1 for index, name in enumerate(settings.classes)}

    def _headed(self) -> nn.Module:
        """Return a detector around the tower."""
        config, vision = self.model.network.config.vision, self.model.network.vision
        patch = int(vision.patch_embed.patch_size[0])
        size, count = self.model.preprocessing.image_size, len(self.settings.classes)
        return make_detector(vision, patch, config.channels, size, count, self.settings.detector)

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return `pixels` (B, H, W) uint8, `targets` (boxes and labels on the input), `truths`, ids and `skipped`.

        Raises:
            DataError: A category is none of the classes, or no row can be used.
        """
        settings = self.settings
        augmentation = settings.augmentation if train else None
        views = read_views(columns, self.model.preprocessing, augmentation, generator, fit=settings.fit, still=True)
        size = self.model.preprocessing.image_size
        targets, truths = [], []
        for place, index in enumerate(views.kept):
            names, boxes_T4 = _boxes(columns["boxes"][index])
            unknown = sorted(set(names) - self._index.keys())
            if unknown:
                raise DataError(f"unknown categories {unknown}", where="examples", fix=f"use {list(self._index)}")
            placed = views.turns[place].boxes(views.fittings[place].boxes(boxes_T4), size)
            labels = torch.tensor([self._index[name] for name in names], dtype=torch.int64)
            targets.append({"boxes": torch.from_numpy(np.ascontiguousarray(placed)), "labels": labels})
            truths.append([{"category": name, "box": box} for name, box in zip(names, boxes_T4.tolist(), strict=True)])
        return {
            "pixels": views.pixels,
            "targets": targets,
            "truths": truths,
            "fittings": views.fittings,
            "example_id": [str(columns["example_id"][index]) for index in views.kept],
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of proposals and of the region heads."""
        images = list(self._pixels(batch))
        device = images[0].device
        targets = [{name: value.to(device) for name, value in target.items()} for target in batch["targets"]]
        return {name.removeprefix("loss_"): value for name, value in self.network(images, targets).items()}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Detect in a held-out batch, and match image by image."""
        seen = self.predict(batch["pixels"], batch["fittings"])
        for name, found, truths in zip(batch["example_id"], seen, batch["truths"], strict=True):
            given = [{"category": one.category, "box": list(one.box), "score": one.score} for one in found]
            record = {"example_id": name, "given": given, "truths": truths}
            self._records.append({**record, **detection_record(given, truths)})

    def predict(self, pixels_BHW: Tensor, fittings: Sequence[Fitting]) -> list[list[Detection]]:
        """Return the targets of each image, surest first; of one that reaches over its edge, what lies within."""
        seen = []
        found = self.network(list(self.model.preprocessing.normalised(pixels_BHW)))
        for one, fitting in zip(found, fittings, strict=True):
            height, width = fitting.shape
            boxes_T4 = fitting.boxes_back(one["boxes"].float().cpu().numpy()).clip(0, [width, height, width, height])
            rows = zip(one["labels"].tolist(), boxes_T4.tolist(), one["scores"].tolist(), strict=True)
            targets = [Detection(self.settings.classes[label - 1], tuple(box), score) for label, box, score in rows]
            seen.append([one for one in targets if one.box[0] < one.box[2] and one.box[1] < one.box[3]])
        return seen


def _boxes(boxes: Any) -> tuple[list[str], NDArray[np.float32]]:
    """Return categories and corners of an example's boxes; those without area are no targets to learn from."""
    rows = [box for box in (() if boxes is None else boxes) if box["xmax"] > box["xmin"] and box["ymax"] > box["ymin"]]
    corners = np.array([[box[edge] for edge in _EDGES] for box in rows], np.float32).reshape(-1, 4)
    return [str(box["category"]) for box in rows], corners
