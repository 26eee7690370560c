"""Classification as a task of the training loop: ViT-CLS, a linear head on the class token (section 4.3, Table 3).

Shape letters: B batch, C classes, D width, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from knowlip.benchmark.metrics import SCORERS
from knowlip.errors import CheckpointError, DataError
from models.augment import Augmentation
from models.fitting import Fitting
from models.tasks.base import CheckpointSettings
from models.tasks.head import HeadTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views
from models.verbs import Answer

__all__ = ["COLUMNS", "Backbone", "ClassificationSettings", "ClassificationTask", "Classifier"]

COLUMNS = ("example_id", "view", "label")
"""Columns of `datasets/NAME/` that classification reads."""

_RANKED = 3
"""So many classes of a held-out image are kept."""


class ClassificationSettings(CheckpointSettings):
    """What a classification task is made from."""

    classes: tuple[str, ...] = Field(min_length=2)
    """Class names, in the order of the head's outputs."""
    augmentation: Augmentation = Augmentation()
    """How training images vary."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    backbone: str = ""
    """A timm network such as `resnet10t`, trained from random weights in the vision tower's place: a floor."""


class Classifier(nn.Module):
    """A vision tower with a linear head.

    Args:
        vision: A tower that gives states (B, 1 + N, D), class token first.
        width: D.
        classes: C.
    """

    def __init__(self, vision: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.vision = vision
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return logits (B, C)."""
        return self.head(self.vision.forward_features(pixels_BCHW)[:, 0])


class Backbone(nn.Module):
    """Any timm network as a classifier, from random weights.

    Args:
        name: timm's name.
        channels: Of the input.
        classes: C.

    Raises:
        CheckpointError: timm has no such network.
    """

    def __init__(self, name: str, channels: int, classes: int) -> None:
        super().__init__()
        import timm

        if not timm.is_model(name):
            raise CheckpointError(f"timm has no {name!r}", where="backbone", fix="name another, such as resnet10t")
        self.network = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Return logits (B, C)."""
        return self.network(pixels_BCHW)


class ClassificationTask(HeadTask):
    """One label an image.

    Args:
        settings: What it is made from.
    """

    name = "classification"
    best_metric = "top1"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: ClassificationSettings

    def __init__(self, settings: ClassificationSettings) -> None:
        super().__init__(settings)
        self._index = {label: index for index, label in enumerate(settings.classes)}

    def _headed(self) -> nn.Module:
        """Return the tower with a linear head, or the network that takes its place."""
        config, vision = self.model.network.config.vision, self.model.network.vision
        if self.settings.backbone:
            return Backbone(self.settings.backbone, config.channels, len(self.settings.classes))
        return Classifier(vision, int(vision.num_features), len(self.settings.classes))

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return `pixels` (B, H, W) uint8, `labels` (B), `example_id` and `skipped`.

        Raises:
            DataError: A label is none of the classes, or no row can be used.
        """
        augmentation = self.settings.augmentation if train else None
        views = read_views(columns, self.model.preprocessing, augmentation, generator, fit=self.settings.fit)
        labels = [str(columns["label"][index]) for index in views.kept]
        unknown = sorted({label for label in labels if label not in self._index})
        if unknown:
            raise DataError(f"unknown labels {unknown}", where="examples", fix=f"use {list(self._index)}")
        return {
            "pixels": views.pixels,
            "labels": torch.tensor([self._index[label] for label in labels]),
            "example_id": [str(columns["example_id"][index]) for index in views.kept],
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        logits_BC = self.network(self._pixels(batch)).float()
        smoothing = self.settings.label_smoothing
        return {"cross_entropy": functional.cross_entropy(logits_BC, batch["labels"], label_smoothing=smoothing)}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Rank the classes for each image of a held-out batch."""
        seen = self.predict(batch["pixels"], ())
        for name, label, answers in zip(batch["example_id"], batch["labels"].tolist(), seen, strict=True):
            ranked = [answer.answer for answer in answers[:_RANKED]]
            self._records.append({"example_id": name, "label": self.settings.classes[label], "ranked": ranked})

    def predict(self, pixels_BHW: Tensor, fittings: Sequence[Fitting]) -> list[list[Answer]]:  # noqa: ARG002 (an image has no place)
        """Return all classes with their probabilities for each image, likeliest first."""
        shares_BC = self.network(self.model.preprocessing.normalised(pixels_BHW)).float().softmax(dim=1)
        ranked = shares_BC.sort(dim=1, descending=True, stable=True)
        return [
            [Answer(self.settings.classes[place], share) for place, share in zip(places, shares, strict=True)]
            for places, shares in zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
        ]
