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

from knowlip.benchmark.answers import normalise, same
from knowlip.settings import Section
from models.augment import Augmentation
from models.checkpoint import load, save_checkpoint
from models.collectives import gather_rows
from models.config import LossWeights
from models.knowlip import KnowLIP
from models.objectives.itc import contrast_loss
from models.objectives.itm import draw_negatives, matching_loss
from models.objectives.mlm import IGNORED, writing_loss
from models.tasks.protocol import Batch
from models.tasks.views import read_views
from models.text import Tokenizer, pad
from models.verbs import KnowlipModel

__all__ = ["COLUMNS", "VqaSettings", "VqaTask", "rank_answers"]

COLUMNS = ("example_id", "tile_id", "view", "question", "answer", "kind")
"""Columns of `datasets/NAME/` that VQA reads."""

_ANSWERS = "answers.json"


class VqaSettings(Section):
    """What a VQA task is made from."""

    checkpoint: str
    """Checkpoint folder that is fine-tuned."""
    answers: dict[str, tuple[str, ...]] = Field(min_length=1)
    """For each kind of question, the answers that are ranked."""
    max_tokens: int = Field(35, ge=8)
    """Longest question with its answer."""
    weights: LossWeights = LossWeights()
    """Weights of contrast, matching and writing."""
    augmentation: Augmentation = Augmentation(turn=False)
    """How training images vary; turning one would falsify answers about places."""


class VqaTask:
    """One question an image.

    Args:
        settings: What it is made from.
    """

    name = "vqa"
    best_metric = "accuracy"
    higher_is_better = True

    def __init__(self, settings: VqaSettings) -> None:
        self.settings = settings
        self.kinds = tuple(sorted(settings.answers))
        self._model: KnowlipModel | None = None
        self._hits = torch.zeros(len(self.kinds), 2)

    @property
    def model(self) -> KnowlipModel:
        """The checkpoint that is fine-tuned; opened once in a process."""
        if self._model is None:
            self._model = load(self.settings.checkpoint)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """Travel to the workers without the network."""
        return {**self.__dict__, "_model": None}

    def build(self) -> nn.Module:
        """Open the checkpoint; all of it is trained."""
        return self.model.network.train()

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return a batch.

        Keys: `pixels` (B, H, W) uint8; `ids`, `mask` (B, L) of question and answer as one statement; `wrong_ids`,
        `wrong_mask` of the question with another's answer; `wrong` (B): whether that is wrong; `prompt_ids`,
        `prompt_mask` of the question with its `[MASK]`; `written`, `labels` (B, T) of the answer; `alike` (B, B): rows
        that are no negatives of one another; `chance` (B); `answer`, `kind`, `example_id` and `skipped`.
        """
        views = read_views(columns, self.model.preprocessing, self.settings.augmentation if train else None, generator)
        rows = {name: [str(columns[name][index]) for index in views.kept] for name in COLUMNS if name != "view"}
        tokenizer, most = self.model.tokenizer, self.settings.max_tokens
        questions, answers = rows["question"], rows["answer"]
        statements = [f"{question} {answer}" for question, answer in zip(questions, answers, strict=True)]
        others = answers[1:] + answers[:1]
        wrong = [f"{question} {other}" for question, other in zip(questions, others, strict=True)]
        ids, mask = pad(tokenizer.plain(statements, most), tokenizer.pad)
        wrong_ids, wrong_mask = pad(tokenizer.plain(wrong, most), tokenizer.pad)
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
            "alike": _alike(rows["tile_id"], statements),
            "chance": torch.rand(len(answers), generator=generator),
            "answer": answers,
            "kind": rows["kind"],
            "example_id": rows["example_id"],
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted `itc`, `itm` and `mlm` losses."""
        network, weights = self.model.network, self.settings.weights
        image_BND, image_BE = network.encode_image(self._pixels(batch))
        _, text_BE = network.encode_text(batch["ids"], batch["mask"])
        memory_BLD = network.fuse(image_BND, batch["prompt_ids"], batch["prompt_mask"])
        logits_BTV = network.decode(batch["written"], None, memory_BLD, batch["prompt_mask"])
        return {
            "itc": weights.itc * _contrast(network, batch, image_BE, text_BE),
            "itm": weights.itm * _matching(network, batch, image_BND, image_BE, text_BE),
            "mlm": weights.mlm * writing_loss(logits_BTV, batch["labels"]),
        }

    def after_step(self) -> None:
        """Do nothing: there is no moving average."""

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Answer a held-out batch by ranking, and compare the answers as numbers, sets or words."""
        network, tokenizer = self.model.network, self.model.tokenizer
        image_BND, _ = network.encode_image(self._pixels(batch))
        for kind in sorted(set(batch["kind"]) & set(self.kinds)):
            rows = [index for index, asked in enumerate(batch["kind"]) if asked == kind]
            candidates, slot = self.settings.answers[kind], self.kinds.index(kind)
            scores_BK = rank_answers(
                network, tokenizer, image_BND[rows], batch["prompt_ids"][rows], batch["prompt_mask"][rows], candidates
            )
            given = [candidates[best] for best in scores_BK.argmax(dim=1).tolist()]
            right = [same(answer, batch["answer"][row]) for answer, row in zip(given, rows, strict=True)]
            self._hits[slot] += torch.tensor([float(sum(right)), float(len(right))])

    def metrics(self) -> dict[str, float]:
        """Return `accuracy` and `accuracy_KIND` of all workers' questions, and start afresh."""
        device = self.model.device
        tally = gather_rows(self._hits[None].to(device)).sum(dim=0).cpu()
        self._hits = torch.zeros_like(self._hits)
        hits, asked = tally.sum(dim=0).tolist()
        if not asked:
            return {}
        by_kind = zip(self.kinds, tally.tolist(), strict=True)
        return {"accuracy": hits / asked, **{f"accuracy_{kind}": right / n for kind, (right, n) in by_kind if n}}

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint, and beside it the answers that are ranked."""
        model = self.model
        save_checkpoint(folder, model.network, model.tokenizer, model.preprocessing, manifest)
        (Path(folder) / _ANSWERS).write_text(json.dumps(self.settings.answers, indent=2), encoding="utf-8")

    def _pixels(self, batch: Batch) -> Tensor:
        return self.model.preprocessing.normalised(batch["pixels"])


def rank_answers(
    network: KnowLIP,
    tokenizer: Tokenizer,
    image_BND: Tensor,
    prompt_ids_BL: Tensor,
    prompt_mask_BL: Tensor,
    candidates: Sequence[str],
) -> Tensor:
    """Return log P(candidate | question, image) (B, K); the fused states of a question serve all its candidates.

    Args:
        network: In evaluation mode.
        tokenizer: Its tokenizer.
        image_BND: States from `encode_image`.
        prompt_ids_BL: Questions with a `[MASK]` (`Tokenizer.prompt`).
        prompt_mask_BL: True at their tokens.
        candidates: The answers to rank.
    """
    spelled = tokenizer.encode(candidates)
    written_KT, _ = pad([[tokenizer.cls, *answer] for answer in spelled], tokenizer.pad)
    labels_KT, _ = pad([[*answer, tokenizer.sep] for answer in spelled], IGNORED)
    count, device = len(candidates), image_BND.device
    memory = network.fuse(image_BND, prompt_ids_BL, prompt_mask_BL).repeat_interleave(count, dim=0)
    written, labels = (part.to(device).repeat(len(image_BND), 1) for part in (written_KT, labels_KT))
    logits = network.decode(written, None, memory, prompt_mask_BL.repeat_interleave(count, dim=0)).float()
    there = labels != IGNORED
    chosen = logits.log_softmax(dim=2).gather(2, labels.clamp(min=0)[:, :, None])[:, :, 0]
    return (chosen * there).sum(dim=1).view(len(image_BND), count)


def _contrast(network: KnowLIP, batch: Batch, image_BE: Tensor, text_BE: Tensor) -> Tensor:
    """Return eq. 4 within the batch, without queue and soft targets: fine-tuning sets are small."""
    own = torch.eye(len(image_BE), dtype=torch.bool, device=image_BE.device)
    mask_BB = ~batch["alike"] | own
    return contrast_loss(image_BE, text_BE, image_BE, text_BE, mask_BB, network.temperature.float(), 0.0)


def _matching(network: KnowLIP, batch: Batch, image_BND: Tensor, image_BE: Tensor, text_BE: Tensor) -> Tensor:
    """Return eq. 5: the statement, the question with a wrong answer, and the statement with a hard negative image."""
    similarity_BB = (text_BE @ image_BE.T / network.temperature).detach()
    image_index, image_valid = draw_negatives(similarity_BB, ~batch["alike"], batch["chance"])
    positive = network.match_logits(network.fuse(image_BND, batch["ids"], batch["mask"]))
    wrong_text = network.match_logits(network.fuse(image_BND, batch["wrong_ids"], batch["wrong_mask"]))
    wrong_image = network.match_logits(network.fuse(image_BND[image_index], batch["ids"], batch["mask"]))
    return matching_loss(positive, wrong_text, wrong_image, torch.stack([batch["wrong"], image_valid]))


def _alike(tiles: Sequence[str], statements: Sequence[str]) -> Tensor:
    """Return which rows (B, B) show the same tile or say the same."""
    said = [normalise(statement) for statement in statements]
    same_tile = np.array(tiles)[:, None] == np.array(tiles)[None, :]
    same_words = np.array(said)[:, None] == np.array(said)[None, :]
    return torch.from_numpy(same_tile | same_words)
