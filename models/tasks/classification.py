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

from knowlip.errors import CheckpointError, DataError
from knowlip.settings import Section
from models.augment import Augmentation
from models.checkpoint import load, load_strictly, read_weights, save_checkpoint
from models.collectives import gather_rows
from models.tasks.protocol import Batch
from models.tasks.views import read_views
from models.verbs import KnowlipModel

__all__ = ["COLUMNS", "ClassificationSettings", "ClassificationTask", "Classifier", "load_classifier"]

COLUMNS = ("example_id", "view", "label")
"""Columns of `datasets/NAME/` that classification reads."""

_CLASSES, _HEAD = "classes.json", "head.safetensors"


class ClassificationSettings(Section):
    """What a classification task is made from."""

    checkpoint: str
    """Checkpoint folder whose vision tower is fine-tuned."""
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


class ClassificationTask:
    """One label an image.

    Args:
        settings: What it is made from.
    """

    name = "classification"
    best_metric = "top1"
    higher_is_better = True

    def __init__(self, settings: ClassificationSettings) -> None:
        self.settings = settings
        self._index = {label: index for index, label in enumerate(settings.classes)}
        self._model: KnowlipModel | None = None
        self._network: Classifier | None = None
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    @property
    def model(self) -> KnowlipModel:
        """The checkpoint that is fine-tuned; opened once in a process."""
        if self._model is None:
            self._model = load(self.settings.checkpoint)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**self.__dict__, "_model": None, "_network": None}

    @property
    def network(self) -> Classifier:
        """The network; `build` must have been called."""
        if self._network is None:
            raise RuntimeError("build() the task first")
        return self._network

    def build(self) -> nn.Module:
        """Put a new head on the checkpoint's vision tower."""
        vision = self.model.network.vision
        self._network = Classifier(vision, int(vision.num_features), len(self.settings.classes))
        return self._network

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return `pixels` (B, H, W) uint8, `labels` (B), `example_id` and `skipped`.

        Raises:
            DataError: A label is none of the classes, or no row can be used.
        """
        views = read_views(columns, self.model.preprocessing, self.settings.augmentation if train else None, generator)
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

    def after_step(self) -> None:
        """Do nothing: there is no moving average."""

    def evaluate(self, batch: Batch) -> None:
        """Add a held-out batch."""
        self._logits.append(self._forward(batch))
        self._labels.append(batch["labels"])

    def metrics(self) -> dict[str, float]:
        """Return `top1`, `top3` and `mean_recall` (over the classes that occur) of all workers' examples."""
        device = self.network.head.weight.device
        none = torch.zeros(0, len(self.settings.classes)), torch.zeros(0, dtype=torch.int64)
        logits_NC = gather_rows(torch.cat([*self._logits, none[0].to(device)]))
        labels_N = gather_rows(torch.cat([*self._labels, none[1].to(device)]))
        self._logits, self._labels = [], []
        if not len(labels_N):
            return {}
        return _scores(logits_NC, labels_N)

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint with the tuned tower, and beside it the head and the names of its classes."""
        model = self.model
        save_checkpoint(folder, model.network, model.tokenizer, model.preprocessing, manifest)
        head = {name: value.detach().cpu().clone() for name, value in self.network.head.state_dict().items()}
        save_file(head, Path(folder) / _HEAD)
        (Path(folder) / _CLASSES).write_text(json.dumps(list(self.settings.classes)), encoding="utf-8")

    def _forward(self, batch: Batch) -> Tensor:
        return self.network(self.model.preprocessing.normalised(batch["pixels"])).float()


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


def _scores(logits_NC: Tensor, labels_N: Tensor) -> dict[str, float]:
    ranked_NK = logits_NC.topk(min(3, logits_NC.shape[1]), dim=1).indices
    right_NK = ranked_NK == labels_N[:, None]
    recalls = [right_NK[labels_N == label, 0].float().mean() for label in labels_N.unique()]
    return {
        "top1": right_NK[:, 0].float().mean().item(),
        "top3": right_NK.any(dim=1).float().mean().item(),
        "mean_recall": torch.stack(recalls).mean().item(),
    }
