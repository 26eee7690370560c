"""The most frequent answer as a floor."""

from __future__ import annotations

from knowlip.benchmark.majority import majority_accuracy, ranked_answers


def test_ranks_answers_of_each_kind_by_how_often_they_occur() -> None:
    ranked = ranked_answers(["count", "count", "count", "where"], ["2", "1", "2", "left"])
    assert ranked == {"count": ("2", "1"), "where": ("left",)}
    assert ranked_answers(["count"] * 3, ["3", "1", "2"], most=2) == {"count": ("1", "2")}


def test_the_floor_compares_answers_as_numbers_and_sets() -> None:
    ranked = {"count": ("2",), "landforms": ("water, grass",)}
    kinds = ["count", "count", "landforms", "unseen"]
    assert majority_accuracy(ranked, kinds, ["two", "12", "grass and water", "x"]) == 0.5
    assert majority_accuracy(ranked, [], []) == 0.0
