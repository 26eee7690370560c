"""The two towers: a timm vision transformer, and a BERT whose layers serve three uses.

Shape letters: B batch, C channels, H W pixels, N patches (class token first), L tokens, M memory tokens, D width,
K texts an image.
"""

from __future__ import annotations

import math
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, DynamicCache, EncoderDecoderCache
from transformers.models.bert.modeling_bert import (
    BertAttention,
    BertEmbeddings,
    BertIntermediate,
    BertOutput,
    BertPredictionHeadTransform,
)

from models.config import TextConfig, VisionConfig
from models.precision import follow_autocast

__all__ = ["LanguageHead", "TextTower", "Use", "make_cache", "make_vision_tower"]


class Use(Enum):
    """What the text layers are used for; self-attention and feed-forward are the same for all three."""

    TEXT = "text"
    """Unimodal: bidirectional, no cross-attention."""
    FUSED = "fused"
    """Bidirectional, cross-attention to the image."""
    DECODE = "decode"
    """Causal, cross-attention to the fused image-text states."""


def make_vision_tower(config: VisionConfig) -> nn.Module:
    """Return the timm vision transformer, without a head; `forward_features` gives states (B, 1 + N, D)."""
    import timm
    from timm.models.vision_transformer import VisionTransformer

    if config.timm_name is not None:
        named = timm.create_model(
            config.timm_name,
            pretrained=False,
            num_classes=0,
            img_size=config.image_size,
            in_chans=config.channels,
        )
        follow_autocast(named)
        return named
    tower = VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch,
        in_chans=config.channels,
        num_classes=0,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
    )
    tower.apply(_scale_to_width)
    nn.init.trunc_normal_(tower.pos_embed, std=_POSITION_STD)
    follow_autocast(tower)
    return tower


def make_cache() -> EncoderDecoderCache:
    """Return an empty key-value cache for writing token by token."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def bert_config(config: TextConfig) -> BertConfig:
    """Return the transformers configuration of the text tower."""
    bert = BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.feed_forward or 4 * config.width,
        max_position_embeddings=config.positions,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
    )
    bert._attn_implementation = "sdpa"
    return bert


class TextLayer(nn.Module):
    """One BERT layer: shared self-attention and feed-forward, and a cross-attention for each fused use."""

    def __init__(self, bert: BertConfig, index: int, image_width: int) -> None:
        super().__init__()
        self.attention = BertAttention(bert, layer_idx=index)
        self.image_attention = BertAttention(bert, layer_idx=index, is_cross_attention=True)
        self.image_attention.self.key = nn.Linear(image_width, bert.hidden_size)
        self.image_attention.self.value = nn.Linear(image_width, bert.hidden_size)
        self.memory_attention = BertAttention(bert, layer_idx=index, is_cross_attention=True)
        self.intermediate = BertIntermediate(bert)
        self.output = BertOutput(bert)

    def forward(
        self,
        states_BLD: Tensor,
        mask_B11L: Tensor | None,
        use: Use,
        context: Tensor | None,
        context_mask_B11M: Tensor | None,
        cache: EncoderDecoderCache | None,
    ) -> Tensor:
        """Return the states (B, L, D) after this layer."""
        states_BLD, _ = self.attention(states_BLD, mask_B11L, past_key_values=cache, is_causal=use is Use.DECODE)
        if use is Use.FUSED:
            states_BLD = self._look_at_image(states_BLD, context)
        elif use is Use.DECODE:
            states_BLD, _ = self.memory_attention(
                states_BLD,
                encoder_hidden_states=context,
                encoder_attention_mask=context_mask_B11M,
                past_key_values=cache,
                is_causal=False,
            )
        return self.output(self.intermediate(states_BLD), states_BLD)

    def _look_at_image(self, states_BLD: Tensor, image_BND: Tensor) -> Tensor:
        """Attend to the image; K texts of one image share its keys and values, computed once."""
        rows, length, width = states_BLD.shape
        folded = states_BLD.reshape(image_BND.shape[0], -1, width)
        attended, _ = self.image_attention(folded, encoder_hidden_states=image_BND, is_causal=False)
        return attended.reshape(rows, length, width)


class TextTower(nn.Module):
    """BERT in three uses (section 3.3): unimodal, fused with the image, and decoding.

    Texts are padded on the right, so the causal use needs no mask: no token sees padding that follows it.
    """

    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        bert = bert_config(config)
        self.embeddings = BertEmbeddings(bert)
        self.layers = nn.ModuleList([TextLayer(bert, i, image_width) for i in range(config.layers)])
        self.checkpoint_layers = False
        self.apply(_initialise)
        follow_autocast(self)

    def forward(
        self,
        ids_BL: Tensor,
        mask_BL: Tensor | None,
        use: Use,
        *,
        context: Tensor | None = None,
        context_mask_BM: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
    ) -> Tensor:
        """Return the token states (B, L, D).

        Args:
            ids_BL: WordPiece ids.
            mask_BL: True (or 1) at tokens, False at padding; not used for decoding.
            use: Which of the three uses.
            context: Image states (B/K, N, D) when fused, memory states (B, M, D) when decoding.
            context_mask_BM: True at the memory's tokens.
            cache: Keys and values of what has been written before these ids.
        """
        past = cache.get_seq_length() if cache is not None else 0
        states_BLD = self.embeddings(input_ids=ids_BL, past_key_values_length=past)
        mask = None if use is Use.DECODE or mask_BL is None else mask_BL.bool()[:, None, None, :]
        context_mask = None if context_mask_BM is None else context_mask_BM.bool()[:, None, None, :]
        for layer in self.layers:
            arguments = (states_BLD, mask, use, context, context_mask, cache)
            if self.checkpoint_layers and self.training and torch.is_grad_enabled():
                states_BLD = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                states_BLD = layer(*arguments)
        return states_BLD


class LanguageHead(nn.Module):
    """Token states to vocabulary logits, with the word embeddings as output weights."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(bert_config(config))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.transform.apply(_initialise)

    def forward(self, states_BLD: Tensor, word_embeddings_VD: Tensor) -> Tensor:
        """Return logits (B, L, V)."""
        return functional.linear(self.transform(states_BLD), word_embeddings_VD, self.bias)


_POSITION_STD = 0.25
"""Of first position embeddings: about as strong as the patches beside which they stand. At ViT's 0.02 a tower learns
late, if at all in a short run, where things are."""


def _scale_to_width(module: nn.Module) -> None:
    """Give ViT's first weights, a deviation of 0.02 at a width of 768, the same gain at other widths."""
    if isinstance(module, nn.Linear):
        with torch.no_grad():
            module.weight.mul_(math.sqrt(768 / module.in_features))


def _initialise(module: nn.Module) -> None:
    """BERT's normal weights of 0.02 at its width of 768, and of the same gain at others; zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        width = module.in_features if isinstance(module, nn.Linear) else module.embedding_dim
        nn.init.normal_(module.weight, std=0.02 * math.sqrt(768 / width))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
