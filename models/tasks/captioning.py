"""Captioning as a task of the training loop: ITC + ITM + MLM, the whole caption written (section 4.4, Table 6).

Shape letters: B batch, L tokens, T written tokens, N patches, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from knowlip.benchmark.metrics import SCORERS, caption_records
from models.collectives import gather_objects
from models.generation import write_spans
from models.objectives.mlm import IGNORED, told
from models.tasks.alignment import batch_writing
from models.tasks.described import COLUMNS, DescribedSettings, DescribedTask
from models.tasks.protocol import Batch
from models.text import pad

__all__ = ["COLUMNS", "PROMPT", "CaptioningSettings", "CaptioningTask"]

PROMPT = "[MASK]"
"""What a tuned model is asked with (`KnowlipModel.write`): one gap, which is the whole caption; an empty prompt would
ask for the eight sub-texts of pretraining."""


class CaptioningSettings(DescribedSettings):
    """What a captioning task is made from."""

    max_tokens: int = Field(100, ge=8)
    """Longest caption."""
    beams: int = Field(3, ge=1)
    """Beam width of held-out captions; 1 is greedy."""


class CaptioningTask(DescribedTask):
    """A description of an image.

    Args:
        settings: What it is made from.
    """

    name = "captioning"
    best_metric = "cider"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: CaptioningSettings

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return a batch of `DescribedTask`, with `prompt_ids`, `prompt_mask`, `written`, `labels` and `told`."""
        batch = super().collate(columns, train=train, generator=generator)
        tokenizer, most = self.model.tokenizer, self.settings.max_tokens
        prompt_ids, prompt_mask = pad(tokenizer.prompt([PROMPT] * len(batch["said"]), most), tokenizer.pad)
        spelled = [ids[: most - 1] for ids in tokenizer.encode(batch["said"])]
        written, _ = pad([[tokenizer.cls, *ids] for ids in spelled], tokenizer.pad)
        labels, _ = pad([[*ids, tokenizer.sep] for ids in spelled], IGNORED)
        asked = {"prompt_ids": prompt_ids, "prompt_mask": prompt_mask}
        return {**batch, **asked, "written": written, "labels": labels, "told": told(labels)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted `itc`, `itm` and `mlm` losses; what weighs nothing is left out."""
        weight, (losses, image_BND) = self.settings.weights.mlm, self._alignment(batch)
        if weight > 0:
            losses["mlm"] = weight * batch_writing(self.model.network, batch, image_BND)
        return losses

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Describe a held-out batch."""
        model = self.model
        image_BND, _ = model.network.encode_image(self._pixels(batch))
        prompts = model.tokenizer.prompt([PROMPT] * len(image_BND), self.settings.max_tokens)
        limits = {"max_new_tokens": self.settings.max_tokens, "beams": self.settings.beams}
        written = write_spans(model.network, model.tokenizer, image_BND, prompts, **limits)
        for name, texts, result in zip(batch["example_id"], batch["texts"], written, strict=True):
            self._records.append({"example_id": name, "given": model.tokenizer.decode(result.spans[0]), "texts": texts})

    def metrics(self) -> dict[str, float]:
        """Return BLEU-4, METEOR, CIDEr and SPICE, as far as they can be run, and start afresh."""
        kept = gather_objects(self._records)
        self._records = []
        given = {row["example_id"]: row["given"] for row in kept}
        self.scored = caption_records(given, {row["example_id"]: row["texts"] for row in kept})
        return self.score(self.scored)
