"""What is masked can be put back, excluded sub-texts stay visible, and the decoder's room is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import MaskConfig
from models.masking import key_words, mask_text
from models.text import Tokenizer

ROW = [
    "a port of the city with three quays",
    "the harbour serves 12 ships",
    "flat land and open water",
    "ship; tank; aircraft",
    "",
    "in the northern part of the harbour",
    "long and bright hull",
    "ships lie beside the quays",
]
TOKENIZER = Tokenizer.train(ROW, vocab_size=300)
TEXT = TOKENIZER.subtexts([ROW], 128)[0]


def restored(ids: list[int], targets: list[int]) -> list[int]:
    """Put the written spans back in place of the masks."""
    spans, start = [], 0
    for stop, token in enumerate(targets):
        if token == TOKENIZER.sep:
            spans.append(targets[start:stop])
            start = stop + 1
    whole: list[int] = []
    for token in ids:
        whole += spans.pop(0) if token == TOKENIZER.mask else [token]
    assert not spans
    return whole


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    caption=st.sampled_from([0.0, 0.5, 1.0]),
    subtext=st.floats(0, 1),
    word=st.floats(0, 1),
    span_words=st.integers(1, 5),
    max_targets=st.integers(8, 80),
    excluded=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_masks_hide_exactly_what_is_to_be_written(seed, caption, subtext, word, span_words, max_targets, excluded):
    config = MaskConfig(caption=caption, subtext=subtext, word=word, span_words=span_words, max_targets=max_targets)
    masked = mask_text(TEXT, TOKENIZER, config, np.random.default_rng(seed), excluded)
    assert restored(masked.ids, masked.targets) == TOKENIZER.sequence(TEXT)
    assert len(masked.targets) == len(masked.kinds) <= max_targets
    assert not any(excluded[kind] for kind in masked.kinds)
    assert masked.kinds == sorted(masked.kinds)
    assert masked.targets.count(TOKENIZER.sep) == masked.ids.count(TOKENIZER.mask)


def test_a_caption_masks_every_sub_text_but_the_noise():
    config = MaskConfig(caption=1.0)
    masked = mask_text(TEXT, TOKENIZER, config, np.random.default_rng(0), [False] * 7 + [True])
    expected = [TOKENIZER.cls]
    for kind in (0, 1, 2, 3, 5, 6):
        expected += [TOKENIZER.markers[kind], TOKENIZER.mask]
    assert masked.ids == [*expected, TOKENIZER.markers[7], *TEXT.pieces[7], TOKENIZER.sep]


def test_spans_start_at_words_that_carry_information():
    (piece,) = TOKENIZER.encode(["the ships, and 12 of the quays"])
    text = TOKENIZER.subtexts([["the ships, and 12 of the quays", *[""] * 7]], 64)[0]
    found = [TOKENIZER.decode(piece[start:stop]) for start, stop in key_words(text.words[0], piece, TOKENIZER)]
    assert found == ["ships", "12", "quays"]


def test_masking_shares_follow_the_settings():
    config = MaskConfig(caption=0.0, subtext=0.3, word=0.0)
    generator = np.random.default_rng(1)
    masks = [mask_text(TEXT, TOKENIZER, config, generator).ids.count(TOKENIZER.mask) for _ in range(600)]
    expected = 7 * 0.3 + 0.7**7  # one is forced where chance chose none
    assert np.mean(masks) == pytest.approx(expected, abs=0.15)
    assert min(masks) == 1
