"""What a loaded KnowLIP model can be asked: encode, match, write, answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowlip.errors import DataError
from models.generation import Written, sequence_log_likelihood, write_spans
from models.knowlip import KnowLIP
from models.preprocessing import ImageLike, Preprocessing
from models.queries import described, subject
from models.text import Tokenizer, pad

__all__ = ["Answer", "KnowlipModel"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and how sure the model is, 0 to 1."""

    answer: str
    confidence: float


@dataclass(frozen=True)
class KnowlipModel:
    """A network with what it needs to be used: tokenizer, preprocessing and the record of how it was made.

    Attributes:
        network: In evaluation mode.
        tokenizer: Its tokenizer.
        preprocessing: How images become its input.
        manifest: How it was made.
        queue: Frozen negatives for screening, when the checkpoint has them.
        batch_size: Most images or texts that go through the network at once.
    """

    network: KnowLIP
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    manifest: Mapping[str, Any] = field(default_factory=dict)
    queue: Mapping[str, Tensor] | None = None
    batch_size: int = 64

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.log_temperature.device

    @torch.inference_mode()
    def encode_image(self, images: Sequence[ImageLike]) -> NDArray[np.float32]:
        """Return unit embeddings (N, E) of images.

        Raises:
            DataError: An image does not decode.
        """
        parts = [self.network.encode_image(self._pixels(images, part))[1] for part in self._parts(len(images))]
        return self._rows(parts)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit embeddings (N, E) of free texts."""
        return self._texts(self.tokenizer.plain(texts, self.network.config.text.max_tokens))

    def encode_query(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Return unit embeddings (N, E) of what is searched for: see `models.queries`."""
        wanted, most = [subject(query) for query in queries], self.network.config.text.max_tokens
        read_NE = self.encode_text(wanted) + self._texts([described(one, self.tokenizer, most) for one in wanted])
        return read_NE / np.linalg.norm(read_NE, axis=1, keepdims=True).clip(min=1e-12)

    @torch.inference_mode()
    def match(self, images: Sequence[ImageLike], texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the probability (N) that each text describes its image (eq. 5).

        Raises:
            DataError: There are not as many texts as images, or an image does not decode.
        """
        _same_length(images, texts, "texts")
        rows = self.tokenizer.plain(texts, self.network.config.text.max_tokens)
        results = []
        for part in self._parts(len(images)):
            image_BND, _ = self.network.encode_image(self._pixels(images, part))
            ids_BL, mask_BL = self._padded(rows[part])
            logits_B2 = self.network.match_logits(self.network.fuse(image_BND, ids_BL, mask_BL), mask_BL)
            results.append(logits_B2.float().softmax(dim=1)[:, 1])
        return torch.cat(results).cpu().numpy() if results else np.zeros(0, np.float32)

    def write(
        self,
        images: Sequence[ImageLike],
        prompt: str | Sequence[str] = "",
        *,
        max_new_tokens: int = 256,
        beams: int = 1,
    ) -> list[str]:
        """Write texts about images.

        Args:
            images: What is written about.
            prompt: One for all, or one an image. Empty: a whole description. With ``[MASK]``: the text with its gaps
                filled. Otherwise: what is written after the prompt.
            max_new_tokens: Most tokens written for one image.
            beams: Beam width; 1 is greedy.

        Raises:
            DataError: There are not as many prompts as images, or an image does not decode.
        """
        prompts = [prompt] * len(images) if isinstance(prompt, str) else list(prompt)
        written = self._write(images, prompts, max_new_tokens, beams)
        return [self._fill(text, result) for text, result in zip(prompts, written, strict=True)]

    def answer(
        self,
        images: Sequence[ImageLike],
        questions: Sequence[str],
        candidates: Sequence[str] | None = None,
        *,
        max_new_tokens: int = 32,
        beams: int = 3,
    ) -> list[Answer]:
        """Answer a question about each image.

        Args:
            images: What is asked about.
            questions: One an image.
            candidates: The answers to choose from, by likelihood; without them the answer is written freely.
            max_new_tokens: Longest free answer.
            beams: Beam width of a free answer.

        Returns:
            Answers; the confidence is the share of the candidates' likelihood, or the mean probability of a written
            token.

        Raises:
            DataError: There are not as many questions as images, no candidates in an empty list, or an image does
                not decode.
        """
        _same_length(images, questions, "questions")
        if candidates is not None:
            return self._choose(images, questions, candidates)
        written = self._write(images, questions, max_new_tokens, beams)
        return [Answer(self._decode(result), result.confidence) for result in written]

    @torch.inference_mode()
    def rank(
        self, images: Sequence[ImageLike], questions: Sequence[str], candidates: Sequence[str]
    ) -> list[list[Answer]]:
        """Order candidate answers to a question about each image, likeliest first.

        Returns:
            For each image every candidate, with its share of their likelihood.

        Raises:
            DataError: There are not as many questions as images, no candidates, or an image does not decode.
        """
        _same_length(images, questions, "questions")
        if not candidates:
            raise DataError("an empty list of candidates", where="candidates", fix="give some, or None")
        targets = self.tokenizer.encode(candidates)
        prompts = self.tokenizer.prompt(questions, self.network.config.text.max_tokens)
        ranked = []
        for index, prompt in enumerate(prompts):
            image_BND, _ = self.network.encode_image(self._pixels(images, slice(index, index + 1)))
            scores = torch.cat(
                [
                    sequence_log_likelihood(self.network, self.tokenizer, image_BND, [prompt], targets[part])
                    for part in self._parts(len(targets))
                ]
            )
            share = scores.softmax(dim=0)
            order = share.argsort(descending=True, stable=True).tolist()
            ranked.append([Answer(candidates[place], float(share[place])) for place in order])
        return ranked

    @torch.inference_mode()
    def _write(
        self, images: Sequence[ImageLike], prompts: Sequence[str], max_new_tokens: int, beams: int
    ) -> list[Written]:
        _same_length(images, prompts, "prompts")
        rows = self.tokenizer.prompt(prompts, self.network.config.text.max_tokens)
        written: list[Written] = []
        for part in self._parts(len(images)):
            image_BND, _ = self.network.encode_image(self._pixels(images, part))
            written += write_spans(
                self.network,
                self.tokenizer,
                image_BND,
                rows[part],
                max_new_tokens=max_new_tokens,
                beams=beams,
            )
        return written

    def _choose(self, images: Sequence[ImageLike], questions: Sequence[str], candidates: Sequence[str]) -> list[Answer]:
        return [ranked[0] for ranked in self.rank(images, questions, candidates)]

    @torch.inference_mode()
    def _texts(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        parts = [self.network.encode_text(*self._padded(rows[part]))[1] for part in self._parts(len(rows))]
        return self._rows(parts)

    def _fill(self, prompt: str, result: Written) -> str:
        if "[MASK]" not in prompt:
            return self._decode(result)
        parts = prompt.split("[MASK]")
        spans = [self.tokenizer.decode(span) for span in result.spans]
        spans += [""] * (len(parts) - 1 - len(spans))
        return "".join(part + span for part, span in zip(parts, [*spans, ""], strict=True))

    def _decode(self, result: Written) -> str:
        return " ".join(filter(None, (self.tokenizer.decode(span) for span in result.spans)))

    def _pixels(self, images: Sequence[ImageLike], part: slice) -> Tensor:
        return self.preprocessing(images[part], first=part.start).to(self.device)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        ids, mask = pad(rows, self.tokenizer.pad)
        return ids.to(self.device), mask.to(self.device)

    def _parts(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self.batch_size) for start in range(0, count, self.batch_size))

    def _rows(self, parts: list[Tensor]) -> NDArray[np.float32]:
        if not parts:
            return np.zeros((0, self.network.config.projection), np.float32)
        return torch.cat(parts).float().cpu().numpy()


def _same_length(images: Sequence[Any], others: Sequence[Any], name: str) -> None:
    if len(images) != len(others):
        raise DataError(f"{len(images)} images and {len(others)} {name}", where=name, fix="give one an image")
