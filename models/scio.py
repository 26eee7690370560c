"""Self-consistent iterative optimisation (section 3.4) on one batch: screening, and reconstruction of what was noise.

Every image is encoded once; the text and its eight leave-one-out variants share it. Contrast is held against a frozen
snapshot of the queue, so that a verdict depends on the pair and the checkpoint alone.

Shape letters: B tiles, V variants of a text, S the eight sub-texts, J reconstructions, Q frozen negatives, N patches,
D width, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowlip.corpus.verdicts import AS_THE_PAPER, Thresholds
from knowlip.errors import CheckpointError
from knowlip.records import SUBTEXTS
from models.generation import write_spans
from models.knowlip import KnowLIP
from models.objectives.itc import pair_contrast
from models.queue import pair_ids
from models.text import Tokenizer, TokenText, pad

__all__ = [
    "AcceptRule",
    "Negatives",
    "Reconstruction",
    "Screening",
    "reconstruct_batch",
    "score_variants",
    "screen_batch",
]

AcceptRule = Literal["equations", "algorithm1"]
"""`equations`: each fragment alone against the original text (eq. 14, 15); `algorithm1`: all fragments together against
the text without them (T′ of Algorithm 1)."""


@dataclass(frozen=True, slots=True)
class Negatives:
    """A frozen snapshot of the queue.

    Attributes:
        images: Image features (Q, E).
        texts: Text features (Q, E).
        ids: Ids (Q) of their pairs (`models.queue.pair_ids`).
    """

    images: Tensor
    texts: Tensor
    ids: Tensor

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Tensor] | None, device: torch.device | str) -> Negatives:
        """Take the snapshot of a checkpoint.

        Raises:
            CheckpointError: There is none, or it is empty: every difference of eq. 10 would be zero.
        """
        if not snapshot or len(snapshot["ids"]) == 0:
            raise CheckpointError("no queue snapshot to screen against", fix="use a pretraining checkpoint")
        return cls(*(snapshot[name].to(device) for name in ("images", "texts", "ids")))


@dataclass(frozen=True, slots=True)
class Screening:
    """Verdicts on the sub-texts of a batch.

    Attributes:
        delta_itc: Eq. 10 (B, S); NaN where a tile has no such sub-text or no other one.
        delta_itm: Eq. 11 (B, S), in log-odds of matching; NaN likewise.
        noise: Both differences speak against the sub-text (B, S).
    """

    delta_itc: NDArray[np.float32]
    delta_itm: NDArray[np.float32]
    noise: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What the decoder wrote for one noisy sub-text.

    Attributes:
        row: Which tile of the batch.
        kind: Which sub-text.
        original: The text that was masked.
        text: What was written (eq. 13).
        delta_itc: Eq. 14.
        delta_itm: Eq. 15, in log-odds of matching.
        accepted: The contrast loss fell and the matching score rose.
    """

    row: int
    kind: int
    original: str
    text: str
    delta_itc: float
    delta_itm: float
    accepted: bool


@torch.no_grad()
def screen_batch(
    network: KnowLIP,
    tokenizer: Tokenizer,
    negatives: Negatives,
    tile_ids: Sequence[str],
    pixels_BCHW: Tensor,
    texts: Sequence[TokenText],
    *,
    thresholds: Thresholds = AS_THE_PAPER,
) -> Screening:
    """Find the sub-texts that hurt alignment (eq. 10, then eq. 11).

    Args:
        network: In evaluation mode, on the device of the pixels.
        tokenizer: Its tokenizer.
        negatives: Frozen queue features.
        tile_ids: Keys of the tiles; a tile's own features are no negative of it.
        pixels_BCHW: Preprocessed images.
        texts: Their sub-texts.
        thresholds: From where on a difference speaks against a sub-text.
    """
    image_BND, image_BE = network.encode_image(pixels_BCHW)
    kinds = len(SUBTEXTS)
    variants = [[text, *(text.without([kind]) for kind in range(kinds))] for text in texts]
    itc_BV, score_BV = score_variants(network, tokenizer, negatives, pair_ids(tile_ids), image_BND, image_BE, variants)
    judged = np.array([[len(t.present) > 1 and bool(t.pieces[k]) for k in range(kinds)] for t in texts])
    delta_itc = np.where(judged, itc_BV[:, 1:] - itc_BV[:, :1], np.nan).astype(np.float32)
    delta_itm = np.where(judged, score_BV[:, 1:] - score_BV[:, :1], np.nan).astype(np.float32)
    return Screening(delta_itc, delta_itm, noise=thresholds.passed(delta_itc, delta_itm))


@torch.no_grad()
def score_variants(
    network: KnowLIP,
    tokenizer: Tokenizer,
    negatives: Negatives,
    ids_B: Tensor,
    image_BND: Tensor,
    image_BE: Tensor,
    variants: Sequence[Sequence[TokenText]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return L_ITC (B, V) against the frozen negatives, and matching scores (B, V) as log-odds.

    Log-odds order as probabilities do and do not saturate: two scores of 0.9999999 still differ.

    Args:
        network: In evaluation mode.
        tokenizer: Its tokenizer.
        negatives: Frozen queue features.
        ids_B: Ids of the pairs.
        image_BND: Image states, computed once.
        image_BE: Image embeddings.
        variants: V texts for each image.
    """
    device, count = image_BE.device, len(variants[0])
    sequences = [tokenizer.sequence(text) for row in variants for text in row]
    ids_RL, mask_RL = (tensor.to(device) for tensor in pad(sequences, tokenizer.pad))
    _, text_RE = network.encode_text(ids_RL, mask_RL)
    mask_BQ = ids_B.to(device)[:, None] != negatives.ids[None, :]
    itc_BV = pair_contrast(
        image_BE,
        text_RE.view(len(variants), count, -1),
        negatives.images,
        negatives.texts,
        mask_BQ,
        network.temperature.float(),
    )
    logits_R2 = network.match_logits(network.fuse(image_BND, ids_RL, mask_RL), mask_RL).float()
    score_BV = (logits_R2[:, 1] - logits_R2[:, 0]).view(len(variants), count)
    return itc_BV.cpu().numpy(), score_BV.cpu().numpy()


@torch.no_grad()
def reconstruct_batch(
    network: KnowLIP,
    tokenizer: Tokenizer,
    negatives: Negatives,
    tile_ids: Sequence[str],
    pixels_BCHW: Tensor,
    texts: Sequence[TokenText],
    noise: NDArray[np.bool_],
    *,
    rule: AcceptRule = "equations",
    thresholds: Thresholds = AS_THE_PAPER,
    max_new_tokens: int = 64,
    beams: int = 1,
) -> list[Reconstruction]:
    """Write each noisy sub-text anew and judge it (eq. 12 to 15, or Algorithm 1).

    Args:
        network: In evaluation mode.
        tokenizer: Its tokenizer.
        negatives: Frozen queue features.
        tile_ids: Keys of the tiles.
        pixels_BCHW: Preprocessed images.
        texts: The original texts.
        noise: Which sub-texts (B, S) are noise.
        rule: What a reconstruction is held against.
        thresholds: From where on a difference speaks for it.
        max_new_tokens: Most tokens for one sub-text.
        beams: 1 for greedy writing.
    """
    jobs = _fragments(texts, noise, rule)
    if not jobs:
        return []
    image_BND, image_BE = network.encode_image(pixels_BCHW)
    pick = torch.tensor([row for row, _ in jobs], device=image_BE.device)
    prompts = [_prompt(tokenizer, texts[row], kinds) for row, kinds in jobs]
    most = max(len(kinds) for _, kinds in jobs) * max_new_tokens
    written = write_spans(network, tokenizer, image_BND[pick], prompts, max_new_tokens=most, beams=beams)
    variants = []
    for (row, kinds), result in zip(jobs, written, strict=True):
        base = texts[row] if rule == "equations" else texts[row].without(kinds)
        filled = texts[row]
        for kind, span in zip(kinds, result.spans, strict=True):
            filled = filled.replaced(kind, span[:max_new_tokens])
        # A fragment may come back longer than it was: it is judged as training would read it.
        variants.append([base, filled.fitted(network.config.text.max_tokens)])
    ids_B = pair_ids(tile_ids)[pick.cpu()]
    itc_J2, score_J2 = score_variants(network, tokenizer, negatives, ids_B, image_BND[pick], image_BE[pick], variants)
    results = []
    for job, (row, kinds) in enumerate(jobs):
        delta_itc = float(itc_J2[job, 1] - itc_J2[job, 0])
        delta_itm = float(score_J2[job, 1] - score_J2[job, 0])
        for kind in kinds:
            text = tokenizer.decode(variants[job][1].pieces[kind])
            original = tokenizer.decode(texts[row].pieces[kind])
            accepted = bool(text) and bool(thresholds.passed(delta_itc, delta_itm))
            results.append(Reconstruction(row, kind, original, text, delta_itc, delta_itm, accepted))
    return results


def _fragments(
    texts: Sequence[TokenText], noise: NDArray[np.bool_], rule: AcceptRule
) -> list[tuple[int, tuple[int, ...]]]:
    """Return what is written together: (tile, sub-texts), one at a time or all of a tile's at once."""
    found = [tuple(k for k in text.present if noise[row, k]) for row, text in enumerate(texts)]
    if rule == "algorithm1":
        return [(row, kinds) for row, kinds in enumerate(found) if kinds]
    return [(row, (kind,)) for row, kinds in enumerate(found) for kind in kinds]


def _prompt(tokenizer: Tokenizer, text: TokenText, kinds: Sequence[int]) -> list[int]:
    """Return the text with each of some sub-texts replaced by one `[MASK]` (eq. 12)."""
    masked = text
    for kind in kinds:
        masked = masked.replaced(kind, [tokenizer.mask])
    return tokenizer.sequence(masked)
