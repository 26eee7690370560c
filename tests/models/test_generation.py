"""Writing: greedy takes the best token each time, a beam never ends less likely, and likelihoods add up."""

from __future__ import annotations

import pytest
import torch

from models.generation import sequence_log_likelihood, write_spans

CLOSING = 2.4


@pytest.fixture
def sharp(network, tokenizer):
    """A network whose choices differ clearly and that closes its spans after a few tokens."""
    with torch.no_grad():
        network.language_head.transform.dense.weight.mul_(20)
        network.text.embeddings.word_embeddings.weight.mul_(8)
        network.language_head.bias[tokenizer.structure] = -1e4
        network.language_head.bias[tokenizer.sep] = CLOSING
    return network


@pytest.fixture
def scene(sharp, tokenizer):
    """Three images; a text with two gaps, a whole description, and a question."""
    image, _ = sharp.encode_image(torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
    return image, tokenizer.prompt(["airport [MASK] ship [MASK]", "", "how many ships"], 64)


def test_greedy_writing_takes_the_likeliest_token_each_time(sharp, tokenizer, scene):
    image, prompts = scene
    written = write_spans(sharp, tokenizer, image, prompts, max_new_tokens=9)
    for row, (prompt, result) in enumerate(zip(prompts, written, strict=True)):
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids, dtype=torch.bool)
        memory = sharp.fuse(image[row : row + 1], ids, mask)
        tokens, total, left = [], 0.0, prompt.count(tokenizer.mask)
        while left and len(tokens) < 9:
            read = tokenizer.decoder_inputs(prompt, [*tokens, 0])
            logits = sharp.decode(torch.tensor([read]), memory, mask)[0, -1]
            logits[tokenizer.structure] = float("-inf")
            share = logits.log_softmax(0)
            tokens.append(int(share.argmax()))
            total += share.max().item()
            left -= tokens[-1] == tokenizer.sep
        flat = [token for span in result.spans for token in span]
        assert flat == [token for token in tokens if token != tokenizer.sep]
        assert len(result.spans) == prompt.count(tokenizer.mask)
        assert result.tokens == len(tokens)
        assert result.log_probability == pytest.approx(total, abs=1e-3)
        assert 0 < result.confidence <= 1


def test_a_wide_beam_finds_what_an_exhaustive_search_finds(sharp, tokenizer, scene):
    image, prompts = scene
    letters = [token for token in range(sharp.config.text.vocab_size) if token > max(tokenizer.structure)]
    candidates = [[], *([token] for token in letters)]
    scores = sequence_log_likelihood(sharp, tokenizer, image[2:], prompts[2:], candidates)
    wide = write_spans(sharp, tokenizer, image[2:], prompts[2:], max_new_tokens=2, beams=len(letters))[0]
    narrow = write_spans(sharp, tokenizer, image[2:], prompts[2:], max_new_tokens=2)[0]
    best = (scores / torch.tensor([len(c) + 1.0 for c in candidates])).max()
    assert wide.log_probability / wide.tokens >= max(best.item(), narrow.log_probability / narrow.tokens) - 1e-5
    closed = wide.spans[0] if wide.tokens == len(wide.spans[0]) + 1 else None
    if closed is not None:
        assert wide.log_probability == pytest.approx(scores[candidates.index(closed)].item(), abs=1e-4)


def test_rows_of_a_batch_do_not_disturb_one_another(sharp, tokenizer, scene):
    image, prompts = scene
    for beams in (1, 3):
        both = write_spans(sharp, tokenizer, image, prompts, max_new_tokens=8, beams=beams)
        alone = [
            write_spans(sharp, tokenizer, image[i : i + 1], [prompts[i]], max_new_tokens=8, beams=beams)[0]
            for i in range(3)
        ]
        assert [result.spans for result in both] == [result.spans for result in alone]


def test_a_likelihood_is_the_product_of_the_tokens_probabilities(sharp, tokenizer, scene):
    image, prompts = scene
    targets = [[40, 41, 42, 43], [50]]
    image, prompts = image[1:], [prompts[2], tokenizer.prompt(["how"], 64)[0]]
    scores = sequence_log_likelihood(sharp, tokenizer, image, prompts, targets)
    for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids, dtype=torch.bool)
        memory = sharp.fuse(image[row : row + 1], ids, mask)
        total, written = 0.0, [tokenizer.cls]
        for token in [*target, tokenizer.sep]:
            logits = sharp.decode(torch.tensor([written]), memory, mask)[0, -1]
            total += logits.double().log_softmax(0)[token].item()
            written.append(token)
        assert scores[row].item() == pytest.approx(total, abs=1e-3)
