"""Classification as a task of the training loop: ViT-CLS, a linear head on the class token (section 4.3, Table 3).

Shape letters: B batch, C classes, D width, H W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from knowlip.benchmark.metrics import SCORERS
from knowlip.errors import CheckpointError, DataError
from models.augment import Augmentation
from models.checkpoint import load, load_strictly, read_weights
from models.tasks.base import CheckpointSettings, CheckpointTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views
from models.verbs import KnowlipModel

__all__ = ["COLUMNS", "Backbone", "ClassificationSettings", "ClassificationTask", "Classifier", "load_classifier"]

COLUMNS = ("example_id", "view", "label")
"""Columns of `datasets/NAME/` that classification reads."""

_CLASSES, _HEAD, _BACKBONE = "classes.json", "head.safetensors", "backbone.json"


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


class ClassificationTask(CheckpointTask):
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
        self._network: Classifier | Backbone | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**super().__getstate__(), "_network": None}

    @property
    def network(self) -> Classifier | Backbone:
        """The network; `build` must have been called."""
        if self._network is None:
            raise RuntimeError("build() the task first")
        return self._network

    def build(self) -> nn.Module:
        """Put a new head on the checkpoint's vision tower, or make the network that takes its place."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self._network = _network(self.model, self.settings.backbone, len(self.settings.classes))
        return self._network

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
        logits_BC = self._forward(batch)
        smoothing = self.settings.label_smoothing
        return {"cross_entropy": functional.cross_entropy(logits_BC, batch["labels"], label_smoothing=smoothing)}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Rank the classes for each image of a held-out batch."""
        classes, most = self.settings.classes, min(3, len(self.settings.classes))
        ranked_BK = self._forward(batch).topk(most, dim=1).indices.tolist()
        for name, label, ranked in zip(batch["example_id"], batch["labels"].tolist(), ranked_BK, strict=True):
            names = [classes[index] for index in ranked]
            self._records.append({"example_id": name, "label": classes[label], "ranked": names})

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint with the tuned tower, and beside it the head and the names of its classes."""
        super().export(folder, manifest)
        own = self.network.head if isinstance(self.network, Classifier) else self.network.network
        head = {name: value.detach().cpu().clone() for name, value in own.state_dict().items()}
        save_file(head, Path(folder) / _HEAD)
        if self.settings.backbone:
            (Path(folder) / _BACKBONE).write_text(json.dumps({"timm": self.settings.backbone}), encoding="utf-8")
        (Path(folder) / _CLASSES).write_text(json.dumps(list(self.settings.classes)), encoding="utf-8")

    def _forward(self, batch: Batch) -> Tensor:
        return self.network(self._pixels(batch)).float()


def load_classifier(folder: str | Path) -> tuple[Classifier | Backbone, KnowlipModel, tuple[str, ...]]:
    """Open a fine-tuned classifier: the network, the model it belongs to, and its classes.

    Raises:
        CheckpointError: The folder is no classifier's, or something in it does not fit.
    """
    folder = Path(folder)
    model = load(folder)
    try:
        classes = tuple(json.loads((folder / _CLASSES).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"no {_CLASSES}", where=str(folder), fix="fine-tune a classifier") from error
    named = folder / _BACKBONE
    backbone = json.loads(named.read_text(encoding="utf-8"))["timm"] if named.exists() else ""
    network = _network(model, backbone, len(classes))
    own = network.head if isinstance(network, Classifier) else network.network
    load_strictly(own, read_weights(folder / _HEAD), where=str(folder))
    return network.eval(), model, classes


def _network(model: KnowlipModel, backbone: str, classes: int) -> Classifier | Backbone:
    if backbone:
        return Backbone(backbone, model.network.config.vision.channels, classes)
    vision = model.network.vision
    return Classifier(vision, int(vision.num_features), classes)
