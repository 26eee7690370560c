"""Baseline: pretrain a vision tower on the corpus's images alone, by MAE or MoCo v3 (section 4.3, Table 4)."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.train.corpus_run import CORPUS, CorpusRunSettings, begun, corpus_rows, planned
from jobs.train.data import open_split
from jobs.train.folder import RunFolder
from jobs.train.metrics import collect, held_out
from jobs.train.plan import Plan
from jobs.train.run import fit
from jobs.train.settings import OptimisationSettings
from jobs.train.vocabulary import tokenizer_folder
from knowlip.manifest import Manifest
from models.tasks.mae import MaeDesign, MaeSettings, MaeTask
from models.tasks.moco import MocoDesign, MocoSettings, MocoTask
from models.tasks.unlabelled import COLUMNS, UnlabelledTask

__all__ = ["BaselineSettings", "baseline"]

_SHOWN = ("reconstruction", "contrast", "instance_top1")


class BaselineSettings(CorpusRunSettings):
    """Pretrain by MAE or MoCo v3: a checkpoint that jobs.finetune takes, beside which jobs.pretrain's is held."""

    method: Literal["mae", "moco"] = "mae"
    """How it learns."""

    run: str = ""
    """Name of the run; its results lie in runs/NAME. The method's name by default."""

    mae: MaeDesign = MaeDesign()
    """What is special to MAE."""

    moco: MocoDesign = MocoDesign()
    """What is special to MoCo v3."""

    epochs: int = Field(36, ge=1)
    """Passes over the training split."""

    optimisation: OptimisationSettings = OptimisationSettings(schedule="cosine")
    """AdamW and its schedule."""


def baseline(settings: BaselineSettings) -> Summary:
    """Train a run, or go on with it, or say that it is done."""
    started, workspace = time.monotonic(), settings.opened()
    folder = RunFolder(workspace, settings.run or settings.method)
    rows, manifest = corpus_rows(settings, workspace), begun(settings, folder, "jobs.baseline")
    if settings.dry_run:
        steps = settings.epochs * max(1, rows["train"] // settings.train.batch_size)
        return Summary(f"Would pretrain by {settings.method}", {**rows, "epochs": settings.epochs, "steps": steps})
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Baseline (done before)", done.counts, where=workspace.uri(folder.artefact))
        plan = _plan(settings, folder, rows, manifest)
        splits = {split: open_split(workspace, CORPUS, split, COLUMNS, settings.scaling) for split in rows}
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
    return planned(settings, folder, task, rows, manifest, phase=settings.method, epochs=settings.epochs)


if __name__ == "__main__":
    run(BaselineSettings, baseline)
