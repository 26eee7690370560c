"""Trials of a sweep: what may vary, one fine-tuning run a trial, and Ray Tune around them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import pyarrow.fs as pafs
from pydantic import Field, model_validator
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch

from jobs.finetune import FinetuneSettings, tuned
from jobs.train.settings import overlaid
from knowlip.errors import WorkspaceError, cause_of
from knowlip.manifest import digest
from knowlip.settings import Section
from knowlip.workspace import Workspace

__all__ = ["Parameter", "SearchSettings", "Sweep", "drawn", "run_trials"]

_STORAGE = "_tune"


class Parameter(Section):
    """The values that a setting may take: one of a list, or a number between two."""

    choice: tuple[Any, ...] = ()
    """The values to choose from."""
    low: float | None = None
    """Smallest number."""
    high: float | None = None
    """Largest number."""
    log: bool = False
    """Draw evenly on a logarithmic scale."""
    integer: bool = False
    """Draw whole numbers; `high` is one of them."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.choice) == (self.low is not None and self.high is not None):
            raise ValueError("give either a choice, or low and high")
        if not self.choice and (self.low >= self.high or (self.log and self.low <= 0)):
            raise ValueError(f"low {self.low} must lie below high {self.high}, and above 0 on a logarithmic scale")
        return self

    @property
    def first(self) -> Any:
        """Return one of the values."""
        value = self.choice[0] if self.choice else self.low
        return int(value) if self.integer else value

    def domain(self) -> Any:
        """Return it as Ray Tune has it."""
        if self.choice:
            return tune.choice(list(self.choice))
        if self.integer:
            return (tune.lograndint if self.log else tune.randint)(int(self.low), int(self.high) + 1)
        return (tune.loguniform if self.log else tune.uniform)(self.low, self.high)


class SearchSettings(Section):
    """How trials are drawn, and when one is given up."""

    trials: int = Field(20, ge=1)
    """How many."""
    concurrent: int = Field(2, ge=1)
    """How many at a time."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Optuna's TPE learns from the trials before; `random` does not, so that its trials are the same ones even when
    several run at a time and end in another order."""
    startup: int = Field(10, ge=1)
    """Random trials before TPE begins."""
    grace_epochs: int = Field(1, ge=1)
    """Epochs that every trial completes."""
    reduction: float = Field(3.0, gt=1)
    """ASHA lets one of so many trials go on at each rung."""
    seed: int = Field(0, ge=0)
    """Decides which trials are drawn."""


@dataclass(frozen=True)
class Sweep:
    """What every trial needs to know.

    Attributes:
        root: The workspace.
        run: Name of the sweep's run; a trial's is RUN/KEY.
        base: Settings of `jobs.finetune` that all trials share.
        space: Dotted names of settings, with what they may be.
        metric: By which trials are judged.
        higher_is_better: Whether more of it is better.
    """

    root: str
    run: str
    base: Mapping[str, Any]
    space: Mapping[str, Parameter]
    metric: str
    higher_is_better: bool

    def values(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial as nested values.

        Args:
            config: Value of each setting that varies.
        """
        values = dict(self.base)
        for name, value in config.items():
            change: Any = value
            for part in reversed(name.split(".")):
                change = {part: change}
            values = overlaid(values, change)
        # A trial is judged by its best epoch, so that is what it keeps.
        kept = {"keep": "best", "save_every": values.get("train", {}).get("evaluate_every", 1)}
        return overlaid(values, {"train": kept})

    def trial(self, config: Mapping[str, Any]) -> FinetuneSettings:
        """Return the settings of a trial; equal ones share a run, so none is trained twice.

        Raises:
            SettingsError: They are none of `jobs.finetune`.
        """
        own = {"workspace": self.root, "run": f"{self.run}/{self.key(config)}"}
        return FinetuneSettings.filled(
            {**self.values(config), **own}, where="sweep", fix="mend --finetune, --space or --changes"
        )

    def domains(self) -> dict[str, Any]:
        """Return what varies as Ray Tune has it."""
        return {name: parameter.domain() for name, parameter in self.space.items()}

    def key(self, config: Mapping[str, Any]) -> str:
        """Return what names a trial's run."""
        return digest(dict(config))[:8]

    def score(self, workspace: Workspace, config: Mapping[str, Any]) -> float:
        """Return the best held-out value of a finished trial."""
        metrics = workspace.read_table("runs", self.run, self.key(config), "metrics.parquet").to_pylist()
        found = [row["value"] for row in metrics if row["phase"] == "val" and row["metric"] == self.metric]
        return max(found) if self.higher_is_better else min(found)


def run_trials(sweep: Sweep, search: SearchSettings, *, epochs: int) -> list[dict[str, Any]]:
    """Run the trials of a sweep, or go on with those that a killed driver left.

    Args:
        sweep: What is swept.
        search: How.
        epochs: Of a trial.

    Returns:
        One mapping a trial: ``config``, ``status`` (``finished``, ``stopped`` or ``failed``), ``epoch``, ``value``,
        ``seconds`` and ``error``, in the order in which they were drawn.

    Raises:
        WorkspaceError: A trial could not write: the disk is full, or the store does not answer.
    """
    workspace = Workspace(sweep.root)
    storage = workspace.path("runs", sweep.run, _STORAGE)
    trainable = tune.with_resources(tune.with_parameters(_trial, sweep=sweep), {"CPU": 0.1})
    place = f"{storage}/trials"
    if _was_begun(workspace, place):
        _say(f"sweep {sweep.run}: goes on")
        # Trials that failed are tried again: who starts a sweep again has mended something.
        tuner = tune.Tuner.restore(
            place, trainable, resume_unfinished=True, resume_errored=True, storage_filesystem=workspace.filesystem
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space=sweep.domains(),
            tune_config=_tune_config(sweep, search, epochs),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=storage,
                storage_filesystem=workspace.filesystem,
                callbacks=[_Teller(sweep.metric)],
                verbose=0,
            ),
        )
    try:
        results = list(tuner.fit())
        for result in results:
            if (problem := cause_of(result.error, WorkspaceError)) is not None:
                raise problem  # no fault of the trial's
    except Exception:
        _check_room(workspace, sweep)
        raise
    return [_outcome(workspace, sweep, result) for result in results]


def drawn(sweep: Sweep, search: SearchSettings, count: int) -> list[dict[str, Any]]:
    """Return the first trials of a sweep, which no result has influenced yet.

    Args:
        sweep: What is swept.
        search: How.
        count: How many; at most those before TPE begins.
    """
    searcher = _searcher(search)
    searcher.set_search_properties(sweep.metric, _mode(sweep), sweep.domains())
    most = search.startup if search.sampler == "tpe" else count
    return [dict(searcher.suggest(str(number)) or {}) for number in range(min(count, most, search.trials))]


def _searcher(search: SearchSettings) -> OptunaSearch:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if search.sampler == "random":
        return OptunaSearch(sampler=optuna.samplers.RandomSampler(seed=search.seed))
    return OptunaSearch(sampler=optuna.samplers.TPESampler(n_startup_trials=search.startup, seed=search.seed))


def _mode(sweep: Sweep) -> str:
    return "max" if sweep.higher_is_better else "min"


def _tune_config(sweep: Sweep, search: SearchSettings, epochs: int) -> tune.TuneConfig:
    # A trial ends by itself: stopped at its last epoch it could not publish its checkpoint.
    asha = AsyncHyperBandScheduler(
        time_attr="epoch",
        max_t=epochs + 1,
        grace_period=min(search.grace_epochs, epochs),
        reduction_factor=search.reduction,
        stop_last_trials=False,
    )
    return tune.TuneConfig(
        metric=sweep.metric,
        mode=_mode(sweep),
        search_alg=_searcher(search),
        scheduler=asha,
        num_samples=search.trials,
        max_concurrent_trials=search.concurrent,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )


def _trial(config: dict[str, Any], sweep: Sweep) -> None:
    """Fine-tune once: a Ray Train run that tells Tune of its epochs, and goes on where it was when it is restored."""
    settings = sweep.trial(config)
    tuned(settings, [TuneReportCallback()])
    # The figure of the checkpoint that is kept; also of a trial that was finished before.
    tune.report({"epoch": settings.epochs, sweep.metric: sweep.score(Workspace(sweep.root), config)})


def _outcome(workspace: Workspace, sweep: Sweep, result: tune.Result) -> dict[str, Any]:
    metrics, config = result.metrics or {}, dict(result.config or {})
    done = workspace.exists("runs", sweep.run, sweep.key(config), "manifest.json")
    return {
        "config": config,
        "status": "failed" if result.error else "finished" if done else "stopped",
        "epoch": metrics.get("epoch"),
        "value": metrics.get(sweep.metric),
        "seconds": metrics.get("time_total_s"),
        "error": _line(result.error) if result.error else None,
    }


def _check_room(workspace: Workspace, sweep: Sweep) -> None:
    """Say in one line that the disk is full, where it is, and remove what Tune could not write whole.

    The same trials are then drawn anew, and the finished ones only read.
    """
    try:
        workspace.write_bytes(bytes(1 << 20), "runs", sweep.run, _STORAGE, "room")
    except WorkspaceError as error:
        if error.code == "disk_full":
            workspace.delete("runs", sweep.run, _STORAGE)
        raise
    workspace.delete("runs", sweep.run, _STORAGE, "room")


def _line(error: BaseException) -> str:
    """Return what a person should read of an error that Ray wrapped: the last line, without the class's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^[\w.]+(?:Error|Exception): ", "", lines[-1]) if lines else type(error).__name__


def _was_begun(workspace: Workspace, place: str) -> bool:
    """Tell whether Tune left a state that it can go on from; killed at the very start it leaves none."""
    selector = pafs.FileSelector(place, allow_not_found=True)
    names = {info.base_name for info in workspace.filesystem.get_file_info(selector)}
    return "tuner.pkl" in names and any(name.startswith("experiment_state-") for name in names)


class _Teller(tune.Callback):
    """Says when a trial ends.

    Args:
        metric: What is said of it.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Say what a trial reached."""
        last = trial.last_result or {}
        value = last.get(self._metric, float("nan"))
        _say(f"trial {trial.trial_id}  epoch {last.get('epoch')}  {self._metric} {value:.3f}  {trial.config}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Say that a trial failed."""
        _say(f"trial {trial.trial_id}  failed  {trial.config}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
