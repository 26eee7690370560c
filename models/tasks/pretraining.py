"""Pretraining as a task of the training loop (sections 3.3 and 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.records import SUBTEXTS
from knowlip.settings import Section
from models.augment import Augmentation
from models.checkpoint import save_checkpoint
from models.collectives import gather_rows
from models.config import KnowLIPConfig
from models.flops import StepFlops
from models.initialise import Initialisation, initialise
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.pretrainer import PretrainingNetwork
from models.retrieval import recalls
from models.tasks.pairs import PairBatcher
from models.tasks.protocol import Batch
from models.text import Tokenizer

__all__ = ["PretrainingSettings", "PretrainingTask"]


class PretrainingSettings(Section):
    """What a pretraining task is made from."""

    model: KnowLIPConfig = KnowLIPConfig()
    """The model; its vocabulary is taken from the tokenizer."""
    tokenizer: str = "package"
    """A folder with `tokenizer.json`, or `package` for the `weights` extra's."""
    initialise: Initialisation = Initialisation()
    """First weights."""
    augmentation: Augmentation = Augmentation()
    """How training images vary."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass, for less memory."""
    compile: bool = False
    """Compile both towers."""
    seed: int = 0
    """Of the first weights."""


class PretrainingTask:
    """Contrast, matching and masked language modelling on image-text pairs.

    Args:
        settings: What it is made from.

    Attributes:
        network: The trained model with its momentum encoders and queue, once built.
    """

    name = "pretraining"
    best_metric = "retrieval_mean"
    higher_is_better = True

    def __init__(self, settings: PretrainingSettings) -> None:
        packaged = settings.tokenizer == "package"
        self.tokenizer = Tokenizer.packaged() if packaged else Tokenizer.from_folder(settings.tokenizer)
        self.config = settings.model.with_vocabulary(self.tokenizer.vocab_size)
        self.preprocessing = Preprocessing(
            image_size=self.config.vision.image_size,
            channels=self.config.vision.channels,
        )
        self.settings = settings
        self._batcher = PairBatcher(self.config, self.tokenizer, self.preprocessing, settings.augmentation)
        self._scores = _Scores(self.config.projection)
        self._record: dict[str, Any] = {}
        self._network: PretrainingNetwork | None = None

    @property
    def network(self) -> PretrainingNetwork:
        """The network; `build` must have been called."""
        if self._network is None:
            raise RuntimeError("build() the task first")
        return self._network

    def build(self) -> nn.Module:
        """Make the model, its momentum encoders and its queue."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            student = KnowLIP(self.config)
        self._record = initialise(student, self.settings.initialise)
        student.checkpoint_activations(self.settings.checkpoint_activations)
        self._network = PretrainingNetwork(student)
        if self.settings.compile:
            _compile(student, self._network.momentum.model)
        return self._network

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Decode, vary, tokenise and mask some rows; see `PairBatcher`."""
        return self._batcher(columns, train=train, generator=generator)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted `itc`, `itm` and `mlm` losses (eq. 7)."""
        return self.network(batch, self._pixels(batch))

    def after_step(self) -> None:
        """Push the queue and move the momentum encoders."""
        self.network.after_step()

    def flops(self, batch: Batch) -> float:
        """Return the floating-point operations of a step on a batch; `build` must have been called."""
        return self._flops(batch)

    @cached_property
    def _flops(self) -> StepFlops:
        return StepFlops(self.network)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Add a held-out batch: embeddings for retrieval, matching and writing accuracy."""
        network, student = self.network, self.network.student
        image_BND, image_BE = student.encode_image(self._pixels(batch))
        _, text_BE = student.encode_text(batch["ids"], batch["mask"])
        positive, *negatives, valid_2B = network.matching_logits(batch, image_BND, image_BE, text_BE)
        told_P = batch["told"]
        chosen_P = network.written_logits(batch, image_BND, told_P).argmax(dim=1)
        self._scores.add_pairs(image_BE, text_BE)
        self._scores.add_matches(positive, negatives, valid_2B)
        self._scores.add_written(chosen_P == batch["labels"].flatten()[told_P], batch["kinds"].flatten()[told_P])

    def metrics(self) -> dict[str, float]:
        """Return recalls and accuracies over all workers' held-out pairs, and start afresh."""
        scores = self._scores.summary()
        self._scores = _Scores(self.config.projection)
        return scores

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint folder, with the queue as frozen negatives for screening."""
        save_checkpoint(
            folder,
            self.network.student,
            self.tokenizer,
            self.preprocessing,
            {**manifest, "initialisation": self._record},
            queue=self.network.queue.snapshot(),
        )

    def _pixels(self, batch: Batch) -> Tensor:
        pixels_BCHW = self.preprocessing.normalised(batch["pixels"])
        return pixels_BCHW.to(self.network.student.image_projection.weight.dtype)


def _compile(*models: KnowLIP) -> None:
    """Compile the layers of some models: one layer's code serves all of a tower, and any length of text."""
    # Three uses, with gradients and without, in training and in evaluation: more variants than the 8 kept by default.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
    for model in models:
        for block in model.vision.blocks:
            block.compile()
        for layer in model.text.layers:
            layer.compile(dynamic=True)


class _Scores:
    """Running held-out scores of one worker."""

    def __init__(self, width: int) -> None:
        self._images = [torch.zeros(0, width)]
        self._texts = [torch.zeros(0, width)]
        self._hits = torch.zeros(len(SUBTEXTS) + 1)
        self._counts = torch.zeros(len(SUBTEXTS) + 1)

    def add_pairs(self, image_BE: Tensor, text_BE: Tensor) -> None:
        """Take embeddings of held-out images and of their texts (B, E)."""
        self._images.append(image_BE)
        self._texts.append(text_BE)

    def add_matches(self, positive_B2: Tensor, negatives: list[Tensor], valid_2B: Tensor) -> None:
        """Count which pairs (B, 2) were told to match, and which negatives, where valid, were told not to."""
        right = [positive_B2[:, 1] > positive_B2[:, 0]]
        right += [(n[:, 0] > n[:, 1])[valid] for n, valid in zip(negatives, valid_2B, strict=True)]
        told = torch.cat(right)
        self._hits[-1] += told.sum().cpu()
        self._counts[-1] += told.numel()

    def add_written(self, right_P: Tensor, kinds_P: Tensor) -> None:
        """Count by kind of sub-text which masked tokens (P) were written as they were."""
        kinds = len(SUBTEXTS)
        self._hits[:-1] += torch.bincount(kinds_P[right_P], minlength=kinds).cpu()
        self._counts[:-1] += torch.bincount(kinds_P, minlength=kinds).cpu()

    def summary(self) -> dict[str, float]:
        """Return recalls and accuracies over all workers; nothing where there was nothing to score."""
        device = self._images[-1].device
        images, texts = (torch.cat([p.to(device) for p in parts]) for parts in (self._images, self._texts))
        images, texts = gather_rows(images, texts).parts
        tally = gather_rows(torch.stack([self._hits, self._counts])[None].to(device)).parts[0].sum(dim=0).cpu()
        if not len(images):
            return {}
        scores = recalls(images, texts)
        hits, counts = tally[0], tally[1].clamp(min=1)
        scores["itm_accuracy"] = (hits[-1] / counts[-1]).item()
        scores["mlm_accuracy"] = (hits[:-1].sum() / tally[1][:-1].sum().clamp(min=1)).item()
        for kind, name in enumerate(SUBTEXTS):
            if tally[1][kind]:
                scores[f"mlm_accuracy_{name}"] = (hits[kind] / counts[kind]).item()
        return scores
