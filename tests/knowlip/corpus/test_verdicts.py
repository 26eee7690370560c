"""Verdicts are counted by round, kind and scale, and decided again from their differences alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from knowlip.corpus.verdicts import Thresholds, decided, tallied
from knowlip.records import SUBTEXTS, VERDICTS


def table(count: int = 240, seed: int = 0) -> pa.Table:
    """Verdicts as the two passes leave them, of random differences."""
    random = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        itc, itm, new_itc, new_itm = (float(np.float32(value)) for value in random.normal(size=4))
        noise = itc < 0 and itm > 0
        row = {"tile_id": f"tile-{index // 8}", "round": 1 + index % 2, "subtext": SUBTEXTS[index % 8]}
        row |= {"delta_itc": itc, "delta_itm": itm, "noise": noise}
        if noise:
            text = "" if index % 5 == 0 else "new"
            row |= {"original": "old", "reconstruction": text}
            row |= {"reconstruction_delta_itc": new_itc, "reconstruction_delta_itm": new_itm}
            row["accepted"] = bool(text) and new_itc < 0 and new_itm > 0
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=VERDICTS)


def test_at_the_papers_thresholds_nothing_changes():
    assert decided(table(), Thresholds()).equals(table())


@pytest.mark.parametrize("thresholds", [Thresholds(-0.3, 0.2), Thresholds(0.5, -0.5)])
def test_other_thresholds_decide_by_the_recorded_differences(thresholds: Thresholds):
    for old, new in zip(table().to_pylist(), decided(table(), thresholds).to_pylist(), strict=True):
        assert new["noise"] == (old["delta_itc"] < thresholds.itc and old["delta_itm"] > thresholds.itm)
        if not new["noise"] or old["reconstruction"] is None:
            assert new["accepted"] is None
        else:
            better = old["reconstruction_delta_itc"] < thresholds.itc
            better = better and old["reconstruction_delta_itm"] > thresholds.itm
            assert new["accepted"] == (bool(old["reconstruction"]) and better)
        assert {k: v for k, v in new.items() if k not in ("noise", "accepted")} == {
            k: v for k, v in old.items() if k not in ("noise", "accepted")
        }


def test_differences_that_were_not_measured_decide_nothing():
    rows = [{"tile_id": "t", "round": 1, "subtext": "target_quantity", "delta_itc": -1.0, "noise": False}]
    (row,) = decided(pa.Table.from_pylist(rows, schema=VERDICTS), Thresholds()).to_pylist()
    assert row["noise"] is False
    assert row["accepted"] is None


def test_counts_are_those_of_the_rows_in_reading_order():
    verdicts, scales = table(), {f"tile-{n}": "LMS"[n % 3] for n in range(20)}
    counts = tallied(verdicts, scales).to_pylist()
    rows = verdicts.to_pylist()
    assert sum(row["judged"] for row in counts) == len(rows)
    for count in counts:
        mine = [
            row
            for row in rows
            if (row["round"], row["subtext"]) == (count["round"], count["subtext"])
            and scales.get(row["tile_id"], "") == count["scale"]
        ]
        assert count["noise"] == sum(row["noise"] for row in mine)
        assert count["rewritten"] == sum(row["reconstruction"] is not None for row in mine)
        assert count["accepted"] == sum(bool(row["accepted"]) for row in mine)
    order = [(row["round"], SUBTEXTS.index(row["subtext"]), "LMS".find(row["scale"]) % 4) for row in counts]
    assert [key[:2] for key in order] == sorted(key[:2] for key in order)
    assert {row["scale"] for row in counts} == {"L", "M", "S", ""}
