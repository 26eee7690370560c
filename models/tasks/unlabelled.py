"""What MAE and MoCo v3 have in common: images without words, and a checkpoint whose vision tower alone has learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.settings import Section
from models.augment import Augmentation
from models.checkpoint import save_checkpoint
from models.collectives import gather_objects
from models.config import KnowLIPConfig
from models.initialise import Initialisation, initialise
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.tasks.protocol import Batch
from models.tasks.views import Views, read_views
from models.text import Tokenizer

__all__ = ["COLUMNS", "UnlabelledSettings", "UnlabelledTask", "named"]

COLUMNS = ("tile_id", "view")
"""Columns of `corpus/` (or `tiles/`) that are read."""


class UnlabelledSettings(Section):
    """What a task on images alone is made from."""

    model: KnowLIPConfig = KnowLIPConfig()
    """The model whose vision tower is trained; its vocabulary is taken from the tokenizer."""
    tokenizer: str = "package"
    """A folder with `tokenizer.json`, or `package`: the checkpoint carries it, for tasks with words."""
    initialise: Initialisation = Initialisation()
    """First weights."""
    seed: int = 0
    """Of the first weights."""


class UnlabelledTask(ABC):
    """The base of self-supervised baselines on images.

    Args:
        settings: What it is made from.
    """

    best_metric: ClassVar[str]
    higher_is_better: ClassVar[bool]

    def __init__(self, settings: UnlabelledSettings) -> None:
        packaged = settings.tokenizer == "package"
        self.settings = settings
        self.tokenizer = Tokenizer.packaged() if packaged else Tokenizer.from_folder(settings.tokenizer)
        self.config = settings.model.with_vocabulary(self.tokenizer.vocab_size)
        vision = self.config.vision
        self.preprocessing = Preprocessing(image_size=vision.image_size, channels=vision.channels)
        self._record: dict[str, Any] = {}
        self._scores: list[tuple[int, dict[str, float]]] = []
        self._student: KnowLIP | None = None

    @property
    def student(self) -> KnowLIP:
        """The model whose vision tower is trained; `build` must have been called."""
        if self._student is None:
            raise RuntimeError("build() the task first")
        return self._student

    def build(self) -> nn.Module:
        """Make the model, and around its vision tower what learns without labels."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self._student = KnowLIP(self.config)
            network = self._around(self._student.vision)
        self._record = initialise(self._student, self.settings.initialise)
        return network

    def after_step(self) -> None:  # noqa: B027 (a hook that only MoCo has a use for)
        """Do nothing: there is no moving average."""

    def metrics(self) -> dict[str, float]:
        """Return the means over all workers' held-out images since the last call, and start afresh."""
        scores = gather_objects(self._scores)
        self._scores = []
        if not scores:
            return {}
        rows = [count for count, _ in scores]
        return {name: float(np.average([one[name] for _, one in scores], weights=rows)) for name in scores[0][1]}

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint folder; what is not the vision tower is as it began."""
        made = {**manifest, "initialisation": self._record}
        save_checkpoint(folder, self.student, self.tokenizer, self.preprocessing, made)

    @abstractmethod
    def _around(self, vision: nn.Module) -> nn.Module:
        """Return what learns without labels, around the vision tower."""

    def _score(self, batch: Batch, **figures: Tensor) -> None:
        """Note a held-out batch's means; each image counts the same, also in a batch that is not full."""
        self._scores.append((len(batch["tile_id"]), {name: float(value) for name, value in figures.items()}))

    def _views(
        self, columns: Mapping[str, np.ndarray], augmentation: Augmentation | None, generator: torch.Generator
    ) -> Views:
        rows = {"example_id": columns["tile_id"], "view": columns["view"]}
        return read_views(rows, self.preprocessing, augmentation, generator)

    def _pixels(self, pixels_BHW: Tensor) -> Tensor:
        return self.preprocessing.normalised(pixels_BHW)


def named(columns: Mapping[str, np.ndarray], views: Views) -> Batch:
    """Return what every batch says about its rows."""
    return {"tile_id": [str(columns["tile_id"][index]) for index in views.kept], "skipped": views.skipped}
