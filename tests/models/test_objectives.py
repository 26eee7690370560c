"""Every equation against a plain loop in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.objectives import IGNORED, contrast_loss, draw_negatives, matching_loss, pair_contrast, writing_loss
from models.objectives.itc import key_mask


def unit(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def reference_contrast(image, text, image_keys, text_keys, mask, temperature, alpha) -> float:
    """Eq. 4 with soft targets, by loops over rows and keys."""
    rows, total = len(image), 0.0
    for query, slow, keys in ((image, image_keys, text_keys), (text, text_keys, image_keys)):
        for i in range(rows):
            seen = [k for k in range(len(keys)) if mask[i, k]]
            student = softmax([float(query[i] @ keys[k]) / temperature for k in seen])
            teacher = softmax([float(slow[i] @ keys[k]) / temperature for k in seen])
            for k, p, q in zip(seen, student, teacher, strict=True):
                total -= (alpha * q + (1 - alpha) * (k == i)) * math.log(p)
    return total / (2 * rows)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 5),
    queue=st.integers(0, 7),
    alpha=st.floats(0, 1),
    temperature=st.floats(0.03, 0.5),
    seed=st.integers(0, 2**31),
)
def test_contrast_is_equation_4(rows, queue, alpha, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    image, text = unit(generator, rows, 6), unit(generator, rows, 6)
    image_keys, text_keys = unit(generator, rows + queue, 6), unit(generator, rows + queue, 6)
    ids = torch.randint(0, 4, (rows,), generator=generator)
    queue_ids = torch.randint(-1, 4, (queue,), generator=generator)
    mask = key_mask(ids, queue_ids)
    expected = reference_contrast(image, text, image_keys, text_keys, mask, temperature, alpha)
    exact = contrast_loss(image, text, image_keys, text_keys, mask, temperature, alpha)
    assert exact.item() == pytest.approx(expected, abs=1e-9)
    single = [tensor.float() for tensor in (image, text, image_keys, text_keys)]
    assert contrast_loss(*single, mask, temperature, alpha).item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_contrast_never_holds_a_pair_against_its_own_copy():
    mask = key_mask(torch.tensor([5, 6, 5]), torch.tensor([5, -1, 9]))
    assert mask.tolist() == [
        [True, True, False, False, False, True],
        [True, True, True, True, False, True],
        [False, True, True, False, False, True],
    ]


def test_groups_make_the_loss_independent_of_how_a_batch_is_split():
    generator = torch.Generator().manual_seed(1)
    image, text, image_m, text_m = (unit(generator, 8, 5) for _ in range(4))
    queue_i, queue_t = unit(generator, 6, 5), unit(generator, 6, 5)
    ids, queue_ids = torch.arange(8), torch.arange(20, 26)

    def loss(part: slice) -> Tensor:
        return contrast_loss(
            image[part],
            text[part],
            torch.cat([image_m[part], queue_i]),
            torch.cat([text_m[part], queue_t]),
            key_mask(ids[part], queue_ids, group=4),
            0.1,
            0.4,
        )

    whole, halves = loss(slice(0, 8)), (loss(slice(0, 4)) + loss(slice(4, 8))) / 2
    assert whole.item() == pytest.approx(halves.item(), abs=1e-12)


def test_contrast_gradient_is_right():
    generator = torch.Generator().manual_seed(2)
    image, text = unit(generator, 3, 4).requires_grad_(), unit(generator, 3, 4).requires_grad_()
    keys_i, keys_t = unit(generator, 5, 4), unit(generator, 5, 4)
    mask = key_mask(torch.tensor([0, 1, 2]), torch.tensor([1, 7]))
    temperature = torch.tensor(0.2, dtype=torch.float64)
    # the soft targets are constants: with alpha 0 the loss is a function of the embeddings alone
    assert torch.autograd.gradcheck(
        lambda i, t: contrast_loss(i, t, keys_i, keys_t, mask, temperature, 0.0), (image, text)
    )


def test_pair_contrast_is_equation_4_with_one_positive():
    generator = torch.Generator().manual_seed(3)
    image, texts = unit(generator, 2, 5), unit(generator, 2, 3, 5)
    negative_i, negative_t = unit(generator, 4, 5), unit(generator, 4, 5)
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    got = pair_contrast(image, texts, negative_i, negative_t, mask, 0.1)
    for row in range(2):
        kept = [q for q in range(4) if mask[row, q]]
        for column in range(3):
            text = texts[row, column]
            own = float(image[row] @ text) / 0.1
            forth = softmax([own] + [float(image[row] @ negative_t[q]) / 0.1 for q in kept])[0]
            back = softmax([own] + [float(text @ negative_i[q]) / 0.1 for q in kept])[0]
            assert got[row, column].item() == pytest.approx(-(math.log(forth) + math.log(back)) / 2, abs=1e-9)


def test_matching_is_equation_5():
    generator = torch.Generator().manual_seed(4)
    positive, text, image = (torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    valid = torch.tensor([[True, False, True], [True, True, True]])
    expected = 0.0
    for logits, label, counts in ((positive, 1, [True] * 3), (text, 0, valid[0]), (image, 0, valid[1])):
        for row, count in zip(logits, counts, strict=True):
            p = softmax(row.tolist())[1]
            expected -= (label * math.log(p) + (1 - label) * math.log(1 - p)) * bool(count)
    assert matching_loss(positive, text, image, valid).item() == pytest.approx(expected / 9, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(2, 7), seed=st.integers(0, 2**31), edge=st.sampled_from([0.0, 1.0 - 2**-24, None]))
def test_a_negative_is_never_the_pair_itself_nor_a_near_duplicate(rows, seed, edge):
    generator = torch.Generator().manual_seed(seed)
    similarity = 40 * torch.randn(rows, rows, generator=generator)
    allowed = torch.rand(rows, rows, generator=generator) < 0.6
    allowed.fill_diagonal_(False)
    chance = torch.rand(rows, generator=generator) if edge is None else torch.full((rows,), edge)
    index, valid = draw_negatives(similarity, allowed, chance)
    assert valid.tolist() == allowed.any(dim=1).tolist()
    assert all(allowed[row, column] for row, column in enumerate(index.tolist()) if valid[row])


def test_negatives_are_drawn_by_similarity():
    similarity = torch.tensor([[9.0, 2.0, 0.0, 1.0]]).repeat(4000, 1)
    allowed = torch.tensor([[False, True, True, False]]).repeat(4000, 1)
    chance = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    index, _ = draw_negatives(similarity, allowed, chance)
    share = np.bincount(index.numpy(), minlength=4) / 4000
    assert share[0] == share[3] == 0
    assert share[1] == pytest.approx(1 / (1 + math.exp(-2)), abs=0.02)


def test_writing_is_equation_6():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[1, 2, 0, IGNORED], [5, IGNORED, IGNORED, IGNORED], [IGNORED] * 4])
    expected = 0.0
    for row, marks in zip(logits.tolist(), labels.tolist(), strict=True):
        terms = [-math.log(softmax(scores)[mark]) for scores, mark in zip(row, marks, strict=True) if mark != IGNORED]
        expected += sum(terms) / len(terms) if terms else 0.0
    assert writing_loss(logits, labels).item() == pytest.approx(expected / 3, abs=1e-5)
