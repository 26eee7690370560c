"""Answers are compared as numbers, sets or words, never as substrings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowlip.benchmark.answers import normalise, parse, same


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("two", "2"),
        ("2", "two"),
        ("There are two of them.", "2"),
        ("2.0", "2"),
        ("The ships and tanks", "tanks, ships"),
        ("tank; ship", "ship and tank"),
        ("Built_up", "built up"),
        ("the runway.", "Runway"),
        ("None", "none"),
        ("region 5", "5"),
        ("A330 and A320/321", "A320/321, A330"),
        ("a320/321", "A320/321"),
        ("ships / tanks + cranes", "cranes, ships, tanks"),
    ],
)
def test_right_answers(answer: str, right: str) -> None:
    assert same(answer, right)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("12", "1"),
        ("1", "12"),
        ("1 or 2", "1"),
        ("ship", "ship, tank"),
        ("ship, tank, crane", "ship, tank"),
        ("warship", "ship"),
        ("ship", "warship"),
        ("", "ship"),
        ("", ""),
        ("one", "none"),
        ("1.5", "1"),
        ("no idea", "0"),
        ("321, A320", "A320/321"),
        ("A320, A330", "A320/321, A330"),
    ],
)
def test_wrong_answers(answer: str, right: str) -> None:
    assert not same(answer, right)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_numbers_are_equal_exactly_when_their_values_are(left: int, right: int) -> None:
    assert same(str(left), str(right)) == (left == right)


@given(st.lists(st.sampled_from(["ship", "tank", "crane", "building"]), min_size=1, unique=True), st.randoms())
def test_order_and_separator_of_a_list_do_not_matter(parts: list[str], rng: object) -> None:
    shuffled = list(parts)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same(" and ".join(shuffled), ", ".join(parts))


def test_a_name_with_a_stroke_is_one_part() -> None:
    assert parse("A220, A320/321, A330").parts == {"a220", "a320/321", "a330"}


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
