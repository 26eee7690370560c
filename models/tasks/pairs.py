"""Image-text pairs as batches: decode, vary, tokenise and mask, all off the training step.

Shape letters: B batch, H W pixels, L tokens, T written tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowlip.errors import DataError
from knowlip.records import SUBTEXTS
from models.augment import Augmentation, augment, speaks_of_directions
from models.config import KnowLIPConfig
from models.masking import MaskedText, mask_text
from models.objectives.mlm import IGNORED, told
from models.preprocessing import Preprocessing
from models.queue import pair_ids
from models.tasks.protocol import Batch
from models.text import Tokenizer, TokenText, pad

__all__ = ["COLUMNS", "PairBatcher", "near_duplicates"]

COLUMNS = ("tile_id", "view", *SUBTEXTS)
"""Columns of the corpus that pretraining reads; `noise_mask` (eight flags) may come with them."""


class PairBatcher:
    """Makes batches of image-text pairs from corpus columns.

    What is random about a pair depends on the generator's seed and the tile's id alone, so a batch is the same however
    the rows are split over workers. Seed the generator anew each epoch.

    Args:
        config: The model.
        tokenizer: Its tokenizer.
        preprocessing: How images become its input.
        augmentation: How training images vary.
    """

    def __init__(
        self,
        config: KnowLIPConfig,
        tokenizer: Tokenizer,
        preprocessing: Preprocessing,
        augmentation: Augmentation,
    ) -> None:
        self._config, self._tokenizer = config, tokenizer
        self._preprocessing, self._augmentation = preprocessing, augmentation

    def __call__(self, columns: Mapping[str, np.ndarray], *, train: bool, generator: torch.Generator) -> Batch:
        """Return a batch.

        Keys: `pixels` (B, H, W) uint8; `ids`, `mask` (B, L) of the text, in training less what `MaskConfig.left_out`
        takes away; `masked_ids`, `masked_mask` of the text with masks; `written`, `labels`, `kinds` (B, T): what the
        decoder reads, has to write, and of which sub-text; `told` (P): the places that are no padding, counted through
        the rows; `pair_ids` (B); `duplicates` (B, B); `chance` (B, 2); `cut`: mean share of the texts' tokens that did
        not fit; `tile_id`, and `skipped`: ids set aside with reasons.

        Raises:
            DataError: A column is missing, or no row can be used.
        """
        tile_ids, texts = self._read(columns)
        noise = _noise_masks(columns, len(tile_ids))
        tokens = self._tokenizer.subtexts(texts, self._config.text.max_tokens)
        seed = generator.initial_seed() if train else 0
        rows, skipped = [], []
        for index, (tile_id, text, token_text) in enumerate(zip(tile_ids, texts, tokens, strict=True)):
            rng = np.random.default_rng(_row_seed(seed, tile_id))
            if not token_text.present:
                skipped.append((tile_id, "no text"))
                continue
            try:
                pixels = self._pixels(columns["view"][index], text, rng, train=train, where=tile_id)
            except DataError as error:
                skipped.append((tile_id, error.what))
                continue
            masked = mask_text(token_text, self._tokenizer, self._config.mask, rng, noise[index])
            chance = rng.random(2)
            read = _thinned(token_text, self._config.mask.left_out, rng) if train else token_text
            rows.append((tile_id, pixels, token_text, read, masked, chance))
        if not rows:
            raise DataError(
                f"no usable row of {len(tile_ids)}: {skipped[:3]}", where="corpus", fix="make the corpus again"
            )
        return {**self._tensors(rows), "skipped": skipped}

    def _read(self, columns: Mapping[str, np.ndarray]) -> tuple[list[str], list[list[str]]]:
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise DataError(f"columns missing: {', '.join(missing)}", where="corpus", fix="make the corpus again")
        tile_ids = [str(tile) for tile in columns["tile_id"]]
        seen = self._config.text.subtexts
        texts = [
            [str(columns[name][index] or "") if name in seen else "" for name in SUBTEXTS]
            for index in range(len(tile_ids))
        ]
        return tile_ids, texts

    def _pixels(
        self, view: bytes, texts: Sequence[str], rng: np.random.Generator, *, train: bool, where: str
    ) -> NDArray[np.uint8]:
        pixels = self._preprocessing.resized(view, where=where)
        if not train:
            return pixels
        may_turn = not any(speaks_of_directions(text) for text in texts)
        return augment(pixels, self._augmentation, rng, may_turn=may_turn)

    def _tensors(
        self, rows: Sequence[tuple[str, NDArray[np.uint8], TokenText, TokenText, MaskedText, NDArray[np.float64]]]
    ) -> dict[str, Any]:
        tile_ids, pixels, texts, read, masked, chances = zip(*rows, strict=True)
        tokenizer = self._tokenizer
        ids, mask = pad([tokenizer.sequence(text) for text in read], tokenizer.pad)
        masked_ids, masked_mask = pad([m.ids for m in masked], tokenizer.pad)
        written, _ = pad([tokenizer.decoder_inputs(m.ids, m.targets) for m in masked], tokenizer.pad)
        labels, _ = pad([m.targets for m in masked], IGNORED)
        kinds, _ = pad([m.kinds for m in masked], -1)
        return {
            "tile_id": list(tile_ids),
            "pair_ids": pair_ids(tile_ids),
            "pixels": torch.from_numpy(np.stack(pixels)),
            "ids": ids,
            "mask": mask,
            "masked_ids": masked_ids,
            "masked_mask": masked_mask,
            "written": written,
            "labels": labels,
            "told": told(labels),
            "kinds": kinds,
            "duplicates": near_duplicates(tile_ids, texts, self._config.contrast.duplicate_overlap),
            "chance": torch.from_numpy(np.stack(chances)).float(),
            "cut": float(np.mean([text.cut for text in texts])),
        }


def near_duplicates(tile_ids: Sequence[str], texts: Sequence[TokenText], overlap: float) -> Tensor:
    """Return which pairs (B, B) are the same tile or have texts of at least this Jaccard overlap of tokens."""
    bags = [frozenset(token for piece in text.pieces for token in piece) for text in texts]
    vocabulary = {token: column for column, token in enumerate(sorted(set().union(*bags)))}
    counts = np.zeros((len(bags), max(len(vocabulary), 1)), np.float32)
    for row, bag in enumerate(bags):
        counts[row, [vocabulary[token] for token in bag]] = 1.0
    shared = counts @ counts.T
    sizes = counts.sum(axis=1)
    union = sizes[:, None] + sizes[None, :] - shared
    same_tile = np.array([[a == b for b in tile_ids] for a in tile_ids])
    return torch.from_numpy((shared >= overlap * np.maximum(union, 1.0)) | same_tile)


def _thinned(text: TokenText, share: float, generator: np.random.Generator) -> TokenText:
    """Leave each sub-text out with a probability, but never all of them."""
    gone = np.flatnonzero(generator.random(len(SUBTEXTS)) < share)
    thinner = text.without(gone)
    return thinner if thinner.present else text


def _row_seed(seed: int, tile_id: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{tile_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _noise_masks(columns: Mapping[str, np.ndarray], rows: int) -> NDArray[np.bool_]:
    if "noise_mask" not in columns:
        return np.zeros((rows, len(SUBTEXTS)), np.bool_)
    masks = np.array([np.asarray(mask, dtype=np.bool_) for mask in columns["noise_mask"]])
    if masks.shape != (rows, len(SUBTEXTS)):
        raise DataError(f"noise_mask of shape {masks.shape}", where="corpus", fix=f"give {len(SUBTEXTS)} flags a row")
    return masks
