"""Texts that the fact check doubts are kept, or left out, as one wants."""

from __future__ import annotations

import pyarrow as pa

from knowlip.corpus import text_columns, worded
from knowlip.records import CAPTIONS, SUBTEXTS


def captions(*doubted: tuple[str, ...]) -> pa.Table:
    rows = [
        {
            **dict.fromkeys(CAPTIONS.names),
            **{name: f"{name} {number}" for name in SUBTEXTS},
            "tile_id": str(number),
            "prompt_digest": "",
            "model": "m",
            "status": "ok",
            "flags": [{"subtext": name, "kind": "count", "claim": "9", "evidence": "2"} for name in names],
        }
        for number, names in enumerate(doubted)
    ]
    return pa.Table.from_pylist([*rows, rows[0] | {"status": "refusal"}], schema=CAPTIONS)


def test_flagged_texts_are_emptied_and_all_others_stay() -> None:
    table = captions((), ("target_quantity", "target_location"), SUBTEXTS)
    kept = worded(table.select(text_columns(doubted=True)), doubted=True)
    assert kept.equals(table.select(text_columns(doubted=True)).slice(0, 3))
    rows = worded(table.select(text_columns(doubted=False)), doubted=False).to_pylist()
    assert [row["tile_id"] for row in rows] == ["0", "1", "2"]
    empty = [{name for name in SUBTEXTS if not row[name]} for row in rows]
    assert empty == [set(), {"target_quantity", "target_location"}, set()]
