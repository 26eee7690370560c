"""The public verbs: batches of any size, pairs in order, answers with confidences, and clear refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knowlip.errors import DataError
from models.preprocessing import Preprocessing
from models.queries import described, subject
from models.verbs import KnowlipModel

IMAGES = [np.random.default_rng(i).integers(1, 255, (40, 40), dtype=np.uint8) for i in range(5)]
TEXTS = ["airport 1", "a ship", "quay and bridge", "", "forest " * 300]


@pytest.fixture
def model(network, tokenizer):
    return KnowlipModel(network, tokenizer, Preprocessing(image_size=32))


def test_the_batch_size_changes_nothing(model):
    small = replace(model, batch_size=2)
    np.testing.assert_allclose(model.encode_image(IMAGES), small.encode_image(IMAGES), atol=1e-6)
    np.testing.assert_allclose(model.encode_text(TEXTS), small.encode_text(TEXTS), atol=1e-6)
    np.testing.assert_allclose(model.match(IMAGES, TEXTS), small.match(IMAGES, TEXTS), atol=1e-6)
    assert model.write(IMAGES, max_new_tokens=12) == small.write(IMAGES, max_new_tokens=12)
    asked = (IMAGES, TEXTS)
    assert [a.answer for a in model.answer(*asked)] == [a.answer for a in small.answer(*asked)]


def test_embeddings_are_unit_vectors_and_probabilities_lie_between_0_and_1(model):
    for rows in (model.encode_image(IMAGES), model.encode_text(TEXTS), model.encode_query(TEXTS)):
        assert rows.shape == (5, 24)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    probability = model.match(IMAGES, TEXTS)
    assert ((probability > 0) & (probability < 1)).all()


def test_a_query_is_read_without_the_words_of_asking(model):
    asked = ["find images that contain ships", "ships", "Show me tiles with ships.", "ships near ships"]
    vectors = model.encode_query(asked)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert [subject(one) for one in asked] == ["ships", "ships", "ships.", "ships ships"]
    assert subject("the images") == "the images"  # there is nothing else to look for
    assert subject("") == ""
    whole = model.tokenizer.sequence(model.tokenizer.subtexts([["ships"] * 8], 128)[0])
    assert described("ships", model.tokenizer, 128) == whole
    assert len(described("ships " * 100, model.tokenizer, 64)) <= 64
    read = model.encode_text(["ships"])[0] + model._texts([whole])[0]
    np.testing.assert_allclose(vectors[1], read / np.linalg.norm(read), atol=1e-6)


def test_nothing_in_is_nothing_out(model):
    assert model.encode_image([]).shape == model.encode_text([]).shape == (0, 24)
    assert model.match([], []).shape == (0,)
    assert model.write([]) == model.answer([], []) == []


def test_gaps_are_filled_in_place(model):
    (filled,) = model.write(IMAGES[:1], "Airport [MASK] ship [MASK]!", max_new_tokens=10)
    assert filled.startswith("Airport ")
    assert " ship " in filled
    assert filled.endswith("!")
    assert "[MASK]" not in filled
    assert model.write(IMAGES[:2], ["airport", "ship"]) != model.write(IMAGES[:2], ["ship", "airport"])


def test_an_answer_among_candidates_is_the_likeliest(model):
    candidates = ["ship", "airport 3", "quay"]
    questions = ["what is it"] * 5
    answers = model.answer(IMAGES, questions, candidates)
    for row, best in enumerate(answers):
        assert 1 / 3 <= best.confidence <= 1
        for rival in set(candidates) - {best.answer}:  # the best of all wins every pair it is in
            for pair in ([best.answer, rival], [rival, best.answer]):
                assert model.answer(IMAGES[row : row + 1], questions[:1], pair)[0].answer == best.answer


def test_free_answers_carry_a_confidence(model):
    for answer in model.answer(IMAGES, ["how many ships"] * 5, max_new_tokens=6):
        assert 0 < answer.confidence <= 1


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda m: m.match(IMAGES, TEXTS[:2]), "5 images and 2 texts"),
        (lambda m: m.write(IMAGES, ["a"]), "5 images and 1 prompts"),
        (lambda m: m.answer(IMAGES[:1], TEXTS), "1 images and 5 questions"),
        (lambda m: m.answer(IMAGES[:1], ["what"], []), "empty list of candidates"),
        (lambda m: m.encode_image([IMAGES[0], b"x"]), "image 1"),
        (lambda m: replace(m, batch_size=2).encode_image([*IMAGES[:3], b"x"]), "image 3"),
    ],
)
def test_a_wrong_call_is_refused(model, call, complaint):
    with pytest.raises(DataError, match=complaint):
        call(model)
