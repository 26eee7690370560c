"""Benchmark: fine-tune every row on every task, and stand results beside the paper's (section 4, Tables 4 and 6)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from jobs.benchmarking.matrix import ARTEFACT, Case, Cell, measured, publish
from jobs.benchmarking.rows import OWN, row_of
from jobs.benchmarking.simulated import SIMULATED, archive, labelled
from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.report import ReportSettings, report
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.splits import SplitChoice, in_turn
from knowlip.errors import SettingsError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings, read_yaml
from knowlip.workspace import Workspace

__all__ = ["BenchmarkSettings", "benchmark"]


class BenchmarkSettings(JobSettings):
    """Fine-tune rows (ours, from scratch, MAE, MoCo v3, any checkpoint) on tasks, and report them beside the paper.

    Every cell is a run of jobs.finetune, so a benchmark that was stopped goes on. Leaves results.parquet,
    paired.parquet and results.md in benchmark/, and report.html.
    """

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"concurrent"}

    data: tuple[str, ...] = ("simulated",)
    """`simulated`: an archive with exact truth is made for it; or data sets of the workspace, by name."""

    tasks: tuple[str, ...] = ("all",)
    """Of the simulated archive's eleven tasks (classification_port, vqa …), or all."""

    rows: tuple[str, ...] = ("scratch", "ours")
    """What is compared: scratch, ours, mae, moco, NAME=runs/RUN/checkpoint, or NAME=START with START a folder,
    .safetensors file or timm:NAME."""

    preset: Literal["tiny", "small", "base", "large"] = "tiny"
    """Size of the models that are pretrained on the simulated archive."""

    checkpoint: str = ""
    """Ours, where it is pretrained already: a checkpoint folder."""

    split: SplitChoice | None = None
    """Which frozen split of the workspace's data sets; without, the one of their column `split`."""

    folds: int = Field(0, ge=0)
    """Folds of the frozen split that are tested in turn, from the first on; 0 for the one of `split` alone."""

    finetune: Path | None = None
    """YAML file of jobs.finetune's settings for every cell; without, each task's demo."""

    scenes: int = Field(1, ge=1)
    """Simulated scenes of each kind."""

    epochs: int = Field(0, ge=0)
    """Passes over each training split; 0 for each task's own."""

    seeds: int = Field(1, ge=1)
    """Runs a cell."""

    seed: int = 0
    """Of the simulated archive, and of the first run."""

    concurrent: int = Field(2, ge=1)
    """Cells at a time, which share the machine's cores."""

    @field_validator("rows")
    @classmethod
    def _known(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [row for row in rows if row not in OWN and "=" not in row]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is neither one of {', '.join(OWN)} nor NAME=START")
        return rows


def benchmark(settings: BenchmarkSettings) -> Summary:
    """Run the matrix, and write results and report."""
    started, workspace = time.monotonic(), settings.opened()
    names, tuned = _names(settings), read_yaml(settings.finetune) if settings.finetune else None
    if settings.dry_run:
        cells = len(names) * len(settings.rows) * settings.seeds * max(1, settings.folds)
        return Summary("Would benchmark", {"tasks": ", ".join(names), "rows": ", ".join(settings.rows), "runs": cells})
    with workspace.lock(ARTEFACT), connected():
        if settings.data == ("simulated",):
            archive(workspace, scenes=settings.scenes, seed=settings.seed)
        preset = settings.preset if settings.data == ("simulated",) else None
        rows = [row_of(text, workspace, checkpoint=settings.checkpoint, preset=preset) for text in settings.rows]
        seeds = range(settings.seed, settings.seed + settings.seeds)
        cases = [_case(settings, workspace, name) for name in names]
        cells = [
            Cell(case, row, seed, split)
            for case in cases
            for split in in_turn(settings.split, settings.folds)
            for seed in seeds
            for row in rows
        ]
        more = {"concurrent": settings.concurrent, "epochs": settings.epochs}
        results = pa.concat_tables(measured(workspace, cells, tuned=tuned, overwrite=settings.overwrite, **more))
        figures = publish(workspace, results)
        report(ReportSettings(workspace=workspace.root, title="Benchmark", queries=()))
        inputs = inputs_digest(workspace, *(f"datasets/{data}" for data in sorted(set(results["data"].to_pylist()))))
        told = {name: ", ".join(f"{row} {cell}" for row, cell in held.items()) for name, held in figures.items()}
        counts = {name: told.get(name, "no held-out example") for name in names}
        manifest = Manifest(artefact=ARTEFACT, job="jobs.benchmark", settings=settings.shaping(), inputs=inputs)
        manifest.model_copy(update={"counts": counts, "seconds": time.monotonic() - started}).write(workspace)
    return Summary("Benchmark (per cent)", counts, where=workspace.uri(ARTEFACT))


def _names(settings: BenchmarkSettings) -> list[str]:
    if settings.data != ("simulated",):
        return list(settings.data)
    if settings.folds or settings.split:
        what = "the simulated archive has no frozen splits"
        raise SettingsError(what, where="--folds", fix="leave it and --split out")
    unknown = [name for name in settings.tasks if name not in ("all", *SIMULATED)]
    if unknown:
        raise SettingsError(f"unknown task {unknown[0]!r}", where="--tasks", fix=f"use all, or {', '.join(SIMULATED)}")
    return list(SIMULATED) if "all" in settings.tasks else list(settings.tasks)


def _case(settings: BenchmarkSettings, workspace: Workspace, name: str) -> Case:
    if settings.data == ("simulated",):
        return Case(name, SIMULATED[name][0], labelled(workspace, name, seed=settings.seed))
    card = DatasetCard.read(workspace, name)
    return Case(name, card.task, name)


if __name__ == "__main__":
    run(BenchmarkSettings, benchmark)
