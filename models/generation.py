"""The decoder at work: writing what stands behind the masks, greedily or with a beam.

Shape letters: B prompts, R rows decoded at once, N patches, L tokens, D width, T written tokens, V vocabulary,
W beam width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.knowlip import KnowLIP
from models.text import Tokenizer, pad
from models.towers import make_cache

__all__ = ["Written", "sequence_log_likelihood", "write_spans"]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for one text.

    Attributes:
        spans: Token ids for each mask, in order.
        log_probability: Sum of the tokens' log-probabilities.
        tokens: How many tokens that is, the closing `[SEP]`s included.
    """

    spans: list[list[int]]
    log_probability: float
    tokens: int

    @property
    def confidence(self) -> float:
        """Geometric mean of the tokens' probabilities."""
        return float(torch.tensor(self.log_probability / max(self.tokens, 1)).exp())


@torch.no_grad()
def write_spans(
    network: KnowLIP,
    tokenizer: Tokenizer,
    image_BND: Tensor,
    prompts: list[list[int]],
    *,
    max_new_tokens: int,
    beams: int = 1,
) -> list[Written]:
    """Write what stands behind the `[MASK]`s of each prompt (eq. 13).

    Args:
        network: In evaluation mode.
        tokenizer: Gives the special tokens.
        image_BND: States from `encode_image`.
        prompts: Token ids with one or more `[MASK]`.
        max_new_tokens: Most tokens written for one prompt; spans that were not reached stay empty.
        beams: 1 for greedy writing.
    """
    device = image_BND.device
    ids_BL, mask_BL = (tensor.to(device) for tensor in pad(prompts, tokenizer.pad))
    memory_BLD = network.fuse(image_BND, ids_BL, mask_BL)
    limit = min(max_new_tokens, network.config.text.positions - 1)
    memory = memory_BLD.repeat_interleave(beams, dim=0)
    memory_mask = mask_BL.repeat_interleave(beams, dim=0)
    search = _Search([tokenizer.openers(prompt) for prompt in prompts], beams, tokenizer, device)
    cache, token = make_cache(), search.first()
    for _ in range(limit):
        logits_RV = network.decode(token, memory, memory_mask, cache)[:, -1].float()
        logits_RV[:, search.banned] = float("-inf")
        origin_R, token = search.step(logits_RV.log_softmax(dim=1))
        if beams > 1:
            cache.self_attention_cache.reorder_cache(origin_R)
        if search.finished():
            break
    return search.results()


@torch.no_grad()
def sequence_log_likelihood(
    network: KnowLIP, tokenizer: Tokenizer, image_BND: Tensor, prompts: list[list[int]], targets: list[list[int]]
) -> Tensor:
    """Return log P(target | prompt, image) (R) of given continuations, each closed by `[SEP]`.

    The targets may be K times as many as the prompts, K consecutive targets a prompt.
    """
    device = image_BND.device
    ids_BL, mask_BL = (tensor.to(device) for tensor in pad(prompts, tokenizer.pad))
    closed = [[*target, tokenizer.sep] for target in targets]
    labels_RT, there_RT = (tensor.to(device) for tensor in pad(closed, tokenizer.pad))
    share = len(targets) // len(prompts)
    inputs = [tokenizer.decoder_inputs(prompts[i // share], target) for i, target in enumerate(closed)]
    inputs_RT, _ = pad(inputs, tokenizer.pad)
    memory_RLD = network.fuse(image_BND, ids_BL, mask_BL).repeat_interleave(share, dim=0)
    memory_mask_RL = mask_BL.repeat_interleave(share, dim=0)
    logits_RTV = network.decode(inputs_RT.to(device), memory_RLD, memory_mask_RL).float()
    chosen_RT = logits_RTV.log_softmax(dim=2).gather(2, labels_RT[:, :, None])[:, :, 0]
    return (chosen_RT * there_RT).sum(dim=1)


class _Search:
    """Beam search over B prompts with W beams each; one beam is greedy writing."""

    def __init__(self, openers: list[list[int]], beams: int, tokenizer: Tokenizer, device: torch.device) -> None:
        self.rows, self.beams = len(openers), beams
        self.sep, self.pad = tokenizer.sep, tokenizer.pad
        self.banned = torch.tensor(tokenizer.structure, device=device)
        self.wanted = [len(row) for row in openers]
        self.openers_BS = pad([[*row, tokenizer.pad] for row in openers], tokenizer.pad)[0].to(device)
        self.closed_BW = torch.zeros((self.rows, beams), dtype=torch.int64, device=device)
        self.wanted_B1 = torch.tensor(self.wanted, device=device)[:, None]
        self.score_BW = torch.full((self.rows, beams), float("-inf"), device=device)
        self.score_BW[:, 0] = 0.0
        self.written_BWT = torch.empty((self.rows, beams, 0), dtype=torch.int64, device=device)

    def first(self) -> Tensor:
        """Return what every beam reads first (R, 1)."""
        return self.openers_BS[:, :1].repeat_interleave(self.beams, dim=0)

    def step(self, log_share_RV: Tensor) -> tuple[Tensor, Tensor]:
        """Extend every beam by its best tokens; return the beam each comes from (R) and what it reads next (R, 1)."""
        vocab = log_share_RV.shape[1]
        share_BWV = log_share_RV.view(self.rows, self.beams, vocab)
        done_BW = self.closed_BW == self.wanted_B1
        only_pad = torch.full_like(share_BWV[:1, :1], float("-inf"))
        only_pad[..., self.pad] = 0.0
        share_BWV = torch.where(done_BW[:, :, None], only_pad, share_BWV)
        total_BX = (self.score_BW[:, :, None] + share_BWV).view(self.rows, -1)
        self.score_BW, index_BW = total_BX.topk(self.beams, dim=1)
        origin_BW, token_BW = index_BW // vocab, index_BW % vocab
        history = self.written_BWT.gather(1, origin_BW[:, :, None].expand(-1, -1, self.written_BWT.shape[2]))
        self.written_BWT = torch.cat([history, token_BW[:, :, None]], dim=2)
        closing_BW = token_BW == self.sep
        self.closed_BW = self.closed_BW.gather(1, origin_BW) + closing_BW
        read_BW = torch.where(closing_BW, self.openers_BS.gather(1, self.closed_BW), token_BW)
        base_B1 = torch.arange(self.rows, device=index_BW.device)[:, None] * self.beams
        return (base_B1 + origin_BW).flatten(), read_BW.reshape(-1, 1)

    def finished(self) -> bool:
        """Tell whether every beam has closed all its spans."""
        return bool((self.closed_BW == self.wanted_B1).all())

    def results(self) -> list[Written]:
        """Return the best beam of each row, by mean log-probability a token."""
        length_BW = (self.written_BWT != self.pad).sum(dim=2).clamp(min=1)
        best_B = (self.score_BW / length_BW).argmax(dim=1)
        pick = torch.arange(self.rows, device=best_B.device)
        tokens = self.written_BWT[pick, best_B].tolist()
        scores = self.score_BW[pick, best_B].tolist()
        results = []
        for row, wanted, score in zip(tokens, self.wanted, scores, strict=True):
            kept = [token for token in row if token != self.pad]
            results.append(Written(_spans(kept, self.sep, wanted), score, len(kept)))
        return results


def _spans(tokens: list[int], sep: int, wanted: int) -> list[list[int]]:
    spans: list[list[int]] = [[]]
    for token in tokens:
        if token == sep:
            spans.append([])
        else:
            spans[-1].append(token)
    return (spans + [[]] * wanted)[:wanted]
