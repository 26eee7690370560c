"""What can be answered without looking."""

from __future__ import annotations

import pytest

from knowlip.benchmark.majority import answer_balance, language_floors, majority_accuracy, ranked_answers


def test_ranks_answers_of_each_kind_by_how_often_they_occur() -> None:
    ranked = ranked_answers(["count", "count", "count", "where"], ["2", "1", "2", "left"])
    assert ranked == {"count": ("2", "1"), "where": ("left",)}
    assert ranked_answers(["count"] * 3, ["3", "1", "2"], most=2) == {"count": ("1", "2")}


def test_the_floor_compares_answers_as_numbers_and_sets() -> None:
    ranked = {"count": ("2",), "landforms": ("water, grass",)}
    kinds = ["count", "count", "landforms", "unseen"]
    assert majority_accuracy(ranked, kinds, ["two", "12", "grass and water", "x"]) == 0.5
    assert majority_accuracy(ranked, [], []) == 0.0


def test_text_only_knows_what_the_words_give_away() -> None:
    ask = {"ship": "How many ships are there?", "tank": "How many tanks are there?"}
    rows = [("train", ask["ship"], "2")] * 3 + [("train", ask["tank"], "0")] * 2 + [("train", ask["ship"], "1")]
    rows += [("test", ask["ship"], "two"), ("test", ask["tank"], "0"), ("test", "Count the cranes.", "2")]
    rows += [("test", ask["tank"], "2")]
    split, question, answer = zip(*rows, strict=True)
    table = {"split": split, "kind": ["count"] * 10, "question": question, "answer": answer}
    table["example_id"] = [str(n) for n in range(10)]
    found = language_floors(table, held="test")
    assert found["majority_accuracy"] == found["majority_accuracy_count"] == 0.75
    assert found["text_only_accuracy"] == found["text_only_accuracy_count"] == 0.75
    table["answer"] = [*answer[:9], "0"]
    assert language_floors(table, held="test")["text_only_accuracy"] == 1.0
    assert language_floors(table, held="val") == {}


def test_balance_says_how_evenly_answers_are_spread() -> None:
    found = answer_balance(["count"] * 4 + ["region"] * 2, ["1", "one", "2", "2", "5", "5"])
    assert found["count"] == {"answers": 2.0, "most_frequent": 0.5, "evenness": pytest.approx(1.0)}
    assert found["region"] == {"answers": 1.0, "most_frequent": 1.0, "evenness": 0.0}
