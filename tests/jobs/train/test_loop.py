"""The loop on Ray Train and DeepSpeed: it survives its workers, resumes anywhere, and stops where it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ray.train import Checkpoint
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from jobs.train.metrics import collect
from jobs.train.run import fit
from knowlip.errors import DataError, SettingsError
from knowlip.workspace import Workspace

MakePlan = Callable[..., Any]
WHOLE = {"batch_size": 64}
"""All training points a step: which of them a worker gets does not matter then."""


def state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    folder = Path(checkpoint.path) / "state"
    return {**load_file(folder / "weights.safetensors"), **load_file(folder / "moments.safetensors")}


def curve(workspace: Workspace, phase: str) -> list[float]:
    rows = collect(workspace, "runs/plane").to_pylist()
    return [row["value"] for row in rows if row["phase"] == phase and row["metric"] == "square"]


@pytest.mark.ray
def test_a_killed_worker_changes_nothing_and_a_resumed_run_ends_the_same(
    ray_cluster: None, make_plan: MakePlan, plane_task: Any, points: Workspace, tmp_path: Path
) -> None:
    undisturbed = fit(*make_plan(phase="undisturbed", epochs=3))
    task = plane_task(die_at=6, marker=str(tmp_path / "died"))
    killed = fit(*make_plan(task, phase="killed", epochs=3, scaling={"max_failures": 1}))
    assert (tmp_path / "died").exists()
    assert_close(state(killed), state(undisturbed))
    assert len(curve(points, "killed")) == 12
    assert curve(points, "killed") == pytest.approx(curve(points, "undisturbed"), abs=1e-6)
    assert (Path(killed.path) / "model" / "manifest.json").exists()


@pytest.fixture
def tested(points: Workspace) -> Workspace:
    """The points, those of ``val`` once more as ``test``."""
    held = points.read_table("datasets/points").filter(pc.field("split") == "val")
    again = held.set_column(held.column_names.index("split"), "split", pa.array(["test"] * len(held)))
    points.write_table(again, "datasets/points", "part-2.parquet")
    return points


def errors(workspace: Workspace) -> dict[str, dict[int, float]]:
    """Split → epoch → error."""
    rows = [row for row in collect(workspace, "runs/plane").to_pylist() if row["metric"] == "error"]
    return {split: {row["epoch"]: row["value"] for row in rows if row["phase"] == split} for split in ("val", "test")}


@pytest.mark.ray
def test_the_test_split_is_looked_at_only_for_weights_that_may_be_kept(
    ray_cluster: None, make_plan: MakePlan, plane_task: Any, tested: Workspace
) -> None:
    task = plane_task(said=(3.0, 90.0, 5.0, 3.0, 91.0, 1.0, 92.0))  # errors of val, and of test after 3, 3 and 1
    changes = {"splits": ("train", "val", "test"), "epochs": 4, "train": {**WHOLE, "keep": "best"}}
    fit(*make_plan(task, phase="chosen", **changes))
    assert errors(tested) == {"val": {1: 3.0, 2: 5.0, 3: 3.0, 4: 1.0}, "test": {1: 90.0, 3: 91.0, 4: 92.0}}


@pytest.mark.ray
def test_the_best_is_chosen_and_tested_among_what_is_saved_and_the_next_phase_has_all_its_epochs(
    ray_cluster: None, make_plan: MakePlan, plane_task: Any, tested: Workspace
) -> None:
    task = plane_task(said=(3.0, 5.0, 90.0, 2.0, 4.0, 91.0, 1.0, 6.0))  # val of six epochs, test after 2 and 4
    changes = {"splits": ("train", "val", "test"), "train": {**WHOLE, "keep": "best", "save_every": 2}}
    best = fit(*make_plan(task, phase="first", epochs=6, all_epochs=8, **changes))
    assert errors(tested) == {"val": {1: 3.0, 2: 5.0, 3: 2.0, 4: 4.0, 5: 1.0, 6: 6.0}, "test": {2: 90.0, 4: 91.0}}
    assert int(state(best)["seen"]) == 4
    last = fit(*make_plan(phase="second", first_epoch=6, epochs=2, all_epochs=8, start=best, train=WHOLE))
    assert int(state(last)["seen"]) == 6
    rows = [row for row in collect(tested, "runs/plane").to_pylist() if row["phase"] == "second"]
    assert {(row["epoch"], row["step"]) for row in rows if row["metric"] == "square"} == {(7, 7), (8, 8)}


@pytest.mark.ray
@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    ray_cluster: None, make_plan: MakePlan, plane_task: Any, points: Workspace
) -> None:
    start = fit(*make_plan(phase="good", epochs=1, scaling={"workers": 2}))
    plan, splits = make_plan(
        plane_task(poison="point-007"), phase="bad", first_epoch=1, start=start, scaling={"workers": 2}
    )
    with pytest.raises(DataError, match=r"a loss is not finite in the batch of .*point-007") as caught:
        fit(plan, splits)
    assert len(str(caught.value).splitlines()) == 1
    assert state(start)


@pytest.mark.ray
def test_a_batch_that_the_device_does_not_hold_is_one_line(
    ray_cluster: None, make_plan: MakePlan, plane_task: Any
) -> None:
    with pytest.raises(SettingsError, match=r"do not fit the GPU \(Tried to allocate 72.00 MiB\).*lower it") as caught:
        fit(*make_plan(plane_task(full=True), phase="full", epochs=1))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_workers_stages_and_accumulation_give_one_curve(
    ray_cluster: None, make_plan: MakePlan, points: Workspace
) -> None:
    ways = {
        "alone": {"workers": 1, "zero_stage": 0},
        "two-zero0": {"workers": 2, "zero_stage": 0},
        "two-zero1": {"workers": 2, "zero_stage": 1},
        "two-zero2": {"workers": 2, "zero_stage": 2},
        "accumulated": {"workers": 1, "zero_stage": 1, "accumulation": 2},
    }
    ends = {name: state(fit(*make_plan(phase=name, epochs=20, train=WHOLE, scaling=how))) for name, how in ways.items()}
    reference = curve(points, "alone")
    assert len(reference) == 20
    for name in ways:
        assert curve(points, name) == pytest.approx(reference, abs=1e-4), name
        assert_close(ends[name], ends["alone"], atol=1e-4, rtol=1e-4)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_goes_on_with_other_workers_and_another_stage(
    ray_cluster: None, make_plan: MakePlan, points: Workspace
) -> None:
    undisturbed = fit(*make_plan(phase="undisturbed", epochs=6, train=WHOLE))
    step: Any = None
    for done, how in ((0, {"workers": 1}), (2, {"workers": 2, "zero_stage": 2}), (4, {"workers": 1, "zero_stage": 0})):
        step = fit(
            *make_plan(
                phase=f"part-{done}",
                first_epoch=done,
                epochs=2,
                all_epochs=6,
                start=step,
                train=WHOLE,
                scaling=how,
            )
        )
    assert_close(state(step), state(undisturbed), atol=1e-4, rtol=1e-4)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_split_too_large_to_hold_is_streamed(ray_cluster: None, make_plan: MakePlan, points: Workspace) -> None:
    checkpoint = fit(*make_plan(phase="streamed", scaling={"workers": 2, "hold_mb": 0}))
    assert len(curve(points, "streamed")) == 8
    assert int(state(checkpoint)["seen"]) == 8
