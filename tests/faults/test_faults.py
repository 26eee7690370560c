"""Each job on a cluster of three nodes loses something in the middle, and leaves what an undisturbed run leaves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
import yaml

from knowlip.manifest import Manifest, digest
from knowlip.records import CORPUS, EXAMPLES, SUBTEXTS
from knowlip.workspace import Workspace
from tests.builders import long_scene, png, pyramid, write_tiles
from tests.faults.cluster import ThreeNodes, finish, kill, start, three_nodes, until_begun
from tests.faults.outcomes import note
from tests.flaky_store import flaky_bucket

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PRETRAINING = {
    "preset": "tiny",
    "model": {
        "vision": {"image_size": 32, "patch": 8, "width": 32, "depth": 1, "heads": 2},
        "text": {"width": 32, "layers": 1, "heads": 2},
        "projection": 16,
    },
    "tokenizer": {"source": "corpus", "vocab_size": 200},
    "optimisation": {"learning_rate": 2e-3, "warmup_steps": 2},
    "train": {"batch_size": 8},
    "scio": {"phase_epochs": [2, 1, 1], "unit_rows": 16, "max_new_tokens": 8},
    "scaling": {"workers": 2},
}

FINETUNING = {
    "task": "classification",
    "epochs": 4,
    "tuning": {"image_size": 32},
    "optimisation": {"warmup_steps": 1},
    "train": {"batch_size": 8, "keep": "best"},
    "scaling": {"workers": 2},
}
SWEEPING = {
    "space": {"optimisation.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
    "search": {"trials": 3, "concurrent": 1, "grace_epochs": 4},
}


@dataclass(frozen=True)
class Job:
    """A job under test.

    Attributes:
        module: What is started.
        prepare: Puts what it reads into a workspace; returns its arguments besides the workspace.
        begun: Whether some of its work is done.
        left: What it leaves, in a form that an undisturbed run leaves too.
        artefact: Where its manifest lies.
    """

    module: str
    prepare: Callable[[Workspace, Path], list[str]]
    begun: Callable[[Workspace], bool]
    left: Callable[[Workspace], str]
    artefact: str


def _scenes(_: Workspace, folder: Path) -> list[str]:
    return long_scene(folder, fields=96)


def _tiles(workspace: Workspace, _: Path) -> list[str]:
    for number in range(40):
        write_tiles(workspace, list(pyramid(f"scene{number:02d}")), f"scene{number:02d}-0")
    return []


def _corpus(workspace: Workspace, folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        image = rng.integers(1, 90, (32, 32), dtype=np.uint8)
        place = int(rng.integers(3))
        image[:, 10 * place : 10 * place + 8] = 250
        texts = {name: f"{name.replace('_', ' ')} at place {place} of tile {number % 5}" for name in SUBTEXTS}
        split = "train" if number < 40 else "val"
        rows.append(
            {"tile_id": f"t{number:03d}", "scale": "S", "place": "p", "split": split, "view": png(image), **texts}
        )
    table = pa.Table.from_pylist(rows, schema=CORPUS)
    workspace.write_table(table.slice(0, 24), "corpus", "part-00000.parquet")
    workspace.write_table(table.slice(24), "corpus", "part-00001.parquet")
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(PRETRAINING))
    return ["--config", str(folder / "pretrain.yaml")]


def _examples(workspace: Workspace, folder: Path) -> list[str]:
    import torch

    from models import KnowLIP, Preprocessing, Tokenizer, presets, save_checkpoint

    rng, rows = np.random.default_rng(0), []
    for number in range(40):
        image, left = rng.gamma(4.0, 12.0, (32, 32)), number % 2
        image[:, 16 * left : 16 * left + 16] += 60
        split = "train" if number < 32 else "val"
        row = {"example_id": f"e{number:02d}", "tile_id": f"t{number:02d}", "split": split}
        rows.append({**row, "view": png(image.clip(1, 255).astype(np.uint8)), "label": ("left", "right")[left]})
    workspace.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), "datasets/classification", "part.parquet")
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["bright on the left", "bright on the right"], vocab_size=200)
    config = presets["tiny"].with_vocabulary(tokenizer.vocab_size)
    preprocessing = Preprocessing(image_size=config.vision.image_size, channels=config.vision.channels)
    save_checkpoint(folder / "checkpoint", KnowLIP(config), tokenizer, preprocessing, {"made_by": "a test"})
    (folder / "finetune.yaml").write_text(yaml.safe_dump({**FINETUNING, "checkpoint": str(folder / "checkpoint")}))
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**SWEEPING, "finetune": str(folder / "finetune.yaml")}))
    return ["--config", str(folder / "sweep.yaml")]


def _trained(workspace: Workspace) -> int:
    """How many trials of a sweep have noted figures."""
    selector = pafs.FileSelector(workspace.path("runs/sweep-classification"), recursive=True, allow_not_found=True)
    paths = [info.path for info in workspace.filesystem.get_file_info(selector)]
    return len({path.split("/_metrics/")[0] for path in paths if "/_metrics/" in path})


def _trials(workspace: Workspace) -> str:
    """What was tried, how it ended and after how many epochs, and that the best one is there."""
    trials = workspace.read_table("runs/sweep-classification", "trials.parquet").to_pylist()
    assert workspace.exists("runs/sweep-classification/best.yaml")
    names = sorted(workspace.files("runs/sweep-classification", "checkpoint", suffix=""))
    return digest([[[row["settings"], row["status"], row["epoch"]] for row in trials], names])


def _rows(workspace: Workspace, artefact: str, *without: str) -> str:
    table = workspace.read_table(artefact)
    rows = table.drop_columns([name for name in without if name in table.column_names]).to_pylist()
    assert len({row["tile_id"] for row in rows}) == len(rows)
    return digest(sorted(rows, key=lambda row: row["tile_id"]))


def _model(workspace: Workspace) -> str:
    """Which sub-texts were judged, and which steps and figures were noted: weights follow the order of sums."""
    verdicts = workspace.read_table("runs/pretrain", "verdicts.parquet").select(["tile_id", "round", "subtext"])
    figures = workspace.read_table("runs/pretrain", "metrics.parquet").filter(pa.compute.field("phase") == "val")
    names = sorted(workspace.files("runs/pretrain", "checkpoint", suffix=""))
    steps = sorted((row["step"], row["metric"]) for row in figures.to_pylist())
    return digest([sorted(map(str, verdicts.to_pylist())), steps, names])


TILE = Job("jobs.tile", _scenes, lambda w: len(w.files("tiles")) >= 3, lambda w: _rows(w, "tiles"), "tiles")
CAPTION = Job(
    "jobs.caption",
    _tiles,
    lambda w: len(w.files("captions")) >= 3,
    lambda w: _rows(w, "captions", "latency_s"),
    "captions",
)
PRETRAIN = Job("jobs.pretrain", _corpus, lambda w: w.exists("runs/pretrain/_metrics"), _model, "runs/pretrain")
SWEEP = Job("jobs.sweep", _examples, lambda w: _trained(w) >= 2, _trials, "runs/sweep-classification")
UNDER_TEST = {"tile": TILE, "caption": CAPTION, "pretrain": PRETRAIN, "sweep": SWEEP}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What each job leaves when nothing happens."""
    known: dict[str, str] = {}

    def left(name: str) -> str:
        if name not in known:
            folder = tmp_path_factory.mktemp(f"whole-{name}")
            workspace, job = Workspace(str(folder / "workspace")), UNDER_TEST[name]
            arguments = ["--workspace", workspace.root, *job.prepare(workspace, folder)]
            with three_nodes() as nodes:
                log = folder / "log"
                assert finish(nodes, start(nodes, job.module, arguments, log), job.module, arguments, log) == 0
            known[name] = job.left(workspace)
        return known[name]

    return left


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: str) -> Path:
        again = ["-o", "remount"] if place.is_mount() else []
        command = ["mount", *again, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here")
        return place

    yield sized
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def _disturbed(
    nodes: ThreeNodes, job: Job, workspace: Workspace, folder: Path, fault: Callable[[subprocess.Popen[bytes]], None]
) -> int:
    """Run a job, do something to it in the middle, and start it again until it is done; return how often."""
    arguments, log = ["--workspace", workspace.root, *job.prepare(workspace, folder)], folder / "log"
    driver = start(nodes, job.module, arguments, log)
    until_begun(lambda: job.begun(workspace), driver, log)
    assert Manifest.read(workspace, job.artefact) is None, "it was done before anything could happen"
    fault(driver)
    again = finish(nodes, driver, job.module, arguments, log)
    assert Manifest.read(workspace, job.artefact) is not None
    return again


def _said(again: int) -> str:
    return (
        "goes on by itself; equal"
        if not again
        else f"started again {'once' if again == 1 else f'{again} times'}; equal"
    )


@pytest.mark.parametrize("fault", ["worker", "node", "driver"])
@pytest.mark.parametrize("name", list(UNDER_TEST))
def test_what_is_lost_is_made_again(name, fault, tmp_path, undisturbed):
    job, workspace = UNDER_TEST[name], Workspace(str(tmp_path / "workspace"))
    with three_nodes() as nodes:
        acts = {"worker": lambda _: nodes.kill_worker(), "node": lambda _: nodes.kill_node(), "driver": kill}
        again = _disturbed(nodes, job, workspace, tmp_path, acts[fault])
    assert job.left(workspace) == undisturbed(name)
    note(name, fault, _said(again))


@pytest.mark.parametrize("name", list(UNDER_TEST))
def test_a_store_that_is_away_for_twenty_seconds(name, tmp_path, undisturbed):
    job = UNDER_TEST[name]
    with flaky_bucket() as (store, root, environment), pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        workspace = Workspace(root)
        with three_nodes(environment) as nodes:
            again = _disturbed(nodes, job, workspace, tmp_path, lambda _: store.go_away(20))
        assert store.done["away"], "nobody noticed"
        assert job.left(workspace) == undisturbed(name)
    note(name, "store", _said(again))


@pytest.mark.parametrize(("name", "room_kb"), [("tile", 300), ("caption", 200), ("pretrain", 600), ("sweep", 600)])
def test_a_full_disk_stops_in_one_line_and_more_room_lets_it_go_on(name, room_kb, tmp_path, small_disk, undisturbed):
    disk = small_disk("200m")
    job, workspace = UNDER_TEST[name], Workspace(str(disk / "workspace"))
    log = tmp_path / "log"
    with three_nodes() as nodes:
        arguments = ["--workspace", workspace.root, *job.prepare(workspace, tmp_path)]
        small_disk(f"{shutil.disk_usage(disk).used // 1024 + room_kb}k")
        driver = start(nodes, job.module, arguments, log)
        assert driver.wait(600) == 2, log.read_text()[-4000:]
        assert "there is no room to write it" in log.read_text()
        assert Manifest.read(workspace, job.artefact) is None
        small_disk("200m")
        assert finish(nodes, start(nodes, job.module, arguments, log), job.module, arguments, log) == 0
    assert job.left(workspace) == undisturbed(name)
    note(name, "disk", "stops in one line; more room and started again; equal")
