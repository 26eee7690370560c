"""Fine-tune: a checkpoint on a downstream task (sections 4.3 and 4.4)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow.compute as pc
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.train.data import count, held_in_memory, open_split
from jobs.train.folder import RunFolder
from jobs.train.metrics import collect, held_out
from jobs.train.plan import Plan
from jobs.train.run import check_batch, fit
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings
from knowlip.benchmark.majority import majority_accuracy, ranked_answers
from knowlip.errors import CheckpointError
from knowlip.manifest import Manifest, digest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace
from models.tasks import classification, vqa

__all__ = ["FinetuneSettings", "finetune"]


class FinetuneSettings(JobSettings):
    """Fine-tune a checkpoint on a task's examples, and say how it does beside the most frequent answer."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"scaling"}

    task: Literal["classification", "vqa"] = "classification"
    """What is learned; its examples lie in datasets/TASK."""

    run: str = ""
    """Name of the run; its results lie in runs/NAME. The task's name by default."""

    checkpoint: str = "runs/pretrain/checkpoint"
    """Checkpoint folder, in the workspace or anywhere."""

    epochs: int = Field(12, ge=1)
    """Passes over the training split."""

    max_tokens: int = Field(35, ge=8)
    """Longest question with its answer (VQA)."""

    optimisation: OptimisationSettings = OptimisationSettings(learning_rate=1e-4, warmup_steps=50, schedule="cosine")
    """AdamW and its schedule."""

    train: TrainSettings = TrainSettings(keep="best")
    """Batches, seed, evaluation."""

    scaling: ScalingSettings = ScalingSettings()
    """Workers, ZeRO stage, precision."""


def finetune(settings: FinetuneSettings) -> Summary:
    """Fine-tune a run, or go on with it, or say that it is done."""
    started, workspace = time.monotonic(), settings.opened()
    folder, dataset = RunFolder(workspace, settings.run or settings.task), f"datasets/{settings.task}"
    rows = {split: n for split, n in count(workspace, dataset, ["train", "val"]).items() if n}
    check_batch(settings.train, settings.scaling, rows["train"])
    source = _checkpoint(workspace, settings.checkpoint)
    inputs = {**inputs_digest(workspace, dataset), "checkpoint": _digest(source)}
    manifest = Manifest(artefact=folder.artefact, job="jobs.finetune", settings=settings.shaping(), inputs=inputs)
    if settings.dry_run:
        steps = settings.epochs * max(1, rows["train"] // settings.train.batch_size)
        return Summary(f"Would fine-tune {settings.task}", {**rows, "epochs": settings.epochs, "steps": steps})
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Fine-tuning (done before)", done.counts, where=workspace.uri(folder.artefact))
        task, columns, floor = _task(settings, workspace, dataset, str(source))
        plan = Plan(
            task=task,
            phase=settings.task,
            workspace=workspace,
            run=folder.artefact,
            optimisation=settings.optimisation,
            train=settings.train,
            scaling=settings.scaling,
            rows=rows,
            held=held_in_memory(workspace, dataset, settings.scaling.hold_mb),
            epochs=settings.epochs,
            all_epochs=settings.epochs,
            manifest=manifest.model_dump(mode="json"),
        )
        splits = {split: open_split(workspace, dataset, split, columns, settings.scaling) for split in rows}
        folder.publish(fit(plan, splits))
        metrics = collect(workspace, folder.artefact, {"majority_accuracy": floor} if "val" in rows else {})
        counts = {**rows, **held_out(metrics, (task.best_metric, "top3", "majority_accuracy"))}
        folder.complete(manifest, counts, time.monotonic() - started)
    return Summary(f"Fine-tuning {settings.task}", counts, where=workspace.uri(folder.artefact, "checkpoint"))


def _task(settings: FinetuneSettings, workspace: Workspace, dataset: str, checkpoint: str) -> tuple[Any, Any, float]:
    """Make the task, name the columns it reads, and score the most frequent answer."""
    labelled = settings.task == "classification"
    table = workspace.read_table(dataset, columns=["split", "kind", "label" if labelled else "answer"])
    table = table.rename_columns(["split", "kind", "answer"])
    train, val = (table.filter(pc.field("split") == split).to_pydict() for split in ("train", "val"))
    if labelled:
        train["kind"], val["kind"] = ["label"] * len(train["kind"]), ["label"] * len(val["kind"])
    ranked = ranked_answers(train["kind"], train["answer"])
    floor = majority_accuracy(ranked, val["kind"], val["answer"])
    if labelled:
        classes = tuple(sorted(set(table["answer"].to_pylist())))
        settings_ = classification.ClassificationSettings(checkpoint=checkpoint, classes=classes)
        return classification.ClassificationTask(settings_), classification.COLUMNS, floor
    settings_ = vqa.VqaSettings(checkpoint=checkpoint, answers=ranked, max_tokens=settings.max_tokens)
    return vqa.VqaTask(settings_), vqa.COLUMNS, floor


def _checkpoint(workspace: Workspace, place: str) -> Path:
    found = workspace.local(place) if workspace.exists(place) else Path(place)
    if not (found / "config.json").exists():
        raise CheckpointError("is no checkpoint folder", where=str(found), fix="run jobs.pretrain or give another")
    return found


def _digest(checkpoint: Path) -> str:
    return digest({path.name: digest(path.read_bytes()) for path in sorted(checkpoint.glob("*.safetensors"))})


if __name__ == "__main__":
    run(FinetuneSettings, finetune)
