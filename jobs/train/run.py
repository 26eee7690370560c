"""Ray Train around the loop: where a run's state lies, how it survives, and what comes out."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace

import ray
from ray.data import Dataset, ExecutionOptions
from ray.train import (
    Checkpoint,
    CheckpointConfig,
    DataConfig,
    FailureConfig,
    Result,
    RunConfig,
    ScalingConfig,
    UserCallback,
)
from ray.train.torch import TorchTrainer
from ray.train.v2.api.config import LoggingConfig
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

from jobs.train.plan import Plan
from jobs.train.settings import ScalingSettings, TrainSettings
from knowlip.errors import DataError, KnowlipError, SettingsError, cause_of

__all__ = ["check_batch", "fit", "takes_gpus"]


def fit(plan: Plan, datasets: dict[str, Dataset], callbacks: Sequence[UserCallback] = ()) -> Checkpoint:
    """Train one phase, or go on with it, and return its result.

    A phase that was killed, driver and all, goes on from its last checkpoint when it is asked for again.

    Args:
        plan: The phase.
        datasets: ``train``, and ``val`` where there is a held-out split.
        callbacks: Are told of every epoch.

    Returns:
        A checkpoint with ``state/`` (for the next phase) and ``model/`` (for `models.load`).

    Raises:
        KnowlipError: What stopped the run, where a person can mend it.
        TrainingFailedError: Workers failed more often than `ScalingSettings.max_failures`.
    """
    gpu = takes_gpus(plan.scaling)
    check_batch(plan.train, plan.scaling, plan.rows["train"])
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    for dataset in datasets.values():
        # An epoch's stream is no progress of its own: the loop's status line tells it.
        dataset.context.enable_progress_bars = False
    settled = replace(plan, scaling=plan.scaling.model_copy(update={"gpu": "yes" if gpu else "no"}))
    trainer = TorchTrainer(
        _enter,
        # Sealed: Ray Train's controller holds this too, and would import the whole model to read it.
        train_loop_config={"plan": ray.cloudpickle.dumps(settled)},
        scaling_config=ScalingConfig(
            num_workers=plan.scaling.workers,
            use_gpu=gpu,
            resources_per_worker={
                "CPU": plan.scaling.cpus_per_worker,
                **({"GPU": plan.scaling.gpus_per_worker} if gpu else {}),
            },
        ),
        run_config=_run_config(plan, callbacks),
        datasets=datasets,
        # Only the training split is dealt out: of a held-out one, every worker takes each n-th batch. Order is kept so
        # that a seed decides which rows meet in a batch.
        dataset_config=DataConfig(["train"], execution_options=ExecutionOptions(preserve_order=True)),
    )
    try:
        result = trainer.fit()
    except TrainingFailedError as error:
        raise _ours(error) or error from error
    if isinstance(result.return_value, KnowlipError):
        raise result.return_value
    return _chosen(plan, result)


def takes_gpus(scaling: ScalingSettings) -> bool:
    """Return whether the run takes GPUs.

    Raises:
        SettingsError: The settings ask for GPUs that the cluster has not.
    """
    there, wanted = ray.cluster_resources().get("GPU", 0.0), scaling.workers * scaling.gpus_per_worker
    gpu = scaling.gpu == "yes" or (scaling.gpu == "auto" and there >= wanted)
    if scaling.gpu == "yes" and there < wanted:
        raise SettingsError(
            f"{scaling.workers} workers need {wanted:g} GPUs, the cluster has {there:g}",
            where="scaling.gpu",
            fix="lower scaling.workers or set scaling.gpu to auto or no",
        )
    if scaling.precision == "bfloat16" and not gpu:
        raise SettingsError("bfloat16 needs GPUs", where="scaling.precision", fix="set it to float32")
    return gpu


def check_batch(train: TrainSettings, scaling: ScalingSettings, rows: int) -> None:
    """Check that a step can be dealt out to the workers.

    Raises:
        SettingsError: The batch does not divide.
        DataError: There are fewer examples than one step needs.
    """
    shares = scaling.workers * scaling.accumulation
    if train.batch_size % shares:
        raise SettingsError(
            f"{train.batch_size} is not a multiple of workers × accumulation = {shares}",
            where="train.batch_size",
            fix="change one of them",
        )
    if rows < 2 * shares:
        raise DataError(
            f"has {rows} examples, {shares} workers × accumulation need {2 * shares} or more",
            where="the training split",
            fix="add data or lower scaling.workers",
            code="too_few",
        )


def _enter(config: dict[str, bytes]) -> KnowlipError | None:
    """Run the loop in a worker; DeepSpeed is imported there alone, and told what it would otherwise guess aloud."""
    plan: Plan = ray.cloudpickle.loads(config["plan"])
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if plan.scaling.gpu == "yes" else "cpu")
    # Ray Train logs its reports to a logger outside its own family, at a level that it gives the root.
    for name in ("", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    from jobs.train.loop import train_worker

    return train_worker(plan)


def _run_config(plan: Plan, callbacks: Sequence[UserCallback]) -> RunConfig:
    scored = plan.train.keep == "best" and bool(plan.rows.get("val"))
    return RunConfig(
        name=plan.state[-1],
        storage_path=plan.workspace.path(*plan.state[:-1]),
        storage_filesystem=plan.workspace.filesystem,
        failure_config=FailureConfig(max_failures=plan.scaling.max_failures),
        # Ray keeps the newest checkpoint besides the ones asked for.
        checkpoint_config=CheckpointConfig(
            num_to_keep=1,
            checkpoint_score_attribute=plan.task.best_metric if scored else None,
            checkpoint_score_order="max" if plan.task.higher_is_better else "min",
        ),
        logging_config=LoggingConfig(log_level="WARNING"),
        callbacks=list(callbacks),
    )


def _chosen(plan: Plan, result: Result) -> Checkpoint:
    best = result.best_checkpoints or []
    if plan.train.keep == "best" and plan.rows.get("val") and best:
        return max(best, key=lambda item: _score(plan, item[1]))[0]
    if result.checkpoint is None:
        raise DataError("left no checkpoint", where=plan.phase, fix="start the job again")
    return result.checkpoint


def _score(plan: Plan, metrics: dict[str, float]) -> float:
    value = metrics.get(plan.task.best_metric)
    if value is None:
        return float("-inf")
    return value if plan.task.higher_is_better else -value


def _ours(error: TrainingFailedError) -> KnowlipError | None:
    """Find our own error among what the workers raised."""
    failures = error.worker_failures.values() if isinstance(error, WorkerGroupError) else []
    return next((found for failure in failures if (found := cause_of(failure, KnowlipError))), None)
