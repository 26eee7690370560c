"""What the loop notes at every step without waiting for the device, and reads only at a status line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from knowlip.errors import DataError
from models.tasks.protocol import Batch

__all__ = ["Meter", "Reading"]

Reading = dict[str, float]
"""Mean losses of the steps since the last reading, the share of the texts that was ``cut`` to fit, how many examples
were ``skipped`` as unusable, ``samples_per_s``, ``data_wait_share``, ``memory_gb``, and ``mfu`` on a GPU whose peak is
known."""


class Meter:
    """Losses, ids and seconds since the last reading.

    Args:
        device: Where the losses lie.
        peak_flops: What the device can do in a second, where that is known.
    """

    def __init__(self, device: torch.device, peak_flops: float | None = None) -> None:
        self._device, self._peak = device, peak_flops
        self._clear()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time as waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    def add(self, losses: Mapping[str, Tensor], batch: Batch, samples: int, flops: float = 0.0) -> None:
        """Note a step's losses (left on the device), whose they are, and how many examples all workers saw.

        Args:
            losses: By name.
            batch: This worker's.
            samples: Examples of all workers.
            flops: Operations that this worker's batch asked for; 0 where they are not counted.
        """
        self._names = list(losses)
        self._losses.append(torch.stack([loss.detach().float() for loss in losses.values()]))
        self._ids.append([str(name) for name in batch.get("tile_id") or batch.get("example_id") or []])
        self._skipped += len(batch.get("skipped", []))
        self._cut += batch.get("cut", 0.0)
        self._samples += samples
        self._flops += flops

    def read(self) -> Reading:
        """Read the losses, averaged over steps and workers; every worker must call this at the same step.

        Raises:
            DataError: A loss was not finite; the line names the first such batch's ids, on every worker.
        """
        if not self._losses:
            return {}
        table = torch.stack(self._losses)
        self._check(table)
        cut = self._cut / len(self._losses)
        means = torch.cat([table.mean(dim=0), table.new_tensor([cut, float(self._skipped)])])
        if dist.is_initialized():
            dist.all_reduce(means)
            means[:-1] /= dist.get_world_size()
        seconds = max(time.perf_counter() - self._started, 1e-9)
        reading = dict(zip([*self._names, "cut", "skipped"], means.tolist(), strict=True))
        reading["samples_per_s"] = self._samples / seconds
        reading["data_wait_share"] = self._waited / seconds
        reading["memory_gb"] = _memory_gb(self._device)
        if self._peak and self._flops:
            reading["mfu"] = self._flops / seconds / self._peak
        self._clear()
        return reading

    def _clear(self) -> None:
        self._names: list[str] = []
        self._losses: list[Tensor] = []
        self._ids: list[list[str]] = []
        self._samples = 0
        self._flops = 0.0
        self._skipped = 0
        self._cut = 0.0
        self._waited = 0.0
        self._started = time.perf_counter()

    def _check(self, losses: Tensor) -> None:
        """Find the first step, over all workers, whose loss is not finite."""
        bad = (~losses.isfinite()).any(dim=1)
        first = torch.where(bad.any(), bad.int().argmax(), len(bad)).to(torch.int64)
        if dist.is_initialized():
            dist.all_reduce(first, op=dist.ReduceOp.MIN)
        step = int(first)
        if step == len(bad):
            return
        mine = self._ids[step] if bool(bad[step]) else []
        found = [mine]
        if dist.is_initialized():
            found = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(found, mine)
        ids = [name for names in found for name in names]
        raise DataError(
            f"a loss is not finite in the batch of {', '.join(ids)}",
            where="training",
            fix="look at these examples or lower optimisation.learning_rate; the last checkpoint is kept",
            code="loss_not_finite",
        )


def _memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
