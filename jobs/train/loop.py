"""The one training loop: pretraining, its SCIO phases, baselines and every downstream task pass through it.

It runs in each worker of a Ray Train `TorchTrainer`. What is learned is the task's; order, optimiser, schedule,
checkpoints and the clock are the loop's. Nothing in a step waits for the device: losses stay there until a status line.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint

from jobs.metrics import observe
from jobs.train import checkpointing
from jobs.train.batches import Feed, on_device
from jobs.train.checkpointing import Progress
from jobs.train.engine import TaskModule, start_engine
from jobs.train.meter import Meter, Reading
from jobs.train.metrics import MetricsLog
from jobs.train.peaks import peak_flops
from jobs.train.plan import Plan
from jobs.train.schedule import Schedule
from knowlip.errors import CheckpointError, DataError, KnowlipError, SettingsError
from models.tasks.protocol import Batch, Counted

__all__ = ["train_worker"]

_MACHINE = ("samples_per_s", "data_wait_share", "memory_gb", "mfu")
"""What a reading says of the machine, not of what is learned."""


def train_worker(plan: Plan) -> KnowlipError | None:
    """Train one phase in this worker.

    Returns:
        What stopped the run, where all workers agree on it and trying again would not help; raising would make Ray
        Train replace them and try.
    """
    try:
        with closing(_Worker(plan)) as worker:
            for epoch in range(worker.progress.epoch, plan.last_epoch):
                worker.train_epoch(epoch)
                figures = worker.evaluate(epoch)
                worker.save(figures)
    except (CheckpointError, DataError) as problem:
        if isinstance(problem, CheckpointError) or problem.code == "loss_not_finite":
            return problem
        raise
    except torch.OutOfMemoryError as error:
        tried = re.search(r"Tried to allocate [\d.]+ \w+", str(error))
        problem = SettingsError(
            f"{plan.micro_batch} examples at once do not fit the GPU ({tried[0] if tried else 'out of memory'})",
            where="train.batch_size",
            fix="lower it, raise scaling.accumulation or scaling.workers, or set checkpoint_activations",
        )
        if plan.scaling.workers == 1:
            return problem
        raise problem from error  # the other workers wait for this one, and are ended by that
    return None


class _Worker:
    """One process of the run: its network, engine and clock."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        context = ray.train.get_context()
        self.rank = context.get_world_rank()
        self.device = ray.train.torch.get_device()
        share = max(1, (os.cpu_count() or 1) // context.get_local_world_size())
        torch.set_num_threads(plan.scaling.threads or share)
        torch.manual_seed(plan.train.seed)
        self.network = plan.task.build()
        self.module = TaskModule(plan.task, self.network, plan.scaling.precision)
        self.progress, self.best = Progress(), float("-inf")
        self._start_or_go_on()
        shards = {split: ray.train.get_dataset_shard(split) for split in plan.rows}
        self.feed = Feed(plan, self.rank, shards, pinned=self.device.type == "cuda")
        self.schedule = Schedule(plan.optimisation, plan.steps_per_epoch, plan.all_epochs)
        self.log = MetricsLog(plan.workspace, plan.run, plan.phase) if self.rank == 0 else None

    def _start_or_go_on(self) -> None:
        """Start the engine from the newest checkpoint of this phase, or the last one's, or fresh."""
        plan, own = self.plan, ray.train.get_checkpoint()
        checkpoint = own or plan.start
        if checkpoint is None:
            self.engine = self._engine()
            checkpointing.allocate_moments(self.engine)
            return
        with checkpoint.as_directory() as folder:
            state = Path(folder) / "state"
            done = checkpointing.read_progress(state)
            checkpointing.restore_weights(state, self.network)
            self.engine = self._engine()
            checkpointing.restore_moments(state, self.engine, self.network, done.step)
        # The best weights of the phase before may be older than its end; this phase has its epochs all the same.
        steps = plan.first_epoch * plan.steps_per_epoch
        self.progress = done if own else Progress(plan.first_epoch, steps, steps * plan.samples_per_step)

    def _engine(self) -> Any:
        plan = self.plan
        return start_engine(self.module, plan.optimisation, plan.scaling, micro_batch_size=plan.micro_batch)

    def close(self) -> None:
        """Remove temporary files."""
        if self.log is not None:
            self.log.close()

    def train_epoch(self, epoch: int) -> None:
        """Pass once over this worker's shard."""
        plan, engine, task = self.plan, self.engine, self.plan.task
        torch.manual_seed(plan.train.seed * 1_000_003 + epoch * 1009 + self.rank)
        engine.train()
        meter = Meter(self.device, peak_flops(self.device, plan.scaling.precision))
        step, samples, started = self.progress.step, self.progress.samples, time.perf_counter()
        batches = self.feed.training(epoch)
        for _ in range(plan.steps_per_epoch):
            _set_rate(engine, self.schedule.rate(step))
            for _ in range(plan.scaling.accumulation):
                with meter.waiting():
                    batch = self._next(batches)
                losses = engine(batch)
                engine.backward(sum(losses.values()))
                engine.step()
                flops = task.flops(batch) if isinstance(task, Counted) else 0.0
                meter.add(losses, batch, plan.samples_per_step // plan.scaling.accumulation, flops)
            task.after_step()
            step, samples = step + 1, samples + plan.samples_per_step
            if step % plan.train.log_every == 0:
                self._report(meter.read(), epoch, step, started)
        self._report(meter.read(), epoch, step, started)
        batches.close()
        self.progress = Progress(epoch + 1, step, samples)

    def _next(self, batches: Iterator[Batch]) -> Batch:
        batch = next(batches, None)
        if batch is None:
            raise DataError(
                "holds fewer examples than were counted",
                where="the training split",
                fix="do not change it during a run",
            )
        return on_device(batch, self.device)

    def evaluate(self, epoch: int) -> dict[str, float]:
        """Score the held-out splits; every worker takes a share, and all get the same figures.

        Returns:
            Those of ``val``, by which the best weights are chosen.
        """
        plan = self.plan
        due = (epoch + 1) % plan.train.evaluate_every == 0 or epoch + 1 == plan.last_epoch
        if not due:
            return {}
        figures = self._scored("val") if plan.rows.get("val") else {}
        if self._may_be_kept(figures) and plan.rows.get("test"):
            self._scored("test")
        return figures

    def _scored(self, split: str) -> dict[str, float]:
        plan, epoch = self.plan, self.progress.epoch
        self.engine.eval()
        with torch.no_grad(), self.module.autocast():
            for batch in self.feed.held_out(split):
                plan.task.evaluate(on_device(batch, self.device))
            figures = plan.task.metrics()
        if self.log is not None:
            self.log.add(figures, epoch=epoch, step=self.progress.step, phase=split)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            _say(f"{plan.phase}  epoch {epoch}/{plan.last_epoch}  {split}: {shown}")
        return figures

    def _may_be_kept(self, figures: dict[str, float]) -> bool:
        """Whether these weights are the last ones, or the best saved: the test split is looked at for no others.

        A run that goes on does not know the best figure from before, so it looks once more.
        """
        plan = self.plan
        if plan.train.keep == "last" or not figures:
            return self.progress.epoch == plan.last_epoch
        if not self._is_saved():
            return False
        figure = figures.get(plan.task.best_metric, float("-inf"))
        figure = figure if plan.task.higher_is_better else -figure
        best, self.best = self.best, max(self.best, figure)
        return figure >= best

    def _is_saved(self) -> bool:
        """Whether the epoch that was trained last leaves a checkpoint."""
        plan, epoch = self.plan, self.progress.epoch
        return epoch % plan.train.save_every == 0 or epoch == plan.last_epoch

    def save(self, figures: dict[str, float]) -> None:
        """Save and report the epoch; the report is also where the workers meet."""
        plan, epoch = self.plan, self.progress.epoch
        if self.log is not None:
            self.log.flush(epoch)
        if not self._is_saved():
            ray.train.report({"epoch": epoch, **figures})
            return
        with tempfile.TemporaryDirectory(prefix="knowlip-checkpoint-") as name:
            folder = Path(name)
            writes = self.rank == 0
            checkpointing.save(folder / "state", self.engine, self.network, self.progress, writes=writes)
            if writes and (epoch == plan.last_epoch or plan.train.keep == "best"):
                plan.task.export(folder / "model", {**plan.manifest, "epoch": epoch, "step": self.progress.step})
            checkpoint = Checkpoint.from_directory(name) if writes else None
            upload = None if plan.workspace.is_local else self._upload
            ray.train.report({"epoch": epoch, **figures}, checkpoint=checkpoint, checkpoint_upload_fn=upload)

    def _upload(self, checkpoint: Checkpoint, name: str) -> Checkpoint:
        """Put a checkpoint where Ray Train expects it: its own copying says nothing of an upload that fails."""
        plan = self.plan
        place = (*plan.state, name)
        plan.workspace.write_folder(Path(checkpoint.path), *place)
        return Checkpoint(plan.workspace.path(*place), plan.workspace.filesystem)

    def _report(self, reading: Reading, epoch: int, step: int, started: float) -> None:
        """Print a status line and note its figures."""
        if self.log is None or not reading:
            return
        plan, rate = self.plan, self.schedule.rate(step - 1)
        self.log.add({**reading, "learning_rate": rate}, epoch=epoch + 1, step=step)
        place = {"run": plan.run.removeprefix("runs/"), "phase": plan.phase}
        for name in _MACHINE:
            if name in reading:
                observe(f"knowlip_train_{name}", reading[name], **place)
        observe("knowlip_train_step", step, **place)
        done = step - self.progress.step
        left = (plan.last_epoch - epoch) * plan.steps_per_epoch - done
        eta = left * (time.perf_counter() - started) / max(done, 1)
        _say(_status(plan, reading, epoch, step, rate, eta))


def _status(plan: Plan, reading: Reading, epoch: int, step: int, rate: float, eta: float) -> str:
    apart = ("cut", "skipped", *_MACHINE)
    losses = "  ".join(f"{name} {value:.3f}" for name, value in reading.items() if name not in apart)
    cut = f"cut {reading['cut']:.1%}  " if reading["cut"] else ""
    used = f"MFU {reading['mfu']:.1%}  " if "mfu" in reading else ""
    return (
        f"{plan.phase}  epoch {epoch + 1}/{plan.last_epoch}  step {step}  {losses}  {cut}lr {rate:.1e}  "
        f"{reading['samples_per_s']:.0f} samples/s  data wait {reading['data_wait_share']:.1%}  "
        f"{used}{reading['memory_gb']:.1f} GB  ETA {int(eta // 60)}:{int(eta % 60):02d}"
    )


def _set_rate(engine: Any, rate: float) -> None:
    for group in engine.optimizer.param_groups:
        group["lr"] = rate


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # Ray Train patches print and would show the line twice
    sys.stdout.flush()
