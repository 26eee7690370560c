"""Image-text retrieval as a task of the training loop: ITC ranks, ITM re-ranks the first (section 4.4, Table 6).

Shape letters: B batch, N images, M texts, P patches, L tokens, D width, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from knowlip.benchmark.answers import normalise
from knowlip.benchmark.metrics import SCORERS
from models.collectives import gather_objects, own_rank, world_size
from models.tasks.described import COLUMNS, DescribedSettings, DescribedTask
from models.tasks.protocol import Batch
from models.text import pad

__all__ = ["COLUMNS", "RetrievalSettings", "RetrievalTask"]

_FUSED_AT_ONCE = 64


class RetrievalSettings(DescribedSettings):
    """What a retrieval task is made from."""

    reranked: int = Field(16, ge=0)
    """How many of each query's first results are ordered anew by matching; 0 leaves the order of contrast."""


class RetrievalTask(DescribedTask):
    """The text for an image, and the image for a text.

    Args:
        settings: What it is made from.
    """

    name = "retrieval"
    best_metric = "retrieval_mean"
    higher_is_better = True
    score = staticmethod(SCORERS[name])

    settings: RetrievalSettings

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> None:
        """Keep the embeddings of a held-out batch, and what matching needs."""
        network, tokenizer = self.model.network, self.model.tokenizer
        image_BND, image_BE = network.encode_image(self._pixels(batch))
        spelled = tokenizer.plain([text for texts in batch["texts"] for text in texts], self.settings.max_tokens)
        ids_ML, mask_ML = (part.to(image_BE.device) for part in pad(spelled, tokenizer.pad))
        text_ME = network.encode_text(ids_ML, mask_ML)[1].float().cpu()
        image_BE, states_BND, first = image_BE.float().cpu(), image_BND.half().cpu(), 0
        for row, (name, texts) in enumerate(zip(batch["example_id"], batch["texts"], strict=True)):
            own = slice(first, first := first + len(texts))
            self._records.append(
                {
                    "example_id": name,
                    "image": image_BE[row],
                    "states": states_BND[row],
                    "texts": texts,
                    "spelled": spelled[own],
                    "embedded": text_ME[own],
                }
            )

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """Return recalls over all workers' images and texts, and start afresh."""
        kept = gather_objects(self._records)
        self._records, self.scored = [], []
        if not kept:
            return {}
        images_NE = torch.stack([row["image"] for row in kept])
        texts_ME = torch.cat([row["embedded"] for row in kept])
        owner = [place for place, row in enumerate(kept) for _ in row["texts"]]
        # A text that fits several images word by word is right for each of them.
        words = [[normalise(text) for text in row["texts"]] for row in kept]
        said = [word for some in words for word in some]
        right_NM = torch.tensor([[word in some for word in said] for some in map(set, words)])
        similarity_NM = images_NE @ texts_ME.T
        spelled = [ids for row in kept for ids in row["spelled"]]
        states = [row["states"] for row in kept]
        i2t_NM = self._reranked(similarity_NM, lambda n, m: (n, m), states, spelled)
        t2i_MN = self._reranked(similarity_NM.T, lambda m, n: (n, m), states, spelled)
        names = [row["example_id"] for row in kept]
        for place, name in enumerate(names):
            rank = _rank(i2t_NM[place], right_NM[place])
            self.scored.append({"example_id": name, "direction": "i2t", "rank": rank})
        for place, image in enumerate(owner):
            rank = _rank(t2i_MN[place], right_NM[:, place])
            first = names[int(t2i_MN[place].argmax())]
            record = {"example_id": names[image], "direction": "t2i", "rank": rank, "text": said[place], "first": first}
            self.scored.append(record)
        return self.score(self.scored)

    def _reranked(
        self, similarity: Tensor, pair: Any, states: Sequence[Tensor], spelled: Sequence[list[int]]
    ) -> Tensor:
        """Lift each query's first results above the rest, in the order of their matching probability."""
        most = min(self.settings.reranked, similarity.shape[1])
        if not most:
            return similarity
        first = similarity.topk(most, dim=1).indices
        pairs = [pair(query, int(target)) for query, row in enumerate(first) for target in row]
        matched = self._matched(pairs, states, spelled).view(len(first), most)
        # Contrast breaks ties of matching; cosines lie within ±1, so 2 and more is above all that was not looked at.
        return similarity.scatter(1, first, 2.0 + matched + 1e-3 * similarity.gather(1, first))

    def _matched(
        self, pairs: Sequence[tuple[int, int]], states: Sequence[Tensor], spelled: Sequence[list[int]]
    ) -> Tensor:
        """Return P(match) of pairs of an image and a text, of which every worker computes a share."""
        network, tokenizer, device = self.model.network, self.model.tokenizer, self.model.device
        share = -(-len(pairs) // world_size())
        own = pairs[own_rank() * share : (own_rank() + 1) * share]
        parts = []
        for start in range(0, len(own), _FUSED_AT_ONCE):
            chunk = own[start : start + _FUSED_AT_ONCE]
            ids, mask = (part.to(device) for part in pad([spelled[text] for _, text in chunk], tokenizer.pad))
            image_BPD = torch.stack([states[image] for image, _ in chunk]).to(device, torch.float32)
            logits_B2 = network.match_logits(network.fuse(image_BPD, ids, mask), mask).float()
            parts += logits_B2.softmax(dim=1)[:, 1].tolist()
        return torch.tensor(gather_objects(parts))


def _rank(scores: Tensor, right: Tensor) -> int:
    """Count the wrong answers that stand before, or tie with, the best right one."""
    best = scores[right].max()
    return int(((scores >= best - 1e-7) & ~right).sum())
