"""Results: figures with what made them, floors as rows, and tables that mark what floors are not beaten."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from knowlip.benchmark.held_out import write_figures, write_records
from knowlip.benchmark.metrics import Interval
from knowlip.benchmark.pairing import pairs_of, shown_pairs
from knowlip.benchmark.results import markdown, matrix, results_of_run
from knowlip.errors import DataError
from knowlip.manifest import Manifest
from knowlip.records import EXAMPLES, RESULTS
from knowlip.workspace import Workspace


def finished(
    workspace: Workspace, run: str, figures: dict[str, float], data: str = "vqa", fold: int | None = None
) -> None:
    """Write a run as jobs.finetune leaves it."""
    figured = {metric: Interval(value, value - 0.1, value + 0.1) for metric, value in figures.items()}
    write_figures(workspace, f"runs/{run}", figured)
    inputs = {f"datasets/{data}": "d1", "checkpoint": "c1", "split": "s1"}
    settings: dict[str, Any] = {"epochs": 2} if fold is None else {"epochs": 2, "split": {"fold": fold}}
    manifest = Manifest(artefact=f"runs/{run}", job="jobs.finetune", settings=settings, inputs=inputs)
    manifest.model_copy(update={"counts": {"val": 40}, "seconds": 12.5}).write(workspace)


def results(workspace: Workspace, run: str, row: str, seed: int = 0, **floors: float) -> pa.Table:
    return results_of_run(workspace, run, name="answers", task="vqa", data="vqa", row=row, seed=seed, floors=floors)


def test_a_row_carries_what_made_it(workspace_root: str) -> None:
    workspace = Workspace(workspace_root)
    finished(workspace, "a", {"accuracy": 0.6, "accuracy_count": 0.5, "majority_accuracy": 0.55})
    table = results(workspace, "a", "ours", text_only_accuracy=0.7, majority_accuracy_count=0.1)
    assert table.schema.remove_metadata().equals(RESULTS.remove_metadata())
    rows = {(one["row"], one["metric"]): one for one in table.to_pylist()}
    assert rows.keys() == {
        ("ours", "accuracy"),
        ("ours", "accuracy_count"),
        ("most frequent", "accuracy"),
        ("text only", "accuracy"),
    }
    own = rows["ours", "accuracy"]
    assert (own["value"], own["held_out"], own["seed"]) == (0.6, 40, 0)
    assert (own["low"], own["high"]) == pytest.approx((0.5, 0.7))
    assert rows["most frequent", "accuracy"]["low"] is None
    assert (own["checkpoint"], own["examples"], own["split"]) == ("c1", "d1", "s1")
    assert own["settings"] == '{"epochs": 2}'
    assert '"torch"' in own["libraries"]
    assert own["hardware"]
    assert rows["text only", "accuracy"]["checkpoint"] is None
    with pytest.raises(DataError, match="is not finished"):
        results(workspace, "b", "ours")


def test_a_table_marks_what_floors_are_not_beaten(workspace_root: str) -> None:
    workspace, tables = Workspace(workspace_root), []
    for row, figures in {"scratch": (0.5, 0.6), "ours": (0.8, 0.9)}.items():
        for seed, value in enumerate(figures):
            finished(workspace, f"{row}-{seed}", {"accuracy": value, "majority_accuracy": 0.55})
            tables.append(results(workspace, f"{row}-{seed}", row, seed))
    cells = matrix(pa.concat_tables(tables))["answers"]
    assert cells["ours"].mean == pytest.approx(0.85)
    assert cells["ours"].runs == 2
    assert cells["ours"].beaten == ""
    assert cells["scratch"].beaten == "most frequent"
    assert cells["most frequent"].beaten == ""
    assert str(cells["scratch"]) == "55.0 ± 7.1 ▼"
    text = markdown({"answers": cells}, {"answers": "vqa"})
    assert "| task | figure | scratch | ours | most frequent |" in text
    assert "| answers | accuracy | 55.0 ± 7.1 ▼ | **85.0 ± 7.1** | 55.0 |" in text


def test_folds_are_runs_of_one_row(workspace_root: str) -> None:
    workspace, tables = Workspace(workspace_root), []
    for fold, value in enumerate((0.5, 0.7)):
        finished(workspace, f"ours-{fold}", {"accuracy": value, "majority_accuracy": 0.2 + fold / 10}, fold=fold)
        tables.append(results(workspace, f"ours-{fold}", "ours"))
    cells = matrix(pa.concat_tables(tables))["answers"]
    assert (cells["ours"].runs, cells["ours"].mean) == (2, pytest.approx(0.6))
    assert cells["most frequent"].mean == pytest.approx(0.25)


def test_a_floor_is_held_against_a_row_by_its_mean_over_folds(workspace_root: str) -> None:
    workspace, tables = Workspace(workspace_root), []
    for fold, (value, floor) in enumerate(((0.5, 0.5), (0.7, 0.65))):
        finished(workspace, f"ours-{fold}", {"accuracy": value, "majority_accuracy": floor}, fold=fold)
        tables.append(results(workspace, f"ours-{fold}", "ours"))
    assert matrix(pa.concat_tables(tables))["answers"]["ours"].beaten == ""


def test_rows_are_compared_on_the_same_examples_over_all_seeds(workspace_root: str) -> None:
    workspace, tables = Workspace(workspace_root), []
    names = [f"e{number:02d}" for number in range(40)]
    nothing = dict.fromkeys(EXAMPLES.names)
    examples = [{**nothing, "example_id": name, "tile_id": name, "split": "test", "view": b""} for name in names]
    workspace.write_table(pa.Table.from_pylist(examples, EXAMPLES), "datasets/vqa", "part.parquet")
    for row, share in {"scratch": 4, "mae": 4, "ours": 2}.items():  # one of so many answers is wrong
        for seed in (0, 1):
            finished(workspace, f"{row}-{seed}", {"accuracy": 1 - 1 / share, "majority_accuracy": 0.5})
            folder = workspace.local(f"runs/{row}-{seed}", "checkpoint")
            folder.mkdir(parents=True)
            right = [{"example_id": name, "kind": "k", "right": n % share > 0} for n, name in enumerate(names)]
            write_records(folder, right)
            tables.append(results(workspace, f"{row}-{seed}", row, seed))
    pairs = pairs_of(workspace, pa.concat_tables(tables))
    found = {(one["row"], one["other"]): one for one in pairs.to_pylist()}
    assert found.keys() == {("mae", "scratch"), ("ours", "scratch"), ("ours", "mae")}
    assert found["mae", "scratch"]["value"] == found["mae", "scratch"]["high"] == 0
    assert found["ours", "mae"]["value"] == pytest.approx(-0.25)
    assert found["ours", "mae"]["high"] < 0
    shown = {one[2]: (one[3], one[4]) for one in shown_pairs(pairs)}
    assert shown["mae − scratch"] == ("+0.0 (+0.0 to +0.0)", "")
    assert shown["ours − mae"][1] == "mae"
