"""The texts of every phase are rebuilt from the verdicts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from knowlip.corpus.revision import Revision
from knowlip.records import SUBTEXTS, VERDICTS

FIRST, SECOND, THIRD = SUBTEXTS[:3]


def verdicts(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"round": 1, "noise": True, **row} for row in rows], schema=VERDICTS)


def pairs(*tiles: str) -> pa.Table:
    return pa.table(
        {
            "tile_id": list(tiles),
            "view": [b""] * len(tiles),
            **{kind: [f"{kind} of {t}" for t in tiles] for kind in SUBTEXTS},
        }
    )


def row(table: pa.Table, index: int) -> dict[str, Any]:
    return table.slice(index, 1).to_pylist()[0]


TABLE = verdicts(
    {"tile_id": "a", "subtext": FIRST, "accepted": True, "reconstruction": "better"},
    {"tile_id": "a", "subtext": SECOND, "accepted": False, "reconstruction": "worse"},
    {"tile_id": "a", "subtext": THIRD, "noise": False},
)


def test_phase_one_sees_the_texts_as_they_are() -> None:
    revised = Revision.from_verdicts(TABLE, round_=1, phase=1).apply(pairs("a", "b"))
    assert revised.drop_columns(["noise_mask"]) == pairs("a", "b")
    assert revised["noise_mask"].to_pylist() == [[False] * 8] * 2


def test_phase_two_keeps_the_text_and_masks_the_noise() -> None:
    revised = Revision.from_verdicts(TABLE, round_=1, phase=2).apply(pairs("a", "b"))
    assert revised.drop_columns(["noise_mask"]) == pairs("a", "b")
    assert revised["noise_mask"].to_pylist() == [[True, True] + [False] * 6, [False] * 8]


def test_phase_three_takes_what_was_accepted_and_drops_the_rest() -> None:
    revised = row(Revision.from_verdicts(TABLE, round_=1, phase=3).apply(pairs("b", "a")), 1)
    assert (revised[FIRST], revised[SECOND], revised[THIRD]) == ("better", "", f"{THIRD} of a")
    assert revised["noise_mask"] == [False] * 8
    kept = row(Revision.from_verdicts(TABLE, round_=1, phase=3, rejected="mask").apply(pairs("a")), 0)
    assert kept[SECOND] == f"{SECOND} of a"
    assert kept["noise_mask"] == [False, True] + [False] * 6


def test_a_second_round_starts_from_the_first_ones_result_and_judges_anew() -> None:
    table = pa.concat_tables(
        [TABLE, verdicts({"round": 2, "tile_id": "a", "subtext": FIRST, "accepted": True, "reconstruction": "best"})]
    )
    assert row(Revision.from_verdicts(table, round_=2, phase=1).apply(pairs("a")), 0)[FIRST] == "better"
    masked = row(Revision.from_verdicts(table, round_=2, phase=2).apply(pairs("a")), 0)
    assert (masked[FIRST], masked["noise_mask"][0]) == ("better", True)
    assert row(Revision.from_verdicts(table, round_=2, phase=3).apply(pairs("a")), 0)[FIRST] == "best"


def test_a_tile_of_which_nothing_would_be_left_keeps_its_texts_as_context() -> None:
    table = verdicts(*({"tile_id": "a", "subtext": kind, "accepted": False} for kind in SUBTEXTS))
    revised = Revision.from_verdicts(table, round_=1, phase=3).apply(pairs("a"))
    assert revised.drop_columns(["noise_mask"]) == pairs("a")
    assert revised["noise_mask"].to_pylist() == [[True] * 8]
