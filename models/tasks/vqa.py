"""Questions about an image as a task of the training loop (section 4.4): ITC + ITM + MLM, answered by the decoder.

The decoder writes the answer behind the question's `[MASK]`, exactly as `KnowlipModel.answer` asks it to. Contrast and
matching see the question and its answer as one statement about the image.

Shape letters: B batch, K candidates, L tokens, T written tokens, N patches, D width, E embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from knowlip.benchmark.answers import same
from knowlip.benchmark.metrics import SCORERS
from models.augment import Augmentation
from models.config import LossWeights
from models.generation import sequence_log_likelihood
from models.knowlip import KnowLIP
from models.objectives.itm import draw_negatives, matching_loss
from models.objectives.mlm import IGNORED, told
from models.precision import cosines
from models.tasks.alignment import alike, batch_contrast, batch_writing
from models.tasks.base import CheckpointSettings, CheckpointTask
from models.tasks.protocol import Batch
from models.tasks.views import chances, read_views
from models.text import Tokenizer, pad

__all__ = ["COLUMNS", "VqaSettings", "VqaTask"]

COLUMNS = ("example_id", "tile_id", "view", "question", "answer", "kind")
"""Columns of `datasets/NAME/` that VQA reads."""

_ANSWERS = "answers.json"

_RANKED_AT_ONCE = 256
"""So many answers are written at once: a vocabulary's worth of logits for each of their tokens is kept."""


class VqaSettings(CheckpointSettings):
    """What a VQA task is made from."""

    answers: dict[str, tuple[str, ...]] = Field(min_length=1)
    """For each kind of question, the answers that are ranked."""
    max_tokens: int = Field(35, ge=8)
    """Longest question with its answer."""
    weights: LossWeights = LossWeights()
    """Weights of contrast, matching and writing."""
    augmentation: Augmentation = Augmentation(turn=False)
    """How training images vary; turning one would falsify answers about places."""


class VqaTask(CheckpointTask):
    """One question an image.

    Args:
        settings: What it is made from.
    """

    name = "vqa"
    best_metric = "accuracy"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: VqaSettings

    def build(self) -> nn.Module:
        """Open the checkpoint; all of it is trained."""
        return self.model.network.train()

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return a batch.

        Keys: `pixels` (B, H, W) uint8; `ids`, `mask` (B, L) of question and answer as one statement; `wrong_ids`,
        `wrong_mask` of the question with another's answer; `wrong` (B): whether that is wrong; `prompt_ids`,
        `prompt_mask` of the question with its `[MASK]`; `written`, `labels` (B, T) of the answer, `told` (P) where they
        are no padding; `alike` (B, B): rows that are no negatives of one another; `chance` (B); `answer`, `kind`,
        `example_id` and `skipped`.
        """
        augmentation = self.settings.augmentation if train else None
        views = read_views(columns, self.model.preprocessing, augmentation, generator, fit=self.settings.fit)
        rows = {name: [str(columns[name][index]) for index in views.kept] for name in COLUMNS if name != "view"}
        tokenizer, most = self.model.tokenizer, self.settings.max_tokens
        questions, answers = rows["question"], rows["answer"]
        statements = [f"{question} {answer}" for question, answer in zip(questions, answers, strict=True)]
        others = answers[1:] + answers[:1]
        ids, mask = pad(_statements(tokenizer, questions, answers, most), tokenizer.pad)
        wrong_ids, wrong_mask = pad(_statements(tokenizer, questions, others, most), tokenizer.pad)
        prompt_ids, prompt_mask = pad(tokenizer.prompt(questions, most), tokenizer.pad)
        spelled = tokenizer.encode(answers)
        written, _ = pad([[tokenizer.cls, *answer] for answer in spelled], tokenizer.pad)
        labels, _ = pad([[*answer, tokenizer.sep] for answer in spelled], IGNORED)
        return {
            "pixels": views.pixels,
            "ids": ids,
            "mask": mask,
            "wrong_ids": wrong_ids,
            "wrong_mask": wrong_mask,
            "wrong": torch.tensor([not same(o, a) for o, a in zip(others, answers, strict=True)]),
            "prompt_ids": prompt_ids,
            "prompt_mask": prompt_mask,
            "written": written,
            "labels": labels,
            "told": told(labels),
            "alike": alike(rows["tile_id"], statements),
            "chance": chances(generator, rows["example_id"])[:, 0],
            "question": questions,
            "answer": answers,
            "kind": rows["kind"],
            "example_id": rows["example_id"],
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted `itc`, `itm` and `mlm` losses; what weighs nothing is left out."""
        network, weights = self.model.network, self.settings.weights
        image_BND, image_BE = network.encode_image(self._pixels(batch))
        _, text_BE = network.encode_text(batch["ids"], batch["mask"])
        losses = {"itc": weights.itc * batch_contrast(network, image_BE, text_BE, batch["alike"])}
        if weights.itm > 0:
            losses["itm"] = weights.itm * _matching(network, batch, image_BND, image_BE, text_BE)
        if weights.mlm > 0:
            losses["mlm"] = weights.mlm * batch_writing(network, batch, image_BND)
        return losses

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Answer a held-out batch by ranking, and compare the answers as numbers, sets or words."""
        image_BND, _ = self.model.network.encode_image(self._pixels(batch))
        for kind in sorted(set(batch["kind"])):
            rows = [index for index, asked in enumerate(batch["kind"]) if asked == kind]
            given = [""] * len(rows)
            if kind in self.settings.answers:  # a kind that was never trained is never right
                candidates = self.settings.answers[kind]
                best = self._best(image_BND[rows], [batch["question"][row] for row in rows], candidates)
                given = [candidates[place] for place in best]
            for row, answer in zip(rows, given, strict=True):
                record = {name: batch[name][row] for name in ("example_id", "question", "answer")}
                right = same(answer, batch["answer"][row])
                self._records.append({**record, "kind": kind, "given": answer, "right": right})

    def _best(self, image_BND: Tensor, questions: Sequence[str], candidates: Sequence[str]) -> list[int]:
        """Return which candidate is the likeliest answer to each question."""
        network, tokenizer = self.model.network, self.model.tokenizer
        prompts = tokenizer.prompt(questions, self.settings.max_tokens)
        targets, best = tokenizer.encode(candidates), []
        size = max(1, _RANKED_AT_ONCE // len(candidates))
        for start in range(0, len(prompts), size):
            asked = prompts[start : start + size]
            scores = sequence_log_likelihood(
                network, tokenizer, image_BND[start : start + size], asked, targets * len(asked)
            )
            best += scores.view(len(asked), len(candidates)).argmax(dim=1).tolist()
        return best

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint, and beside it the answers that are ranked."""
        super().export(folder, manifest)
        (Path(folder) / _ANSWERS).write_text(json.dumps(self.settings.answers, indent=2), encoding="utf-8")


def _statements(tokenizer: Tokenizer, questions: Sequence[str], answers: Sequence[str], most: int) -> list[list[int]]:
    """Return `[CLS] question answer [SEP]`; what is too long loses the end of its question, never the answer."""
    rows = []
    for question, answer in zip(tokenizer.encode(questions), tokenizer.encode(answers), strict=True):
        told = answer[: most - 2]
        rows.append([tokenizer.cls, *question[: most - 2 - len(told)], *told, tokenizer.sep])
    return rows


def _matching(network: KnowLIP, batch: Batch, image_BND: Tensor, image_BE: Tensor, text_BE: Tensor) -> Tensor:
    """Return eq. 5: the statement, the question with a wrong answer, and the statement with a hard negative image."""
    similarity_BB = (cosines(text_BE, image_BE) / network.temperature).detach()
    image_index, image_valid = draw_negatives(similarity_BB, ~batch["alike"], batch["chance"])
    positive = network.match_logits(network.fuse(image_BND, batch["ids"], batch["mask"]), batch["mask"])
    wrong_text = network.match_logits(
        network.fuse(image_BND, batch["wrong_ids"], batch["wrong_mask"]), batch["wrong_mask"]
    )
    wrong_image = network.match_logits(network.fuse(image_BND[image_index], batch["ids"], batch["mask"]), batch["mask"])
    return matching_loss(positive, wrong_text, wrong_image, torch.stack([batch["wrong"], image_valid]))
