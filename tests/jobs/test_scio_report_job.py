"""The report of SCIO counts what the verdicts say, shows texts before and after, and decides again when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.scio_report import ScioReportSettings, scio_report
from knowlip.errors import DataError
from knowlip.records import CORPUS, SUBTEXTS, VERDICTS
from knowlip.workspace import Workspace


@pytest.fixture
def judged(workspace_root: str, write_tiles: Callable[..., pa.Table]) -> Workspace:
    """A workspace with six tiles, and verdicts of a run on them."""
    workspace = Workspace(workspace_root)
    tiles = write_tiles(workspace, captions=False).to_pylist()
    pairs = [
        {"tile_id": tile["tile_id"], "scale": tile["scale"], "place": "p", "split": "train", "view": tile["view"]}
        | {kind: f"{kind} of it" for kind in SUBTEXTS}
        for tile in tiles
    ]
    workspace.write_table(pa.Table.from_pylist(pairs, schema=CORPUS), "corpus", "part.parquet")
    random = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for tile in tiles:
        for kind in SUBTEXTS:
            itc, itm = (float(value) for value in random.normal(size=2))
            row = {"tile_id": tile["tile_id"], "round": 1, "subtext": kind, "delta_itc": itc, "delta_itm": itm}
            row["noise"] = itc < 0 < itm
            if row["noise"]:
                row |= {"original": "a lie <b>", "reconstruction": "the truth", "reconstruction_delta_itc": -0.5}
                row |= {"reconstruction_delta_itm": 0.5, "accepted": True}
            rows.append(row)
    workspace.write_table(pa.Table.from_pylist(rows, schema=VERDICTS), "runs/pretrain", "verdicts.parquet")
    return workspace


def test_the_page_and_the_table_say_the_same(judged: Workspace) -> None:
    summary = scio_report(ScioReportSettings(workspace=judged.root))
    counts = judged.read_table("runs/pretrain", "scio.parquet")
    page = judged.read_bytes("runs/pretrain", "scio.html").decode()
    assert summary.counts["judged"] == sum(counts["judged"].to_pylist()) == 48
    assert summary.counts["noise"] == sum(counts["noise"].to_pylist()) == summary.counts["accepted"]
    assert set(counts["scale"].to_pylist()) == {"L", "M", "S"}
    assert "a lie &lt;b&gt;" in page
    assert "the truth" in page
    assert "data:image/png;base64," in page
    assert page.count("<svg") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_other_thresholds_are_replayed(judged: Workspace) -> None:
    paper = scio_report(ScioReportSettings(workspace=judged.root, dry_run=True)).counts["noise"]
    stricter = scio_report(ScioReportSettings(workspace=judged.root, dry_run=True, itm_above=1.0)).counts["noise"]
    nothing = scio_report(ScioReportSettings(workspace=judged.root, itc_below=-100.0)).counts
    assert paper > stricter > 0
    assert nothing["noise"] == nothing["accepted"] == 0
    assert judged.exists("runs/pretrain", "scio.html")


def test_a_run_without_verdicts_is_one_line(judged: Workspace) -> None:
    with pytest.raises(DataError, match=r"runs/other: has no verdicts\.parquet; name a run whose SCIO has screened"):
        scio_report(ScioReportSettings(workspace=judged.root, run="other"))
