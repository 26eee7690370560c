"""Detection as a task of the training loop: ViTDet on the vision tower (section 4.3, Table 4).

Shape letters: B batch, T boxes, H W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from knowlip.benchmark.metrics import SCORERS, detection_record
from knowlip.errors import DataError
from models.augment import Augmentation
from models.heads.vitdet import DetectorConfig, make_detector
from models.tasks.base import CheckpointSettings, CheckpointTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views

__all__ = ["COLUMNS", "DetectionSettings", "DetectionTask"]

COLUMNS = ("example_id", "view", "boxes")
"""Columns of `datasets/NAME/` that detection reads."""

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_CLASSES, _HEAD = "classes.json", "head.safetensors"


class DetectionSettings(CheckpointSettings):
    """What a detection task is made from."""

    classes: tuple[str, ...] = Field(min_length=1)
    """Category names, in the order of the head's outputs after the background."""
    detector: DetectorConfig = DetectorConfig()
    """The head."""
    augmentation: Augmentation = Augmentation()
    """How training images vary; boxes follow."""


class DetectionTask(CheckpointTask):
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
        self._network: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**super().__getstate__(), "_network": None}

    def build(self) -> nn.Module:
        """Put a new detector on the checkpoint's vision tower."""
        config, vision = self.model.network.config.vision, self.model.network.vision
        patch = int(vision.patch_embed.patch_size[0])
        size, count = self.model.preprocessing.image_size, len(self.settings.classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self._network = make_detector(vision, patch, config.channels, size, count, self.settings.detector)
        return self._network

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
        return {name.removeprefix("loss_"): value for name, value in self._network(images, targets).items()}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Detect in a held-out batch, and match image by image, in the images' own pixels."""
        found = self._network(list(self._pixels(batch)))
        rows = zip(batch["example_id"], found, batch["truths"], batch["fittings"], strict=True)
        for name, one, truths, fitting in rows:
            boxes = fitting.boxes_back(one["boxes"].float().cpu().numpy()).tolist()
            given = [
                {"category": self.settings.classes[label - 1], "box": box, "score": score}
                for box, label, score in zip(boxes, one["labels"].tolist(), one["scores"].tolist(), strict=True)
            ]
            record = {"example_id": name, "given": given, "truths": truths}
            self._records.append({**record, **detection_record(given, truths)})

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint with the tuned tower, and beside it the detector's own weights and its categories."""
        super().export(folder, manifest)
        own = {name: value for name, value in self._network.state_dict().items() if ".vision." not in name}
        save_file({name: value.detach().cpu().clone() for name, value in own.items()}, Path(folder) / _HEAD)
        (Path(folder) / _CLASSES).write_text(json.dumps(list(self.settings.classes)), encoding="utf-8")


def _boxes(boxes: Any) -> tuple[list[str], NDArray[np.float32]]:
    """Return categories and corners of an example's boxes; those without area are no targets to learn from."""
    rows = [box for box in (() if boxes is None else boxes) if box["xmax"] > box["xmin"] and box["ymax"] > box["ymin"]]
    corners = np.array([[box[edge] for edge in _EDGES] for box in rows], np.float32).reshape(-1, 4)
    return [str(box["category"]) for box in rows], corners
