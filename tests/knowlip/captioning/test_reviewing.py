"""Which texts are reviewed, and what the reviews say, against figures from the literature or by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from knowlip.captioning.reviewing import Review, agreements, drawn, parse_review, tallies, together
from knowlip.errors import DataError
from knowlip.records import SUBTEXTS

ROWS = [
    {"tile_id": f"{family}-{scale}-{number}", "family": family, "scale": scale}
    for family, scale, count in (("terrain", "S", 500), ("terrain", "L", 3), ("marine_target", "S", 200))
    for number in range(count)
]


def review(name: str, verdicts: str, kind: str = "target_quantity") -> Review:
    words = {"c": "correct", "w": "wrong", "u": "unsure"}
    return Review(name, "sheet", {f"t{place}": {kind: words[one]} for place, one in enumerate(verdicts) if one != "-"})


def test_every_stratum_is_drawn_from_in_proportion() -> None:
    chosen = drawn(ROWS, 0.02, seed=3)
    assert Counter(one.rsplit("-", 1)[0] for one in chosen) == {"terrain-S": 10, "terrain-L": 1, "marine_target-S": 4}
    assert len(set(chosen)) == 15
    assert drawn(ROWS[::-1], 0.02, seed=3) == chosen
    assert drawn(ROWS, 0.02, seed=4) != chosen
    assert [one.rsplit("-", 1)[0] for one in chosen] != sorted(one.rsplit("-", 1)[0] for one in chosen)


def test_accuracy_has_wilsons_interval_and_leaves_the_unsure_out() -> None:
    tiles = {f"t{place}": {"family": "terrain", "scale": "S"} for place in range(12)}
    found = {(tally.group, tally.kind): tally for tally in tallies(review("a", "ccccccccwwuu"), tiles)}
    tally = found["all", "target_quantity"]
    assert (tally.correct, tally.wrong, tally.unsure) == (8, 2, 2)
    assert tally.accuracy == pytest.approx(0.8)
    assert tally.interval == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson for 8 of 10
    assert found["terrain", "all"].correct == found["S", "target_quantity"].correct == 8
    none = next(iter(tallies(review("a", "uu"), tiles)))
    assert (none.accuracy, none.interval) == (None, None)


def test_kappa_is_cohens() -> None:
    # Cohen's classical example: 20 both yes, 15 both no, 5 and 10 apart, of 50: kappa 0.4
    one, other = review("a", "c" * 25 + "w" * 25), review("b", "c" * 20 + "w" * 5 + "c" * 10 + "w" * 15)
    whole, single = agreements([one, other])
    assert (whole.kind, single.kind) == ("all", "target_quantity")
    assert (whole.both, whole.same) == (50, 35)
    assert whole.kappa == single.kappa == pytest.approx(0.4)


def test_kappa_says_nothing_where_all_is_the_same_or_nothing_shared() -> None:
    (whole, _) = agreements([review("a", "ccc"), review("b", "ccc")])
    assert (whole.same, whole.kappa) == (3, None)
    assert not list(agreements([review("a", "c-"), review("b", "-c")]))


def test_reviewers_settle_by_majority() -> None:
    found = together([review("a", "ccwu"), review("b", "cwwu"), review("c", "-uww")]).verdicts
    assert [found[f"t{place}"]["target_quantity"] for place in range(4)] == ["correct", "unsure", "wrong", "wrong"]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "no judgements"),
        ({"judgements": {}, "sheet": "s"}, "no reviewer"),
        ({"judgements": {}, "reviewer": "a"}, "no sheet"),
        ({"judgements": {"t": {SUBTEXTS[0]: "maybe"}}, "reviewer": "a", "sheet": "s"}, "'maybe'"),
        ({"judgements": {"t": {"colour": "wrong"}}, "reviewer": "a", "sheet": "s"}, "'colour'"),
        ({"judgements": {"t": 3}, "reviewer": "a", "sheet": "s"}, "tile t"),
    ],
)
def test_what_no_sheet_saved_is_one_line(document: object, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as told:
        parse_review(document, where="a.json")
    assert "\n" not in str(told.value)
