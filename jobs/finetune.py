"""Fine-tune: a checkpoint on any downstream task (sections 4.3 and 4.4)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator
from ray.train import UserCallback

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.train.downstream import DOWNSTREAM, TaskName, TuningSettings, floors, given, make_task
from jobs.train.folder import RunFolder
from jobs.train.labelled import Labelled
from jobs.train.metrics import collect
from jobs.train.plan import Plan
from jobs.train.run import check_batch, fit
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings
from knowlip.archive import placed_checkpoint, placed_digest
from knowlip.benchmark.held_out import scored
from knowlip.benchmark.splits import SplitChoice
from knowlip.errors import SettingsError
from knowlip.manifest import Manifest
from knowlip.settings import JobSettings

__all__ = ["FinetuneSettings", "finetune", "tuned"]


class FinetuneSettings(JobSettings):
    """Fine-tune a checkpoint on a task's examples, and say how it does beside the most frequent answer."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"scaling"}

    short_flags: ClassVar[dict[str, str]] = {
        f"--{field.replace('_', '-')}": f"--tuning.{field.replace('_', '-')}"
        for field in ("start", "image_size", "fit", "backbone", "max_tokens")
    }

    task: TaskName = "classification"
    """What is learned."""

    data: str = ""
    """Name of the data set; its examples lie in datasets/NAME. The task's name by default."""

    split: SplitChoice | None = None
    """Which of the data set's frozen splits; the one that its examples were written with when left out."""

    run: str = ""
    """Name of the run; its results lie in runs/NAME. The data set's name by default."""

    checkpoint: str = "runs/pretrain/checkpoint"
    """Checkpoint folder: in the workspace, or anywhere that all workers can read, object stores included."""

    epochs: int = Field(12, ge=1)
    """Passes over the training split."""

    tuning: TuningSettings = TuningSettings()
    """First weights, input, and what is special to the task."""

    optimisation: OptimisationSettings = OptimisationSettings(learning_rate=1e-4, warmup_steps=50, schedule="cosine")
    """AdamW and its schedule."""

    train: TrainSettings = TrainSettings(keep="best")
    """Batches, seed, evaluation."""

    scaling: ScalingSettings = ScalingSettings()
    """Workers, ZeRO stage, precision."""

    @model_validator(mode="after")
    def _belong(self) -> Self:
        try:
            given(self.task, self.tuning)
        except SettingsError as error:
            raise ValueError(f"{error.where}: {error.what}; {error.fix}") from error
        return self


def finetune(settings: FinetuneSettings) -> Summary:
    """Fine-tune a run, or go on with it, or say that it is done."""
    return tuned(settings, ())


def tuned(settings: FinetuneSettings, callbacks: Sequence[UserCallback]) -> Summary:
    """Do as `finetune`, and tell some callbacks of every epoch."""
    started, workspace = time.monotonic(), settings.opened()
    data = Labelled(workspace, settings.data or settings.task, settings.split)
    folder, rows = RunFolder(workspace, settings.run or data.name), data.rows()
    check_batch(settings.train, settings.scaling, rows["train"])
    source = placed_checkpoint(workspace, settings.checkpoint)
    inputs = {**data.inputs(), "checkpoint": placed_digest(source)}
    manifest = Manifest(artefact=folder.artefact, job="jobs.finetune", settings=settings.shaping(), inputs=inputs)
    if settings.dry_run:
        steps = settings.epochs * max(1, rows["train"] // settings.train.batch_size)
        return Summary(f"Would fine-tune {settings.task}", {**rows, "epochs": settings.epochs, "steps": steps})
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Fine-tuning (done before)", done.counts, where=workspace.uri(folder.artefact))
        task = make_task(settings.task, settings.tuning, data, checkpoint=source, seed=settings.train.seed)
        plan = Plan(
            task=task,
            phase=settings.task,
            workspace=workspace,
            run=folder.artefact,
            optimisation=settings.optimisation,
            train=settings.train,
            scaling=settings.scaling,
            rows=rows,
            held=data.held(settings.scaling.hold_mb),
            epochs=settings.epochs,
            all_epochs=settings.epochs,
            manifest=manifest.model_dump(mode="json"),
        )
        kind = DOWNSTREAM[settings.task]
        splits = {split: data.open(split, kind.columns, settings.scaling) for split in rows}
        folder.publish(fit(plan, splits, callbacks))
        held = "test" if "test" in rows else "val"
        known = floors(settings.task, data, held)
        collect(workspace, folder.artefact, known, split=held)
        figures = scored(workspace, folder.artefact, kind.task.score, groups=data.groups, floors=known)
        counts = {**rows, **{name: str(figures[name]) for name in kind.shown if name in figures}}
        folder.complete(manifest, counts, time.monotonic() - started)
    return Summary(f"Fine-tuning {settings.task}", counts, where=workspace.uri(folder.artefact, "checkpoint"))


if __name__ == "__main__":
    run(FinetuneSettings, finetune)
