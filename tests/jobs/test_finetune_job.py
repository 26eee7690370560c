"""Every downstream task through the one loop, as a job, on a workspace that a test can afford."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

import models
from jobs.finetune import FinetuneSettings, finetune
from jobs.train.downstream import DOWNSTREAM, TuningSettings, make_task
from jobs.train.labelled import Labelled
from jobs.train.settings import ScalingSettings
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.held_out import read_figures, read_records
from knowlip.benchmark.splits import Member, SplitChoice, deal, write_split
from knowlip.errors import DataError, SettingsError
from knowlip.records import EXAMPLES
from knowlip.settings import read_settings
from knowlip.workspace import Workspace

COUNT = 32
TESTED = {f"e{index}" for index in range(24, COUNT)}
HEAD = {"width": 16, "anchors_px": (4, 8, 16, 24, 32), "proposals": 16, "pooled": 2, "head_width": 32}
TUNING: dict[str, dict[str, Any]] = {
    "classification": {},
    "detection": {"detector": HEAD},
    "segmentation": {"segmenter": {"layers": 1, "heads": 2}},
    "retrieval": {"reranked": 4},
    "captioning": {"beams": 1, "max_tokens": 24},
    "vqa": {},
}


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with one data set that has everything: a hut or a hall somewhere on speckle."""
    workspace = Workspace(str(tmp_path_factory.mktemp("examples") / "workspace"))
    random, rows = np.random.default_rng(0), []
    for index in range(COUNT):
        large = bool(random.integers(2))
        edge = 14 if large else 7
        top, left = (int(draw) for draw in random.integers(1, 17, 2))
        image, mask = random.gamma(4.0, 12.0, (32, 32)).clip(1, 255), np.full((32, 32), 1)
        image[top : top + edge, left : left + edge], mask[top : top + edge, left : left + edge] = 250, 2
        name, side = ("hall", "hut")[not large], "left" if left < 9 else "right"
        corners = {"xmin": left, "ymin": top, "xmax": left + edge, "ymax": top + edge}
        rows.append(
            {
                "example_id": f"e{index:02d}",
                "tile_id": f"t{index:02d}",
                "split": "train" if index < 16 else "val" if index < 24 else "test",
                "view": png(image),
                "label": name,
                "question": "which building is this",
                "answer": name,
                "kind": "category",
                "texts": [f"a {name} on the {side}"],
                "boxes": [{"category": name, **corners}],
                "mask": png(mask),
                "group": f"g{index}",
            }
        )
    table = pa.Table.from_pylist(rows, schema=EXAMPLES)
    workspace.write_table(table, "datasets/buildings", "part.parquet")
    return workspace


def settings(workspace: Workspace, checkpoint: Path, task: str, **changes: Any) -> FinetuneSettings:
    return FinetuneSettings(
        **{
            "workspace": workspace.root,
            "task": task,
            "data": "buildings",
            "run": task,
            "checkpoint": str(checkpoint),
            "epochs": 1,
            "tuning": {"image_size": 32, **TUNING[task]},
            "optimisation": {"learning_rate": 1e-3, "warmup_steps": 2},
            "train": {"batch_size": 8, "keep": "best"},
            "scaling": {"workers": 1},
            **changes,
        }
    )


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("task", list(DOWNSTREAM))
def test_every_task_goes_through_the_one_loop(
    ray_cluster: None, examples: Workspace, tiny_checkpoint: Path, task: str
) -> None:
    summary = finetune(settings(examples, tiny_checkpoint, task, scaling={"workers": 2}))
    best = DOWNSTREAM[task].task.best_metric
    metrics = examples.read_table(f"runs/{task}", "metrics.parquet").to_pylist()
    found = {row["phase"]: row["value"] for row in metrics if row["metric"] == best}
    assert found.keys() == {"val", "test"}
    # What is reported is what the kept weights gave for the test split, with its interval.
    figure = read_figures(examples, f"runs/{task}")[best]
    assert figure.value == pytest.approx(found["test"])
    assert figure.low <= figure.value <= figure.high
    assert summary.counts[best] == str(figure)
    assert {record["example_id"] for record in read_records(examples, f"runs/{task}")} == TESTED
    assert models.load(examples.local("runs", task, "checkpoint")).manifest["settings"]["task"] == task


@pytest.mark.ray
@pytest.mark.slow
def test_all_lies_on_an_object_store(examples: Workspace, tiny_checkpoint: Path, s3_workspace: Workspace) -> None:
    table = examples.read_table("datasets/buildings")
    s3_workspace.write_table(table, "datasets/buildings", "part.parquet")
    s3_workspace.write_folder(tiny_checkpoint, "runs/pretrain/checkpoint")
    words = ["--workspace", s3_workspace.root, "--data", "buildings", "--epochs", "1", "--train.batch-size", "8"]
    subprocess.run([sys.executable, "-m", "jobs.finetune", *words, "--image-size", "32"], check=True)
    assert read_figures(s3_workspace, "runs/buildings")["top1"].high > 0
    assert s3_workspace.exists("runs/buildings/checkpoint/head.json")


@pytest.mark.parametrize("task", list(DOWNSTREAM))
def test_every_task_is_told_by_its_examples_what_it_learns(
    examples: Workspace, tiny_checkpoint: Path, task: str
) -> None:
    data = Labelled(examples, "buildings")
    made = make_task(task, TuningSettings(**TUNING[task]), data, checkpoint=str(tiny_checkpoint), seed=3)
    assert isinstance(made, DOWNSTREAM[task].task)
    told = made.settings
    if task == "vqa":
        assert set(told.answers["category"]) == {"hall", "hut"}
    elif task == "segmentation":
        assert told.classes == {1: "class 1", 2: "class 2"}
    elif task in ("classification", "detection"):
        assert told.classes == ("hall", "hut")
    assert (told.checkpoint, told.seed) == (str(tiny_checkpoint), 3)


def test_a_part_of_a_section_leaves_the_tasks_own_defaults(examples: Workspace, tiny_checkpoint: Path) -> None:
    tuning = TuningSettings(augmentation={"speckle": 0.2})
    made = {
        task: make_task(task, tuning, Labelled(examples, "buildings"), checkpoint=str(tiny_checkpoint), seed=0)
        for task in ("classification", "vqa")
    }
    assert {task: one.settings.augmentation.speckle for task, one in made.items()} == dict.fromkeys(made, 0.2)
    assert made["classification"].settings.augmentation.turn
    assert not made["vqa"].settings.augmentation.turn  # turning would falsify what is said about places


def test_a_setting_of_another_task_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tuning\.beams: is no setting of vqa; leave it out; captioning has it"):
        read_settings(FinetuneSettings, ["--task", "vqa", "--tuning.beams", "2"], prog="finetune")
    given = read_settings(FinetuneSettings, ["--start", "scratch", "--max-tokens", "20", "--task", "vqa"], prog="x")
    assert (given.tuning.start, given.tuning.max_tokens) == ("scratch", 20)


@pytest.mark.parametrize(
    ("task", "column", "line"),
    [
        ("classification", "label", "have 0 classes"),
        ("detection", "boxes", "have no boxes"),
        ("segmentation", "mask", "have 0 mask values"),
    ],
)
def test_examples_of_another_task_are_one_clear_line(
    examples: Workspace, tiny_checkpoint: Path, tmp_path: Path, task: str, column: str, line: str
) -> None:
    other = Workspace(str(tmp_path / "other"))
    table = examples.read_table("datasets/buildings")
    empty = pa.nulls(len(table), EXAMPLES.field(column).type)
    table = table.set_column(table.column_names.index(column), EXAMPLES.field(column), empty)
    other.write_table(table, "datasets/buildings", "part.parquet")
    with pytest.raises(DataError, match=line):
        make_task(task, TuningSettings(), Labelled(other, "buildings"), checkpoint=str(tiny_checkpoint), seed=0)


def test_a_dry_run_counts_and_writes_nothing(examples: Workspace, tiny_checkpoint: Path) -> None:
    summary = finetune(settings(examples, tiny_checkpoint, "detection", run="dry", dry_run=True))
    assert summary.counts == {"train": 16, "val": 8, "test": 8, "epochs": 1, "steps": 2}
    assert not examples.exists("runs/dry")


@pytest.fixture
def frozen(examples: Workspace, tmp_path: Path) -> Workspace:
    """The same data set with a card and frozen splits, in a workspace of its own."""
    workspace = Workspace(str(tmp_path / "frozen"))
    table = examples.read_table("datasets/buildings")
    workspace.write_table(table, "datasets/buildings", "part.parquet")
    rows = table.select(["example_id", "label", "group"]).to_pylist()
    files = deal([Member(row["example_id"], row["label"], row["group"]) for row in rows], folds=4, seed=0)
    splits = {scheme: write_split(workspace, "datasets/buildings", scheme, data) for scheme, data in files.items()}
    DatasetCard(name="buildings", task="segmentation", layout="test", classes=("ground", "roof"), splits=splits).write(
        workspace
    )
    return workspace


def test_a_frozen_split_decides_what_is_trained_on(frozen: Workspace, tiny_checkpoint: Path) -> None:
    folds = [Labelled(frozen, "buildings", SplitChoice(scheme="random", fold=fold)) for fold in range(4)]
    tested = [{name for name, side in one.members.items() if side == "test"} for one in folds]
    assert sorted(name for names in tested for name in names) == [f"e{index:02d}" for index in range(COUNT)]
    for one, names in zip(folds, tested, strict=True):
        rows = one.rows()
        assert rows["train"] + rows["val"] == COUNT - rows["test"] == COUNT - len(names)
        assert one.inputs() != Labelled(frozen, "buildings").inputs()
        assert set(one.labels.filter(pc.equal(one.labels["split"], "test"))["example_id"].to_pylist()) == names
    few = Labelled(frozen, "buildings", SplitChoice(scheme="random", label_fraction=0.5))
    assert few.rows()["train"] < folds[0].rows()["train"]
    assert set(few.labels["example_id"].to_pylist()) < {f"e{index:02d}" for index in range(COUNT)}
    named = make_task("segmentation", TuningSettings(), folds[0], checkpoint=str(tiny_checkpoint), seed=0)
    assert named.settings.classes == {1: "ground", 2: "roof"}


def test_a_split_that_was_changed_is_refused(frozen: Workspace) -> None:
    place = ("datasets/buildings", "_splits", "random.json")
    frozen.write_bytes(frozen.read_bytes(*place).replace(b'"seed":0', b'"seed":1'), *place)
    with pytest.raises(DataError, match=r"random\.json: was changed"):
        Labelled(frozen, "buildings", SplitChoice(scheme="random")).rows()


@pytest.mark.ray
@pytest.mark.parametrize("hold_mb", [256, pytest.param(0, marks=pytest.mark.slow)])
def test_only_the_chosen_examples_are_read(ray_cluster: None, frozen: Workspace, hold_mb: int) -> None:
    data = Labelled(frozen, "buildings", SplitChoice(scheme="random", fold=2))
    scaling = ScalingSettings(workers=1, hold_mb=hold_mb)
    read = {row["example_id"] for row in data.open("val", ["example_id", "view"], scaling).take_all()}
    assert read == {name for name, side in data.members.items() if side == "val"}
