"""Sweep: search a task's hyper-parameters with Ray Tune, each trial a fine-tuning run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.finetune import FinetuneSettings
from jobs.train.downstream import DOWNSTREAM
from jobs.train.folder import RunFolder
from jobs.train.labelled import Labelled
from jobs.train.settings import overlaid
from jobs.train.sweeping import Parameter, SearchSettings, Sweep, drawn, run_trials
from knowlip.archive import placed_checkpoint, placed_digest
from knowlip.benchmark.trials import trials_table
from knowlip.errors import DataError
from knowlip.manifest import Manifest
from knowlip.reporting import render
from knowlip.reporting.sections import sweep_section
from knowlip.settings import JobSettings, read_yaml
from knowlip.workspace import Workspace

__all__ = ["SweepSettings", "sweep"]


class SweepSettings(JobSettings):
    """Search the hyper-parameters of a downstream task; a sweep whose driver was killed goes on when started again.

    Leaves runs/NAME/: trials.parquet, sweep.html, best.yaml (which jobs.finetune takes), the best trial's checkpoint,
    and TensorBoard events of all trials below _tune/.
    """

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping

    run: str = ""
    """Name of the sweep; its results lie in runs/NAME. By default sweep-TASK."""

    finetune: str = "jobs/configs/finetune-classification.yaml"
    """Configuration of jobs.finetune from which all trials start."""

    changes: dict[str, Any] = Field(default_factory=dict)
    """What is changed in it for all trials, such as `epochs: 12`."""

    space: dict[str, Parameter] = Field(min_length=1)
    """What varies: dotted names of settings of jobs.finetune, each with a choice, or low and high."""

    search: SearchSettings = SearchSettings()
    """How trials are drawn, and when one is given up."""


def sweep(settings: SweepSettings) -> Summary:
    """Run a sweep, or go on with it, or say that it is done."""
    started, workspace = time.monotonic(), settings.opened()
    plan, first = _plan(settings)
    folder, data = RunFolder(workspace, plan.run), Labelled(workspace, first.data or first.task, first.split)
    data.rows()
    if settings.dry_run:
        counts = {"trials": settings.search.trials, "most epochs": settings.search.trials * first.epochs}
        trials = {f"trial {number}": str(one) for number, one in enumerate(drawn(plan, settings.search, 3))}
        return Summary(f"Would sweep {first.task}", {**counts, **trials})
    inputs = {**data.inputs(), "checkpoint": placed_digest(placed_checkpoint(workspace, first.checkpoint))}
    # What the file says now, not its name.
    shaping = {**settings.shaping(), "finetune": plan.base}
    manifest = Manifest(artefact=folder.artefact, job="jobs.sweep", settings=shaping, inputs=inputs)
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Sweep (done before)", done.counts, where=workspace.uri(folder.artefact))
        outcomes = run_trials(plan, settings.search, epochs=first.epochs)
        counts = _publish(workspace, folder, plan, outcomes)
        folder.complete(manifest, counts, time.monotonic() - started)
    failed = [f"{one['config']}: {one['error']}" for one in outcomes if one["status"] == "failed"]
    return Summary(f"Sweep of {first.task}", counts, failed, where=workspace.uri(folder.artefact))


def _plan(settings: SweepSettings) -> tuple[Sweep, Any]:
    """Return the sweep, and the settings of a trial of it.

    Raises:
        SettingsError: A name or value of the space is none of jobs.finetune's.
    """
    base = overlaid(read_yaml(Path(settings.finetune)), settings.changes)
    whole = {"workspace": settings.workspace, **base}
    shared = FinetuneSettings.filled(whole, where=settings.finetune, fix="mend it or --changes")
    task = DOWNSTREAM[shared.task].task
    name = settings.run or f"sweep-{task.name}"
    plan = Sweep(settings.workspace, name, base, settings.space, task.best_metric, task.higher_is_better)
    return plan, plan.trial({name: parameter.first for name, parameter in settings.space.items()})


def _publish(workspace: Workspace, folder: RunFolder, plan: Sweep, outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Write table, page, and the best trial's checkpoint and settings; return what the closing table says."""
    table = trials_table(outcomes)
    workspace.write_table(table, folder.artefact, "trials.parquet")
    page = render(f"Sweep {plan.run}", [sweep_section(table, plan.metric, higher_is_better=plan.higher_is_better)])
    workspace.write_bytes(page.encode(), folder.artefact, "sweep.html")
    for one in outcomes:
        workspace.delete(folder.artefact, plan.key(one["config"]), "_train")
    finished = [one for one in outcomes if one["status"] == "finished"]
    if not finished:
        reason = next((one["error"] for one in outcomes if one["error"]), "none reached its end")
        raise DataError(f"no trial finished: {reason}", where=workspace.uri(folder.artefact), fix="mend the space")
    best = (max if plan.higher_is_better else min)(finished, key=lambda one: one["value"])
    folder.adopt(plan.key(best["config"]))
    text = f"# The best of {len(outcomes)} trials: {plan.metric} {best['value']:.4f}.\n"
    text += yaml.safe_dump(plan.values(best["config"]), sort_keys=False)
    workspace.write_bytes(text.encode(), folder.artefact, "best.yaml")
    status = {name: sum(one["status"] == name for one in outcomes) for name in ("finished", "stopped", "failed")}
    return {"trials": len(outcomes), **status, f"best {plan.metric}": best["value"], "best": str(best["config"])}


if __name__ == "__main__":
    run(SweepSettings, sweep)
