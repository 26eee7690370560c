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

from knowlip.benchmark.metrics import classification_scores
from knowlip.errors import CheckpointError, DataError
from models.augment import Augmentation
from models.checkpoint import load, load_strictly, read_weights
from models.tasks.base import CheckpointSettings, CheckpointTask
from models.tasks.protocol import Batch
from models.tasks.views import read_views
from models.verbs import KnowlipModel

__all__ = ["COLUMNS", "ClassificationSettings", "ClassificationTask", "Classifier", "load_classifier"]

COLUMNS = ("example_id", "view", "label")
"""Columns of `datasets/NAME/` that classification reads."""

_CLASSES, _HEAD = "classes.json", "head.safetensors"


class ClassificationSettings(CheckpointSettings):
    """What a classification task is made from."""

    classes: tuple[str, ...] = Field(min_length=2)
    """Class names, in the order of the head's outputs."""
    augmentation: Augmentation = Augmentation()
    """How training images vary."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""


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


class ClassificationTask(CheckpointTask):
    """One label an image.

    Args:
        settings: What it is made from.
    """

    name = "classification"
    best_metric = "top1"
    higher_is_better = True
    score = staticmethod(classification_scores)

    settings: ClassificationSettings

    def __init__(self, settings: ClassificationSettings) -> None:
        super().__init__(settings)
        self._index = {label: index for index, label in enumerate(settings.classes)}
        self._network: Classifier | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**super().__getstate__(), "_network": None}

    @property
    def network(self) -> Classifier:
        """The network; `build` must have been called."""
        if self._network is None:
            raise RuntimeError("build() the task first")
        return self._network

    def build(self) -> nn.Module:
        """Put a new head on the checkpoint's vision tower."""
        vision = self.model.network.vision
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self._network = Classifier(vision, int(vision.num_features), len(self.settings.classes))
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
        head = {name: value.detach().cpu().clone() for name, value in self.network.head.state_dict().items()}
        save_file(head, Path(folder) / _HEAD)
        (Path(folder) / _CLASSES).write_text(json.dumps(list(self.settings.classes)), encoding="utf-8")

    def _forward(self, batch: Batch) -> Tensor:
        return self.network(self._pixels(batch)).float()


def load_classifier(folder: str | Path) -> tuple[Classifier, KnowlipModel, tuple[str, ...]]:
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
    vision = model.network.vision
    network = Classifier(vision, int(vision.num_features), len(classes))
    load_strictly(network.head, read_weights(folder / _HEAD), where=str(folder))
    return network.eval(), model, classes
