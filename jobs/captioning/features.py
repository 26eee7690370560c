"""What a model sees of texts: their tokens, and where they lie beside the images in its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from sklearn.manifold import TSNE

from knowlip.archive import checkpoint_digest, fetched_checkpoint
from knowlip.captioning import OK
from knowlip.errors import CheckpointError
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace

__all__ = ["Reader", "TokenCounts", "laid_out"]


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of captions, in the order of `captions/`.

    Attributes:
        tokens: Tokens of each caption with its markers, uncut.
        cut: Share of each that does not fit.
    """

    tokens: np.ndarray
    cut: np.ndarray

    def figures(self, places: Sequence[int]) -> dict[str, float]:
        """Return the mean number of tokens, the share of captions that are cut, and the share of tokens that is."""
        tokens, cut = self.tokens[places], self.cut[places]
        lost = float((tokens * cut).sum() / max(tokens.sum(), 1))
        return {
            "tokens_a_caption": float(tokens.mean()),
            "captions_cut": float((cut > 0).mean()),
            "tokens_cut": lost,
        }


class Reader:
    """A model, or only its tokenizer.

    Args:
        workspace: Where the run lies.
        run: Training run whose checkpoint reads; empty for the tokenizer of the `weights` extra.
        max_tokens: Longest text; with a checkpoint, its own limit goes before.

    Raises:
        CheckpointError: The run has no checkpoint, or there is neither a run nor the extra.
    """

    def __init__(self, workspace: Workspace, run: str, max_tokens: int) -> None:
        from models import Tokenizer, load  # here, since a report of words needs no torch

        self._workspace = workspace
        self.model = None
        if run:
            checkpoint = f"runs/{run}/checkpoint"
            checkpoint_digest(workspace, checkpoint)
            self.model = load(fetched_checkpoint(workspace, checkpoint))
            self.tokenizer = self.model.tokenizer
            self.max_tokens = self.model.network.config.text.max_tokens
        else:
            self.tokenizer, self.max_tokens = Tokenizer.packaged(), max_tokens

    def count(self) -> TokenCounts:
        """Count the tokens of all captions that are in order."""
        tokens, cut = list[int](), list[float]()
        source = self._workspace.dataset("captions")
        for batch in source.to_batches(columns=list(SUBTEXTS), filter=pc.field("status") == OK):
            rows = list(zip(*(batch[name].to_pylist() for name in SUBTEXTS), strict=True))
            for text in self.tokenizer.subtexts(rows, 1_000_000):
                tokens.append(len(self.tokenizer.sequence(text)))
                cut.append(text.fitted(self.max_tokens).cut)
        return TokenCounts(np.array(tokens, np.int64), np.array(cut, np.float64))

    def features(self, views: Sequence[bytes], texts: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
        """Return unit features (N, E) of images, under ``images``, and of each kind of text.

        Raises:
            CheckpointError: There is no checkpoint.
        """
        if self.model is None:
            raise CheckpointError("no checkpoint", where="text report", fix="give --run NAME")
        found = {"images": self.model.encode_image(views)}
        return found | {name: self.model.encode_text(ones) for name, ones in texts.items()}


def laid_out(
    features: Mapping[str, np.ndarray], seed: int
) -> tuple[dict[str, np.ndarray], list[tuple[str, float, float]]]:
    """Lay features out on a plane, and hold each text against all images.

    Args:
        features: Unit features (N, E): ``images`` and kinds of text, one row a tile each.
        seed: Seed of the layout.

    Returns:
        Points (N, 2) by label; and for each kind of text its name, the mean cosine with its own image, and the share of
        texts whose nearest image is their own.
    """
    images = features["images"]
    count = len(images) * len(features)
    layout = TSNE(metric="cosine", init="pca", perplexity=min(30.0, (count - 1) / 3), random_state=seed)
    points = np.split(layout.fit_transform(np.concatenate(list(features.values()))), len(features))
    told = []
    for name, ones in features.items():
        if name != "images":
            cosines = ones @ images.T
            own = float((cosines.argmax(axis=1) == np.arange(len(images))).mean())
            told.append((name, float(np.diagonal(cosines).mean()), own))
    return dict(zip(features, (one.astype(np.float64) for one in points), strict=True)), told
