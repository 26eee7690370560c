"""Figures about texts, on texts whose figures one can count by hand."""

from __future__ import annotations

import pytest

from knowlip.captioning import mtld
from knowlip.captioning.textstats import Texts, figures


def texts(*captions: tuple[str, ...]) -> Texts:
    found = Texts()
    for caption in captions:
        found.add(caption)
    return found


def test_lengths_vocabulary_and_repetition() -> None:
    found = figures(texts(("A bright ship.", "Open water"), ("a BRIGHT ship", "Open water"), ("Two long runways", "")))
    assert (found["captions"], found["words"], found["vocabulary"]) == (3, 13, 8)
    assert found["words_a_caption"] == pytest.approx(13 / 3)
    assert found["words_a_text"] == pytest.approx(13 / 5)
    assert found["duplicate_captions"] == pytest.approx(1 / 3)
    assert found["duplicate_texts"] == pytest.approx(2 / 5)
    assert found["distinct_1"] == pytest.approx(8 / 13)
    assert found["distinct_2"] == pytest.approx(5 / 8)  # "ship open" reaches from one text into the next
    assert found["distinct_3"] == pytest.approx(2 / 3)


def test_mtld_is_that_of_the_words_in_a_row() -> None:
    said = " ".join(f"word{number % 37}" for number in range(400))
    found = figures(texts((said,)))
    assert found["mtld"] == found["mtld_a_caption"] == pytest.approx(mtld(said.split()))


def test_distinct_n_is_compared_on_equal_lengths() -> None:
    caption = " ".join(f"w{number}" for number in range(1000))
    few, many = figures(texts(*[(caption,)] * 20)), figures(texts(*[(caption,)] * 60))
    assert few["compared_words"] == many["compared_words"] == 20_000
    assert few["distinct_1"] == many["distinct_1"] == pytest.approx(1000 / 20_000)


def test_frequent_words_carry_meaning() -> None:
    found = texts(("The ship and the ship lie 30 m off the quay.",), ("Quay, quay, quay!",))
    assert found.frequent(3) == [("quay", 4), ("ship", 2), ("lie", 1)]
    assert found.select([0]).frequent(1) == [("ship", 2)]


def test_nothing_has_no_figures() -> None:
    assert figures(Texts()) == {}
