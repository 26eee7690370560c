"""SCIO on a batch: the deltas are those of the equations, and the signs decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from knowlip.corpus.verdicts import Thresholds
from knowlip.errors import CheckpointError
from knowlip.records import SUBTEXTS
from models import scio
from models.generation import Written, write_spans
from models.preprocessing import Preprocessing
from models.queue import pair_ids
from models.scio import Negatives, reconstruct_batch, screen_batch
from models.text import pad


@pytest.fixture
def batch(columns, tokenizer):
    tiles = [str(tile) for tile in columns["tile_id"][:3]]
    rows = [[columns[name][i] for name in SUBTEXTS] for i in range(3)]
    rows[1][2] = ""
    pixels = Preprocessing(image_size=32)(list(columns["view"][:3]))
    return tiles, pixels, tokenizer.subtexts(rows, 128)


@pytest.fixture
def negatives():
    generator = torch.Generator().manual_seed(5)

    def features() -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(9, 24, generator=generator), dim=1)

    ids = torch.cat([pair_ids(["tile-1"]), torch.arange(8)])
    return Negatives(features(), features(), ids)


def naive(network, tokenizer, negatives, tile, pixels, text):
    """L_ITC and the matching log-odds of one pair, with a forward pass of its own."""
    ids, mask = pad([tokenizer.sequence(text)], tokenizer.pad)
    with torch.no_grad():
        states, image = network.encode_image(pixels[None])
        _, words = network.encode_text(ids, mask)
        logits = network.match_logits(network.fuse(states, ids, mask), mask)[0].double()
    kept = negatives.ids != pair_ids([tile])[0]
    temperature = network.temperature.item()

    def share(anchor, own, others):
        terms = torch.cat([(anchor @ own.T).flatten(), (anchor @ others.T).flatten()]).double() / temperature
        return -torch.log_softmax(terms, 0)[0].item()

    itc = share(image, words, negatives.texts[kept]) + share(words, image, negatives.images[kept])
    return itc / 2, (logits[1] - logits[0]).item()


def test_screening_equals_a_full_forward_for_each_variant(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    screening = screen_batch(network, tokenizer, negatives, tiles, pixels, texts)
    for row, (tile, text) in enumerate(zip(tiles, texts, strict=True)):
        itc, score = naive(network, tokenizer, negatives, tile, pixels[row], text)
        for kind in range(8):
            if not text.pieces[kind]:
                assert np.isnan(screening.delta_itc[row, kind])
                assert not screening.noise[row, kind]
                continue
            itc_j, score_j = naive(network, tokenizer, negatives, tile, pixels[row], text.without([kind]))
            assert screening.delta_itc[row, kind] == pytest.approx(itc_j - itc, abs=1e-5)
            assert screening.delta_itm[row, kind] == pytest.approx(score_j - score, abs=1e-5)
    assert np.array_equal(screening.noise, (screening.delta_itc < 0) & (screening.delta_itm > 0))


def test_a_margin_leaves_the_clearest_noise(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    plain = screen_batch(network, tokenizer, negatives, tiles, pixels, texts)
    judged = np.isfinite(plain.delta_itc)
    margin = Thresholds(float(np.median(plain.delta_itc[judged])), float(np.median(plain.delta_itm[judged])))
    strict = screen_batch(network, tokenizer, negatives, tiles, pixels, texts, thresholds=margin)
    assert np.array_equal(strict.delta_itc, plain.delta_itc, equal_nan=True)
    assert np.array_equal(strict.noise, (plain.delta_itc < margin.itc) & (plain.delta_itm > margin.itm))
    assert not strict.noise[~judged].any()
    assert strict.noise.sum() not in (0, judged.sum())


def test_a_verdict_does_not_depend_on_the_rest_of_the_batch(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    together = screen_batch(network, tokenizer, negatives, tiles, pixels, texts)
    alone = screen_batch(network, tokenizer, negatives, tiles[2:], pixels[2:], texts[2:])
    np.testing.assert_allclose(alone.delta_itc[0], together.delta_itc[2], atol=1e-5)
    np.testing.assert_allclose(alone.delta_itm[0], together.delta_itm[2], atol=1e-5)


def test_the_image_is_encoded_once(network, tokenizer, negatives, batch, monkeypatch):
    seen = []
    forward = network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda pixels: (seen.append(len(pixels)), forward(pixels))[1])
    screen_batch(network, tokenizer, negatives, *batch)
    assert seen == [3]


def steered(token, itc, itm):
    """Return scores by which texts that hold a token fit their images less (or more)."""

    def scores(*arguments):
        variants = arguments[-1]
        marked = np.array([[any(token in piece for piece in text.pieces) for text in row] for row in variants])
        return (marked * itc).astype(np.float32), (marked * itm).astype(np.float32)

    return scores


@pytest.mark.parametrize(
    ("itc", "itm", "noisy"), [(1.0, -1.0, True), (-1.0, -1.0, False), (1.0, 1.0, False), (0.0, -1.0, False)]
)
def test_both_signs_make_noise(network, tokenizer, negatives, batch, monkeypatch, itc, itm, noisy):
    tiles, pixels, texts = batch
    wrong = tokenizer.unk
    texts = [texts[0].replaced(5, [wrong, 9]), *texts[1:]]
    monkeypatch.setattr(scio, "score_variants", steered(wrong, itc, itm))
    noise = screen_batch(network, tokenizer, negatives, tiles, pixels, texts).noise
    assert noise[0, 5] == noisy
    assert noise.sum() == noisy


@pytest.mark.parametrize(("rule", "masks"), [("equations", [1, 1, 1]), ("algorithm1", [2, 1])])
def test_reconstruction_is_judged_by_its_rule(network, tokenizer, negatives, batch, monkeypatch, rule, masks):
    tiles, pixels, texts = batch
    noise = np.zeros((3, 8), bool)
    noise[0, [1, 4]] = noise[1, 2] = noise[2, 7] = True  # (1, 2) is empty: nothing to write there
    (words,) = tokenizer.encode(["Island quay ship"])
    asked = []

    def write(*arguments, **_):
        asked.extend(arguments[3])
        return [Written([words] * prompt.count(tokenizer.mask), -1.0, len(words) + 1) for prompt in arguments[3]]

    monkeypatch.setattr(scio, "write_spans", write)
    results = reconstruct_batch(network, tokenizer, negatives, tiles, pixels, texts, noise, rule=rule)
    assert [prompt.count(tokenizer.mask) for prompt in asked] == masks
    assert [(r.row, r.kind) for r in results] == [(0, 1), (0, 4), (2, 7)]
    for result in results:
        together = [1, 4] if rule == "algorithm1" and result.row == 0 else [result.kind]
        text = texts[result.row]
        base, filled = (text if rule == "equations" else text.without(together)), text
        for kind in together:
            filled = filled.replaced(kind, words)
        tile, image = tiles[result.row], pixels[result.row]
        before = naive(network, tokenizer, negatives, tile, image, base)
        after = naive(network, tokenizer, negatives, tile, image, filled)
        assert result.delta_itc == pytest.approx(after[0] - before[0], abs=1e-5)
        assert result.delta_itm == pytest.approx(after[1] - before[1], abs=1e-5)
        assert result.accepted == (result.delta_itc < 0 and result.delta_itm > 0)
        assert result.original == tokenizer.decode(text.pieces[result.kind])
        assert result.text == "island quay ship"


@pytest.mark.parametrize(("itc", "itm", "accepted"), [(-1, 1, True), (-1, -1, False), (1, 1, False)])
def test_a_reconstruction_is_accepted_by_both_signs(
    network, tokenizer, negatives, batch, monkeypatch, itc, itm, accepted
):
    tiles, pixels, texts = batch
    noise = np.zeros((3, 8), bool)
    noise[0, 5] = True
    (words,) = tokenizer.encode(["[quay"])
    assert tokenizer.unk in words
    monkeypatch.setattr(scio, "write_spans", lambda *_, **__: [Written([words], -1.0, 3)])
    monkeypatch.setattr(scio, "score_variants", steered(tokenizer.unk, itc, itm))
    (result,) = reconstruct_batch(network, tokenizer, negatives, tiles, pixels, texts, noise)
    assert result.accepted == accepted


def test_reconstruction_really_decodes(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    noise = np.zeros((3, 8), bool)
    noise[0, [1, 4]] = True
    together = reconstruct_batch(
        network, tokenizer, negatives, tiles, pixels, texts, noise, rule="algorithm1", max_new_tokens=5
    )
    image, _ = network.encode_image(pixels[:1])
    masked = texts[0].replaced(1, [tokenizer.mask]).replaced(4, [tokenizer.mask])
    (written,) = write_spans(network, tokenizer, image, [tokenizer.sequence(masked)], max_new_tokens=10)
    assert [r.text for r in together] == [tokenizer.decode(span[:5]) for span in written.spans]


def test_nothing_noisy_is_nothing_to_do(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    none = np.zeros((3, 8), bool)
    assert reconstruct_batch(network, tokenizer, negatives, tiles, pixels, texts, none) == []


def test_a_lone_sub_text_is_not_judged(network, tokenizer, negatives, batch):
    tiles, pixels, texts = batch
    lone = replace(texts[0]).without(range(1, 8))
    screening = screen_batch(network, tokenizer, negatives, tiles[:1], pixels[:1], [lone])
    assert np.isnan(screening.delta_itc).all()
    assert not screening.noise.any()


@pytest.mark.parametrize(
    "snapshot", [None, {"images": torch.zeros(0, 4), "texts": torch.zeros(0, 4), "ids": torch.zeros(0)}]
)
def test_screening_without_negatives_is_refused(snapshot):
    with pytest.raises(CheckpointError, match="no queue snapshot"):
        Negatives.from_snapshot(snapshot, "cpu")


def test_a_fragment_that_grows_is_cut_to_what_training_reads(network, tokenizer, negatives, batch, monkeypatch):
    tiles, pixels, _ = batch
    limit = network.config.text.max_tokens
    texts = tokenizer.subtexts([["harbour with many ships and tanks " * 40] * len(SUBTEXTS)] * len(tiles), limit)
    token = tokenizer.encode(["ships"])[0][0]
    monkeypatch.setattr(scio, "write_spans", lambda *_, **__: [Written([[token] * 60], -1.0, 61) for _ in tiles])
    noise = np.zeros((len(tiles), len(SUBTEXTS)), dtype=bool)
    noise[:, 3] = True
    results = reconstruct_batch(network, tokenizer, negatives, tiles, pixels, texts, noise, max_new_tokens=60)
    assert len(results) == len(tiles)
    lengths = [result.text.split().count(tokenizer.decode([token])) for result in results]
    assert all(0 < length < 60 for length in lengths)
    assert all(len(tokenizer.sequence(text.replaced(3, [token] * 60).fitted(limit))) == limit for text in texts)
