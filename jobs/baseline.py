"""Baseline: pretrain a vision tower on the corpus's images alone, by MAE or MoCo v3 (section 4.3, Table 4)."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.train.data import count, held_in_memory, open_split
from jobs.train.folder import RunFolder
from jobs.train.metrics import collect, held_out
from jobs.train.plan import Plan
from jobs.train.run import check_batch, fit
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings, overlaid
from jobs.train.vocabulary import TokenizerSettings, tokenizer_folder
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from models.config import KnowLIPConfig, presets
from models.initialise import Initialisation
from models.tasks.mae import MaeDesign, MaeSettings, MaeTask
from models.tasks.moco import MocoDesign, MocoSettings, MocoTask
from models.tasks.unlabelled import COLUMNS, UnlabelledTask

__all__ = ["BaselineSettings", "baseline"]

_SHOWN = ("reconstruction", "contrast", "instance_top1")


class BaselineSettings(JobSettings):
    """Pretrain by MAE or MoCo v3: a checkpoint that jobs.finetune takes, beside which jobs.pretrain's is held."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"scaling"}

    method: Literal["mae", "moco"] = "mae"
    """How it learns."""

    run: str = ""
    """Name of the run; its results lie in runs/NAME. The method's name by default."""

    preset: Literal["tiny", "small", "base", "large"] = "base"
    """Architecture; `model` changes single settings of it."""

    model: KnowLIPConfig = Field(default_factory=KnowLIPConfig)
    """The model."""

    tokenizer: TokenizerSettings = TokenizerSettings()
    """WordPieces that the checkpoint carries, for tasks with words."""

    initialise: Initialisation = Initialisation()
    """First weights."""

    mae: MaeDesign = MaeDesign()
    """What is special to MAE."""

    moco: MocoDesign = MocoDesign()
    """What is special to MoCo v3."""

    epochs: int = Field(36, ge=1)
    """Passes over the training split."""

    optimisation: OptimisationSettings = OptimisationSettings(schedule="cosine")
    """AdamW and its schedule."""

    train: TrainSettings = TrainSettings()
    """Batches, seed, evaluation."""

    scaling: ScalingSettings = ScalingSettings()
    """Workers, ZeRO stage, precision."""

    @model_validator(mode="before")
    @classmethod
    def _complete_model(cls, values: dict[str, Any]) -> dict[str, Any]:
        preset, model = values.get("preset", "base"), values.get("model", {})
        if preset not in presets or not isinstance(model, dict):
            return values
        return {**values, "model": overlaid(presets[preset].model_dump(), model)}


def baseline(settings: BaselineSettings) -> Summary:
    """Train a run, or go on with it, or say that it is done."""
    started, workspace = time.monotonic(), settings.opened()
    folder = RunFolder(workspace, settings.run or settings.method)
    rows = {split: n for split, n in count(workspace, "corpus", ["train", "val"]).items() if n}
    check_batch(settings.train, settings.scaling, rows["train"])
    inputs = inputs_digest(workspace, "corpus")
    manifest = Manifest(artefact=folder.artefact, job="jobs.baseline", settings=settings.shaping(), inputs=inputs)
    if settings.dry_run:
        steps = settings.epochs * max(1, rows["train"] // settings.train.batch_size)
        return Summary(f"Would pretrain by {settings.method}", {**rows, "epochs": settings.epochs, "steps": steps})
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Baseline (done before)", done.counts, where=workspace.uri(folder.artefact))
        plan = _plan(settings, folder, rows, manifest)
        splits = {split: open_split(workspace, "corpus", split, COLUMNS, settings.scaling) for split in rows}
        folder.publish(fit(plan, splits))
        counts = {**rows, **held_out(collect(workspace, folder.artefact), _SHOWN)}
        folder.complete(manifest, counts, time.monotonic() - started)
    return Summary(f"Baseline {settings.method}", counts, where=workspace.uri(folder.artefact, "checkpoint"))


def _plan(settings: BaselineSettings, folder: RunFolder, rows: dict[str, int], manifest: Manifest) -> Plan:
    common = {"model": settings.model, "initialise": settings.initialise, "seed": settings.train.seed}
    with tokenizer_folder(folder, settings.tokenizer) as tokenizer:
        task: UnlabelledTask = (
            MaeTask(MaeSettings(tokenizer=tokenizer, design=settings.mae, **common))
            if settings.method == "mae"
            else MocoTask(MocoSettings(tokenizer=tokenizer, design=settings.moco, **common))
        )
    return Plan(
        task=task,
        phase=settings.method,
        workspace=folder.workspace,
        run=folder.artefact,
        optimisation=settings.optimisation,
        train=settings.train,
        scaling=settings.scaling,
        rows=rows,
        held=held_in_memory(folder.workspace, "corpus", settings.scaling.hold_mb),
        epochs=settings.epochs,
        all_epochs=settings.epochs,
        manifest=manifest.model_dump(mode="json"),
    )


if __name__ == "__main__":
    run(BaselineSettings, baseline)
