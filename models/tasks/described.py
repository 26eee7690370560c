"""Images with descriptions: what retrieval and captioning share (section 4.4, Table 6).

Shape letters: B batch, H W pixels, L tokens, N patches, D width, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from knowlip.errors import DataError
from models.augment import Augmentation
from models.config import LossWeights
from models.tasks.alignment import alike, batch_contrast, batch_matching
from models.tasks.base import CheckpointSettings, CheckpointTask
from models.tasks.protocol import Batch
from models.tasks.views import Views, chances, read_views, row_generator
from models.text import pad

__all__ = ["COLUMNS", "DescribedSettings", "DescribedTask"]

COLUMNS = ("example_id", "tile_id", "view", "texts")
"""Columns of `datasets/NAME/` that retrieval and captioning read."""


class DescribedSettings(CheckpointSettings):
    """What a task on images with descriptions is made from."""

    max_tokens: int = Field(35, ge=8)
    """Longest description; longer ones are cut at their end."""
    weights: LossWeights = LossWeights()
    """Weights of contrast, matching and writing."""
    augmentation: Augmentation = Augmentation(turn=False)
    """How training images vary; turning one would falsify what is said about places."""


class DescribedTask(CheckpointTask):
    """Contrast and matching on images, each with one of its descriptions."""

    settings: DescribedSettings

    def build(self) -> nn.Module:
        """Open the checkpoint; all of it is trained."""
        return self.model.network.train()

    def collate(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return a batch.

        Keys: `pixels` (B, H, W) uint8; `said`: one description a row, drawn anew each epoch when training; `ids`,
        `mask` (B, L) of it; `texts`: all descriptions of each row; `alike` (B, B); `chance` (B, 2); `tile_id`,
        `example_id` and `skipped`.

        Raises:
            DataError: No row can be used.
        """
        settings = self.settings
        augmentation = settings.augmentation if train else None
        views = read_views(columns, self.model.preprocessing, augmentation, generator, fit=settings.fit)
        texts = [[str(text) for text in _listed(columns["texts"][index])] for index in views.kept]
        views, texts = _described(views, texts, columns)
        names = [str(columns["example_id"][index]) for index in views.kept]
        drawn = [int(row_generator(generator, f"{name}/text").integers(1 << 30)) if train else 0 for name in names]
        said = [some[draw % len(some)] for some, draw in zip(texts, drawn, strict=True)]
        tiles = [str(columns["tile_id"][index]) for index in views.kept]
        tokenizer = self.model.tokenizer
        ids, mask = pad(tokenizer.plain(said, settings.max_tokens), tokenizer.pad)
        return {
            "pixels": views.pixels,
            "said": said,
            "texts": texts,
            "ids": ids,
            "mask": mask,
            "alike": alike(tiles, said),
            "chance": chances(generator, names),
            "tile_id": tiles,
            "example_id": names,
            "skipped": views.skipped,
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted `itc` and `itm` losses; what weighs nothing is left out."""
        return self._alignment(batch)[0]

    def _alignment(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses and the image states (B, N, D)."""
        network, weights = self.model.network, self.settings.weights
        image_BND, image_BE = network.encode_image(self._pixels(batch))
        _, text_BE = network.encode_text(batch["ids"], batch["mask"])
        text = (batch["ids"], batch["mask"], batch["alike"], batch["chance"])
        losses = {"itc": weights.itc * batch_contrast(network, image_BE, text_BE, batch["alike"])}
        if weights.itm > 0:
            losses["itm"] = weights.itm * batch_matching(network, image_BND, image_BE, text_BE, *text)
        return losses, image_BND


def _listed(texts: Any) -> list[Any]:
    return [] if texts is None else list(texts)


def _described(
    views: Views, texts: list[list[str]], columns: Mapping[str, np.ndarray]
) -> tuple[Views, list[list[str]]]:
    """Set aside the images that nothing is said about."""
    good = [place for place, some in enumerate(texts) if any(text.strip() for text in some)]
    if len(good) == len(texts):
        return views, texts
    if not good:
        raise DataError("no row has a text", where="examples", fix="make them again")
    mute = [(str(columns["example_id"][views.kept[p]]), "no text") for p in range(len(texts)) if p not in set(good)]
    kept = Views(
        [views.kept[place] for place in good],
        views.pixels[good],
        [*views.skipped, *mute],
        [views.fittings[place] for place in good],
        [views.turns[place] for place in good],
    )
    return kept, [texts[place] for place in good]
