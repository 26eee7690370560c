"""How many floating-point operations a pretraining step asks for, so that a GPU's use can be told (MFU).

Matrix products alone are counted, a multiplication and an addition as two, on the shapes of the batch as they are,
padding included. A product of the trained network counts three times, once forward and twice backward; one of the
momentum encoders once. What activation checkpointing computes again does not count: it is the hardware's work, not the
model's.

Shape letters: B batch, N patches and class token, L tokens, T written tokens, D width, E embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from models.pretrainer import PretrainingNetwork

__all__ = ["StepFlops"]


class StepFlops:
    """Counts the operations of steps of one network.

    Args:
        network: Whose steps; its shapes are read once.
    """

    def __init__(self, network: PretrainingNetwork) -> None:
        student, text = network.student, network.config.text
        vision: Any = student.vision
        layers: Any = student.text.layers
        self._seen = int(vision.patch_embed.num_patches) + int(vision.num_prefix_tokens)
        self._image_width, self._width, self._depth = int(vision.num_features), text.width, text.layers
        patches = int(vision.patch_embed.num_patches) * _weights([vision.patch_embed.proj])
        self._vision = 2 * (patches + self._seen * _weights(vision.blocks)) + len(vision.blocks) * _attention(
            self._seen, self._seen, self._image_width
        )
        self._token = 2 * _weights(part for layer in layers for part in _own_parts(layer))
        self._cross_token = 2 * _weights(
            part for layer in layers for part in (layer.image_attention.self.query, layer.image_attention.output)
        )
        self._image_token, self._memory_token = (
            2 * _weights(part for layer in layers for part in (cross(layer).key, cross(layer).value))
            for cross in (lambda layer: layer.image_attention.self, lambda layer: layer.memory_attention.self)
        )
        self._written = 2 * (_weights([student.language_head.transform]) + text.vocab_size * text.width)
        self._embedding = network.config.projection
        self._queue = network.queue.size
        weights = network.config.weights
        self._matches, self._writes = weights.itm > 0, weights.mlm > 0

    def __call__(self, batch: Mapping[str, Any]) -> float:
        """Return the operations of one step, forward and backward, on a batch of `PairBatcher`."""
        rows, length = batch["ids"].shape
        encoders = self._vision + self._text(length) + self._projections()
        keys = rows + self._queue
        # Two directions; similarities forward, their gradient, and the momentum's similarities for the soft targets.
        contrast = 2 * 3 * 2 * keys * self._embedding
        matching = self._matching(length, rows) if self._matches else 0.0
        writing = self._writing(batch) if self._writes else 0.0
        return float(rows * (3 * (encoders + matching + writing) + encoders + contrast))

    def derivation(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """Return the parts of the forward pass of one pair, in 10⁹ operations."""
        length = batch["ids"].shape[1]
        parts = {
            "vision": self._vision,
            "text": self._text(length),
            "matching, three fused texts": 3 * self._fused(length),
            "writing": self._writing(batch),
        }
        return {name: value / 1e9 for name, value in parts.items()}

    def _projections(self) -> float:
        return 2 * (self._image_width + self._width) * self._embedding

    def _text(self, length: int) -> float:
        """Return the forward pass of one text (L)."""
        return length * self._token + self._depth * _attention(length, length, self._width)

    def _fused(self, length: int) -> float:
        """Return the forward pass of one text (L) that looks at an image (N)."""
        looked = length * self._cross_token + self._seen * self._image_token
        return self._text(length) + looked + self._depth * _attention(length, self._seen, self._width)

    def _matching(self, length: int, rows: int) -> float:
        """Return the forward pass of a pair's three fused texts (L), and of choosing negatives among the rows."""
        return 3 * (self._fused(length) + 4 * self._width) + 2 * self._embedding * rows / 3

    def _writing(self, batch: Mapping[str, Any]) -> float:
        """Return the forward pass of reading one masked text and writing what is missing (T)."""
        masked, written = batch["masked_ids"].shape[1], batch["written"].shape[1]
        looked = written * self._cross_token + masked * self._memory_token
        decoder = self._text(written) + looked + self._depth * _attention(written, masked, self._width)
        return self._fused(masked) + decoder + len(batch["told"]) / len(batch["ids"]) * self._written


def _attention(queries: int, keys: int, width: int) -> float:
    """Return the two products of one attention: scores, and their sum of values."""
    return 4 * queries * keys * width


def _own_parts(layer: Any) -> tuple[nn.Module, ...]:
    return layer.attention, layer.intermediate, layer.output


def _weights(modules: Iterable[nn.Module]) -> int:
    """Return the weights of all linear maps and convolutions in some modules: products for each token."""
    found = (part for module in modules for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d))
    return sum(part.weight.numel() for part in found)
