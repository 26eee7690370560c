"""A task small enough to train in a test: a plane through points, with a moving average that follows it."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch
from torch import Tensor, nn

from jobs.train.data import count, held_in_memory, open_split
from jobs.train.plan import Plan
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings
from knowlip.workspace import Workspace

# Workers cannot import this file, so what is defined here travels whole.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class PlaneNetwork(nn.Module):
    """Two layers with a norm, a frozen average of the last one, and a counter: all that a checkpoint must carry."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 1)
        self.average = copy.deepcopy(self.out).requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.hidden(x))).squeeze(-1)


class PlaneTask:
    """Fits a plane.

    Args:
        poison: Example whose loss is not a number.
        die_at: Optimiser step at which the process dies, if `marker` does not exist yet.
        marker: File that is made just before dying.
        full: Whether the device's memory does not hold a batch.
        said: Errors that it claims, one a scored split; without, the true ones.
    """

    name, best_metric, higher_is_better = "plane", "error", False

    def __init__(
        self, poison: str = "", die_at: int = 0, marker: str = "", full: bool = False, said: tuple[float, ...] = ()
    ) -> None:
        self.poison, self.die_at, self.marker, self.full, self.said = poison, die_at, marker, full, list(said)
        self.errors: list[float] = []

    def build(self) -> nn.Module:
        self.network = PlaneNetwork()
        return self.network

    def collate(self, columns: Mapping[str, np.ndarray], **_: Any) -> dict[str, Any]:
        x = torch.from_numpy(np.stack(list(columns["x"])).astype(np.float32))
        y = torch.from_numpy(columns["y"].astype(np.float32))
        return {"x": x, "y": y, "example_id": [str(name) for name in columns["example_id"]]}

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        if self.full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 72.00 MiB. GPU 0 is full. See the docs")
        square = (self.network(batch["x"]) - batch["y"]).square().mean()
        if self.poison in batch["example_id"]:
            square = square * float("nan")
        return {"square": square, "size": 0.01 * self.network.out.weight.square().sum()}

    @torch.no_grad()
    def after_step(self) -> None:
        self.network.seen += 1
        for slow, fast in zip(self.network.average.parameters(), self.network.out.parameters(), strict=True):
            slow.lerp_(fast, 0.1)
        if int(self.network.seen) == self.die_at and not Path(self.marker).exists():
            Path(self.marker).touch()
            os._exit(1)

    def evaluate(self, batch: dict[str, Any]) -> None:
        self.errors.append((self.network(batch["x"]) - batch["y"]).abs().mean().item())

    def metrics(self) -> dict[str, float]:
        errors, self.errors = self.errors, []
        return {"error": self.said.pop(0) if self.said else float(np.mean(errors))}

    def export(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "manifest.json").write_text(json.dumps(dict(manifest)))


@pytest.fixture
def points(workspace_root: str) -> Workspace:
    """A workspace whose `datasets/points` holds 64 training and 8 held-out points of one plane."""
    workspace = Workspace(workspace_root)
    x = np.random.default_rng(0).normal(size=(72, 3)).astype(np.float32)
    table = pa.table(
        {
            "example_id": [f"point-{index:03d}" for index in range(72)],
            "split": ["train"] * 64 + ["val"] * 8,
            "x": list(x),
            "y": x @ np.array([1.0, -2.0, 0.5], dtype=np.float32) + 0.25,
        }
    )
    workspace.write_table(table.slice(0, 40), "datasets/points", "part-0.parquet")
    workspace.write_table(table.slice(40), "datasets/points", "part-1.parquet")
    return workspace


@pytest.fixture
def plane_task() -> type[PlaneTask]:
    """The task's class."""
    return PlaneTask


@pytest.fixture
def make_plan(points: Workspace) -> Callable[..., tuple[Plan, dict[str, Any]]]:
    """Make a plan on the points, and its datasets."""

    def make(task: Any = None, *, phase: str = "phase", **changes: Any) -> tuple[Plan, dict[str, Any]]:
        train = {"batch_size": 16, "log_every": 1, **changes.pop("train", {})}
        scaling = {"workers": 1, "zero_stage": 1, "max_failures": 0, **changes.pop("scaling", {})}
        optimisation = {"learning_rate": 0.02, "warmup_steps": 2, **changes.pop("optimisation", {})}
        epochs, splits = changes.pop("epochs", 2), changes.pop("splits", ("train", "val"))
        plan = Plan(
            task=task or PlaneTask(),
            phase=phase,
            workspace=points,
            run="runs/plane",
            optimisation=OptimisationSettings(**optimisation),
            train=TrainSettings(**train),
            scaling=ScalingSettings(**scaling),
            rows=count(points, "datasets/points", splits),
            held=held_in_memory(points, "datasets/points", scaling.get("hold_mb", 256)),
            **{"epochs": epochs, "all_epochs": epochs, **changes},
        )
        columns = ["example_id", "x", "y"]
        return plan, {name: open_split(points, "datasets/points", name, columns, plan.scaling) for name in splits}

    return make
