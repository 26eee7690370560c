"""What a KnowLIP model is made of, and the presets of section 4.1."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from knowlip.records import SUBTEXTS
from knowlip.settings import Section

__all__ = [
    "ContrastConfig",
    "KnowLIPConfig",
    "LossWeights",
    "MaskConfig",
    "TextConfig",
    "VisionConfig",
    "presets",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class VisionConfig(Section):
    """The vision tower: a timm vision transformer."""

    timm_name: str | None = None
    """Name of a timm ViT; its own width, depth, heads and patch then count, not those below."""
    image_size: Annotated[int, Field(ge=8, le=4096)] = 224
    """Pixels a side of the square input."""
    channels: Literal[1, 3] = 1
    """Input channels; the radar image is repeated when 3."""
    patch: Count = 16
    """Pixels a side of a patch."""
    width: Count = 768
    """Width of the patch states."""
    depth: Count = 12
    """Transformer blocks."""
    heads: Count = 12
    """Attention heads."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.timm_name is None and self.image_size % self.patch:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch {self.patch}")
        if self.timm_name is None and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class TextConfig(Section):
    """The text tower: BERT, with cross-attention for the fused and the decoding use."""

    vocab_size: Annotated[int, Field(ge=8)] = 30522
    """WordPieces; the tokenizer's number."""
    width: Count = 768
    """Width of the token states."""
    layers: Count = 12
    """Transformer layers."""
    heads: Count = 12
    """Attention heads."""
    feed_forward: Annotated[int, Field(ge=0)] = 0
    """Width inside the feed-forward; 0 for four times the width."""
    max_tokens: Annotated[int, Field(ge=24)] = 256
    """Longest text; longer ones are cut sub-text by sub-text."""
    positions: Count = 512
    """Position embeddings, at least `max_tokens` of them."""
    dropout: Share = 0.1
    """Dropout in states and attention."""
    subtexts: tuple[str, ...] = SUBTEXTS
    """Sub-texts that pretraining sees. `target_category`, `target_quantity` and `target_location` alone say what
    templates over annotations do (the RemoteCLIP way); then set scio.stages to none, for screening looks at all."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        unknown = [name for name in self.subtexts if name not in SUBTEXTS]
        if unknown or not self.subtexts:
            raise ValueError(f"subtexts {list(self.subtexts)} must be one or more of {', '.join(SUBTEXTS)}")
        if self.positions < self.max_tokens:
            raise ValueError(f"positions {self.positions} are fewer than max_tokens {self.max_tokens}")
        return self


class ContrastConfig(Section):
    """Image-text contrast and matching (eq. 4 and 5; section 4.1)."""

    queue_size: Annotated[int, Field(ge=0)] = 20_000
    """Pairs of momentum features kept as negatives."""
    queue_warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps before the queue counts. Held against a queue of their own past from the start, two random towers that
    learn fast run away from it together instead of apart; a slow momentum (0.995) or some warm-up prevents that."""
    alpha: Share = 0.4
    """Weight of the momentum model's soft targets."""
    alpha_warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which alpha rises from 0."""
    momentum: Share = 0.995
    """Decay of the momentum encoders for one step at `momentum_batch` pairs."""
    momentum_batch: Annotated[int, Field(ge=0)] = 0
    """Batch that `momentum` is meant for: another batch keeps the half-life in samples. 0: any batch as it is."""
    temperature: Annotated[float, Field(gt=0.0)] = 0.07
    """First value of the learned temperature τ."""
    temperature_min: Annotated[float, Field(gt=0.0)] = 0.001
    """τ is clamped from below here."""
    temperature_max: Annotated[float, Field(gt=0.0)] = 0.5
    """τ is clamped from above here."""
    duplicate_overlap: Share = 0.9
    """Texts that share at least this part of their tokens (Jaccard) are no negatives of one another in matching."""
    hardness: Share = 1.0
    """How much similarity decides which negatives matching gets: 1 draws them by it as ALBEF does, 0 by chance. Were
    contrast perfect, negatives drawn by it would be as true as the pair's own, and matching could learn nothing."""
    negative_group: Annotated[int, Field(ge=0)] = 0
    """Draw negatives within groups of this many rows, so that the loss does not depend on how a batch is split
    over workers and accumulation; 0: within the worker's whole batch."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.temperature_min <= self.temperature <= self.temperature_max:
            raise ValueError(
                f"temperature {self.temperature} lies outside [{self.temperature_min}, {self.temperature_max}]"
            )
        return self


class LossWeights(Section):
    """λ₁, λ₂ and λ₃ of eq. 7."""

    itc: Annotated[float, Field(ge=0.0)] = 1.0
    """λ₁, image-text contrast."""
    itm: Annotated[float, Field(ge=0.0)] = 1.0
    """λ₂, image-text matching."""
    mlm: Annotated[float, Field(ge=0.0)] = 1.0
    """λ₃, masked language modelling."""


class MaskConfig(Section):
    """What is masked for eq. 6; every masked span becomes one `[MASK]`."""

    caption: Share = 0.1
    """Share of texts of which every sub-text is masked, so that the decoder learns to describe an image alone."""
    subtext: Share = 0.25
    """Probability that a sub-text of any other text is masked whole."""
    word: Share = 0.15
    """Share of the key words in the remaining sub-texts that start a masked span."""
    span_words: Count = 3
    """Longest masked span, in words."""
    max_targets: Annotated[int, Field(ge=8)] = 256
    """Most tokens that the decoder is asked to write for one text."""
    left_out: Share = 0.0
    """Probability that a training text is read by contrast and matching without one of its sub-texts. Screening holds a
    text against the same one less a sub-text (eq. 10), which a model that has only read whole texts cannot judge."""


class KnowLIPConfig(Section):
    """A KnowLIP model: its towers and its objectives (sections 3.3 and 4.1)."""

    vision: VisionConfig = VisionConfig()
    """The vision tower."""
    text: TextConfig = TextConfig()
    """The text tower."""
    projection: Count = 256
    """Width of the shared embedding."""
    pooling: Literal["first", "mean"] = "first"
    """What embeds an image or a text, and decides whether they match: the state of the first token, as in BLIP, or the
    mean of all. Every sub-text and patch then counts from the first step on, where a first token has yet to learn to
    look at them: a short run, or a sentence encoder for first weights, wants the mean."""
    contrast: ContrastConfig = ContrastConfig()
    """Contrast and matching."""
    weights: LossWeights = LossWeights()
    """Weights of the three losses."""
    mask: MaskConfig = MaskConfig()
    """What is masked."""

    def with_vocabulary(self, vocab_size: int) -> KnowLIPConfig:
        """Return the same model for a tokenizer of `vocab_size` pieces."""
        text = TextConfig.model_validate({**self.text.model_dump(), "vocab_size": vocab_size})
        return self.model_copy(update={"text": text})


presets: MappingProxyType[str, KnowLIPConfig] = MappingProxyType(
    {
        "tiny": KnowLIPConfig(
            vision=VisionConfig(image_size=96, patch=16, width=128, depth=3, heads=4),
            text=TextConfig(vocab_size=2000, width=128, layers=2, heads=4, max_tokens=256, positions=256, dropout=0.0),
            projection=64,
            pooling="mean",
            contrast=ContrastConfig(
                queue_size=512, queue_warmup_steps=60, momentum=0.95, alpha_warmup_steps=60, hardness=0.25
            ),
            mask=MaskConfig(left_out=0.15),
        ),
        "small": KnowLIPConfig(
            vision=VisionConfig(width=384, depth=12, heads=6),
            text=TextConfig(width=384, layers=6, heads=12),
            pooling="mean",
        ),
        "base": KnowLIPConfig(),
        "large": KnowLIPConfig(vision=VisionConfig(width=1024, depth=24, heads=16)),
    }
)
"""`tiny` learns in seconds on a CPU; `small` is ViT-S with MiniLM's shape and pooling; `base` and `large` are ViT-B/16
and ViT-L/16 with BERT-base, the paper's."""
