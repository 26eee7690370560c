"""What tasks that tune a checkpoint have in common: the model they start from, and records that become figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from knowlip.archive import local_checkpoint
from knowlip.benchmark.held_out import write_records
from knowlip.benchmark.metrics import Record, Scorer
from knowlip.errors import CheckpointError
from knowlip.settings import Section
from models.checkpoint import load, save_checkpoint
from models.collectives import gather_objects
from models.config import KnowLIPConfig
from models.initialise import Initialisation, initialise
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.tasks.protocol import Batch
from models.verbs import KnowlipModel

__all__ = ["CheckpointSettings", "CheckpointTask", "opened"]


class CheckpointSettings(Section):
    """What every task that tunes a checkpoint is made from."""

    checkpoint: str
    """Checkpoint folder that is fine-tuned, on this machine or an object store."""
    start: str = "checkpoint"
    """First weights: `checkpoint`; `scratch` (the same architecture, at random); or an external vision transformer with
    the rest at random: `timm:NAME`, a folder with timm's config.json and weights (both bring their architecture), or a
    .safetensors file that fits the checkpoint's tower."""
    image_size: int = Field(0, ge=0, le=4096)
    """Pixels a side of the input, a multiple of the patch; 0 for the checkpoint's. Position embeddings are fitted."""
    fit: Literal["stretch", "pad"] = "stretch"
    """How an image meets the input size: stretched to it, or padded at its native scale (size in metres tells)."""
    seed: int = 0
    """Decides weights that start at random."""


class CheckpointTask:
    """The base of downstream tasks.

    Args:
        settings: What it is made from.

    Attributes:
        score: From records to figures.
        scored: Records of the last `metrics`, of all workers, until they are exported with the weights.
    """

    score: ClassVar[Scorer]

    def __init__(self, settings: CheckpointSettings) -> None:
        self.settings = settings
        self.scored: list[Record] = []
        self._records: list[Record] = []
        self._model: KnowlipModel | None = None

    @property
    def model(self) -> KnowlipModel:
        """The checkpoint that is fine-tuned; opened once in a process."""
        if self._model is None:
            self._model = opened(self.settings)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**self.__dict__, "_model": None}

    def after_step(self) -> None:
        """Do nothing: there is no moving average."""

    def metrics(self) -> dict[str, float]:
        """Return the figures of all workers' examples since the last call, and start afresh."""
        self.scored = gather_objects(self._records)
        self._records = []
        return type(self).score(self.scored)

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint with its tuned weights, and what these gave for the held-out examples."""
        model = self.model
        save_checkpoint(folder, model.network, model.tokenizer, model.preprocessing, manifest)
        if self.scored:
            write_records(folder, self.scored)
            self.scored = []  # the next weights' are others

    def _pixels(self, batch: Batch) -> Tensor:
        return self.model.preprocessing.normalised(batch["pixels"])


def opened(settings: CheckpointSettings) -> KnowlipModel:
    """Open the model that a task starts from, at its input size.

    Raises:
        CheckpointError: The checkpoint or another source of weights is missing or does not fit.
    """
    model = load(local_checkpoint(settings.checkpoint))
    if settings.start != "checkpoint":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            fresh = KnowLIP(_architecture(model.network.config, settings.start))
        if settings.start != "scratch":
            initialise(fresh, Initialisation(vision=settings.start))
        if getattr(fresh.vision, "num_prefix_tokens", 1) != 1:
            raise CheckpointError(
                "has not exactly one class token", where=settings.start, fix="name a plain vision transformer"
            )
        model = replace(model, network=fresh)
    if settings.image_size in (0, model.preprocessing.image_size):
        return model
    return _resized(model, settings.image_size)


def _architecture(config: KnowLIPConfig, start: str) -> KnowLIPConfig:
    """Return the configuration with the vision tower that the weights were trained for, where they name it."""
    name = start.removeprefix("timm:") if start.startswith("timm:") else _named_in(Path(start))
    if start == "scratch" or not name:
        return config
    values = config.model_dump()
    values["vision"]["timm_name"] = name
    return KnowLIPConfig.model_validate(values)


def _named_in(folder: Path) -> str:
    """Return the architecture in a folder's config.json, as timm writes it; nothing where there is none."""
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architecture", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _resized(model: KnowlipModel, size: int) -> KnowlipModel:
    """Let the vision tower take images of another size."""
    config, network = model.network.config, model.network
    values = config.model_dump()
    values["vision"]["image_size"] = size
    network.vision.set_input_size(img_size=size)
    network.config = KnowLIPConfig.model_validate(values)
    preprocessing = Preprocessing.model_validate({**model.preprocessing.model_dump(), "image_size": size})
    return replace(model, network=network, preprocessing=preprocessing)
