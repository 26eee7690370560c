"""Screening by labelled neighbours, and screening again from scores alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.errors import DataError
from knowlip.records import QUALITY, REJECTED, TILES
from knowlip.tiling.labels import LABELS, default_labels, labels_table, parse_labels, read_labels
from knowlip.tiling.replay import SHELVED_TILES, Scored, judge_again, replay, scored_tiles
from knowlip.tiling.screening import NeighbourFilter, ScreeningSettings, screen
from knowlip.tiling.texture import Quality
from knowlip.workspace import Workspace
from tests.builders import tile_row

BUSY = Quality(40, 0.3, 0.1, 0.4, 6.5, 0.02, 0.0, 1.5, 30.0, 40.0, 2.5)
CALM = Quality(8, 0.5, 0.2, 0.01, 4.5, 0.0, 0.0, 3.0, 11.0, 0.0, 1.0)
NAMES = [field.name for field in QUALITY]


def test_the_default_table_knows_simulated_tiles_it_was_not_trained_on() -> None:
    qualities, kept = default_labels()
    assert len(kept) > 1000
    every_fifth = np.arange(len(kept)) % 5 == 0
    rest = [index for index in range(len(kept)) if not every_fifth[index]]
    judge = NeighbourFilter([qualities[index] for index in rest], [kept[index] for index in rest])
    predicted = judge.scores([qualities[index] for index in np.flatnonzero(every_fifth)]) >= 0.5
    assert np.mean(predicted == np.array(kept)[every_fifth]) > 0.93


def test_the_setting_chooses_who_judges(tmp_path: Path) -> None:
    by_neighbours = ScreeningSettings(judge="neighbours")
    assert screen(BUSY, by_neighbours) is None
    rejection = screen(CALM, by_neighbours)
    assert rejection is not None
    assert rejection.reason == "neighbours"
    assert rejection.score < rejection.threshold == 0.5
    # A person who wants calm tiles and no busy ones gets them.
    contrary = {f"busy-{i}": False for i in range(9)} | {f"calm-{i}": True for i in range(9)}
    scores = {name: (BUSY if name.startswith("busy") else CALM).record() for name in contrary}
    pq.write_table(labels_table(contrary, scores, source="me"), tmp_path / "mine.parquet")
    mine = by_neighbours.model_copy(update={"labels": str(tmp_path / "mine.parquet"), "neighbours": 3})
    assert screen(CALM, mine) is None
    assert screen(BUSY, mine) is not None


def test_hard_faults_are_rejected_whoever_judges() -> None:
    empty = replace(BUSY, nodata_share=0.9)
    rejection = screen(empty, ScreeningSettings(judge="neighbours"))
    assert rejection is not None
    assert (rejection.reason, rejection.score) == ("nodata", 0.9)


def test_labels_are_checked(tmp_path: Path) -> None:
    assert parse_labels({"a": "keep", "b": "reject"}, where="labels.json") == {"a": True, "b": False}
    with pytest.raises(DataError, match=r"labels\.json"):
        parse_labels({"a": "perhaps"}, where="labels.json")
    with pytest.raises(DataError, match="not in the workspace"):
        labels_table({"a": True}, {}, source="labels.json")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(str(tmp_path / "text.parquet"))
    pq.write_table(LABELS.empty_table(), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="0 labels"):
        NeighbourFilter(*read_labels(str(tmp_path / "none.parquet")))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(9)), st.sets(st.integers(0, 7)))
def test_verdicts_do_not_depend_on_order(order: list[int], busy: set[int]) -> None:
    tiles = [Scored(f"s{i}", "S", f"m{i // 4}", BUSY if i in busy else CALM, 0.0, "") for i in range(7)]
    tiles += [Scored("m0", "M", "l", CALM, 0.0, ""), Scored("m1", "M", "l", CALM, 0.0, "")]
    verdicts = judge_again([tiles[i] for i in order], ScreeningSettings())
    assert verdicts == judge_again(tiles, ScreeningSettings())
    assert {i for i in range(7) if verdicts[f"s{i}"] is None} == busy - {7}
    assert (verdicts["m0"] is None) == bool(busy & {0, 1, 2, 3})


def test_a_corrupt_block_stays_rejected_and_a_label_outdoes_a_score() -> None:
    tiles = [Scored("broken", "S", None, BUSY, 0.0, "corrupt_block"), Scored("calm", "S", None, CALM, 0.0, "")]
    verdicts = judge_again(tiles, ScreeningSettings(), {"calm": True, "broken": True})
    assert verdicts["calm"] is None
    assert verdicts["broken"] is not None
    assert verdicts["broken"].reason == "corrupt_block"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two busy and two calm tiles below a medium one; one of the calm was never stored."""
    image = np.full((8, 8), 90, np.uint8)
    place = Workspace(str(tmp_path))
    rows: list[dict[str, Any]] = [tile_row("m", image, scale="M", quality=BUSY.record())]
    for name, quality in {"busy-0": BUSY, "busy-1": BUSY, "calm-0": CALM}.items():
        rows.append(tile_row(name, image, parent_id="m", quality=quality.record()))
    place.write_table(pa.Table.from_pylist(rows, schema=TILES), "tiles", "u-r.parquet")
    lost = tile_row("calm-1", image, parent_id="m", quality=CALM.record())
    lost |= {"reason": "low_structure", "score": 1.0, "threshold": 1.2, "thumbnail": None}
    lost = {name: lost[name] for name in REJECTED.names}
    place.write_table(pa.Table.from_pylist([lost], schema=REJECTED), "tiles/_rejected", "u-r.parquet")
    return place


def state(workspace: Workspace) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    kept = {row["tile_id"]: row for row in workspace.read_table("tiles").to_pylist()}
    rejected = workspace.read_table("tiles/_rejected").to_pylist()
    return kept, {row["tile_id"]: row["reason"] for row in rejected}


def test_replay_turns_tiles_away_and_brings_them_back_whole(workspace: Workspace) -> None:
    before, _ = state(workspace)
    strict, generous = ScreeningSettings(structure_min=9, correlation_min=1), ScreeningSettings(keep_low_structure=True)
    strict = strict.model_copy(update={"bright_density_min": 1000.0})
    counts = replay(workspace, judge_again(scored_tiles(workspace), strict))
    assert counts == {"kept": 0, "set aside now": 4, "brought back": 0, "no image": 0}
    kept, reasons = state(workspace)
    assert not kept
    assert reasons == {
        **dict.fromkeys(("busy-0", "busy-1", "calm-0", "calm-1"), "low_structure"),
        "m": "no_kept_child",
    }
    counts = replay(workspace, judge_again(scored_tiles(workspace), generous))
    assert counts == {"kept": 4, "set aside now": 0, "brought back": 4, "no image": 1}
    kept, reasons = state(workspace)
    assert kept == before
    assert reasons == {"calm-1": "no_image"}
    assert not workspace.files(SHELVED_TILES)
    replay(workspace, judge_again(scored_tiles(workspace), ScreeningSettings()))
    assert state(workspace)[1] == {"calm-0": "low_structure", "calm-1": "low_structure"}


def test_a_replay_that_dies_loses_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = judge_again(scored_tiles(workspace), ScreeningSettings())
    whole = Workspace.write_table
    for survives in range(4):
        done = []

        def dies(self: Workspace, *args: Any, survives: int = survives, done: list[int] = done, **options: Any) -> None:
            if len(done) == survives:
                raise KeyboardInterrupt
            done.append(1)
            whole(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Workspace, "write_table", dies)
            try:
                replay(workspace, verdicts)
            except KeyboardInterrupt:
                assert len({tile.tile_id for tile in scored_tiles(workspace)}) == 5
        replay(workspace, judge_again(scored_tiles(workspace), ScreeningSettings()))
        kept, reasons = state(workspace)
        assert set(kept) == {"busy-0", "busy-1", "m"}
        assert set(reasons) == {"calm-0", "calm-1"}
        generous = judge_again(scored_tiles(workspace), ScreeningSettings(keep_low_structure=True))
        replay(workspace, generous)
        assert set(state(workspace)[0]) == {"busy-0", "busy-1", "calm-0", "m"}


def test_a_dry_replay_changes_nothing(workspace: Workspace) -> None:
    before = state(workspace)
    counts = replay(workspace, judge_again(scored_tiles(workspace), ScreeningSettings()), dry_run=True)
    assert counts["set aside now"] == 1
    assert state(workspace) == before
