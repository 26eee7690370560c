"""Batches of a worker's shard, made ready in threads while the step computes."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
from ray.data import DataIterator

from jobs.train.plan import Plan
from models.tasks.protocol import Batch

__all__ = ["Feed", "generator_for", "on_device"]

_HELD_OUT_BATCH = 64

Columns = Mapping[str, np.ndarray]


class Feed:
    """One worker's batches.

    Args:
        plan: What is trained, on how much.
        rank: This worker's number.
        shards: The worker's part of each split: its share of ``train``, the whole of ``val`` and ``test``.
        pinned: Lay batches in page-locked memory, from where a GPU fetches them while it computes.
    """

    def __init__(self, plan: Plan, rank: int, shards: Mapping[str, DataIterator], *, pinned: bool = False) -> None:
        self._plan, self._rank, self._shards, self._pinned = plan, rank, shards, pinned
        self._held = cache(self._read)

    def training(self, epoch: int) -> Iterator[Batch]:
        """Yield the shuffled, augmented batches of an epoch: the same ones for the same seed, epoch and rank."""
        train, size = self._plan.train, self._plan.micro_batch
        seed = _seed(train.seed, epoch, self._rank)
        if self._plan.held:
            order = np.random.default_rng(seed).permutation(len(self._held("train")))
            columns: Iterable[Columns] = _sliced(self._held("train"), size, order if train.shuffle_rows else None)
        else:
            columns = self._shards["train"].iter_batches(
                batch_size=size,
                batch_format="numpy",
                prefetch_batches=self._plan.scaling.prefetch_batches,
                drop_last=True,
                local_shuffle_buffer_size=train.shuffle_rows or None,
                local_shuffle_seed=seed % 2**32,
            )
        return self._collated(iter(columns), epoch=epoch, train=True)

    def held_out(self, split: str) -> Iterator[Batch]:
        """Yield this worker's share of a held-out split: every n-th batch, in order, the same every time."""
        workers = self._plan.scaling.workers
        size = max(1, min(_HELD_OUT_BATCH, -(-self._plan.rows[split] // workers)))
        if self._plan.held:
            columns: Iterable[Columns] = _sliced(self._held(split), size)
        else:
            columns = self._shards[split].iter_batches(batch_size=size, batch_format="numpy")
        return self._collated(islice(iter(columns), self._rank, None, workers), epoch=0, train=False)

    def _read(self, split: str) -> pa.Table:
        """Read a shard into memory, once."""
        parts = self._shards[split].iter_batches(batch_size=None, batch_format="pyarrow")
        return pa.concat_tables(list(parts), promote_options="default").combine_chunks()

    def _collated(self, columns: Iterator[Columns], *, epoch: int, train: bool) -> Iterator[Batch]:
        ahead = max(1, self._plan.scaling.prefetch_batches)
        pending: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="collate") as pool:
            for rows in columns:
                # A generator for each batch: what a row becomes depends on neither thread nor worker.
                generator = generator_for(self._plan.train.seed, epoch)
                pending.append(pool.submit(self._batch, rows, generator, train=train))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _batch(self, rows: Columns, generator: torch.Generator, *, train: bool) -> Batch:
        batch = self._plan.task.collate(rows, train=train, generator=generator)
        if not self._pinned:
            return batch
        return {name: value.pin_memory() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def generator_for(*parts: int) -> torch.Generator:
    """Return a generator that is decided by some numbers and by nothing else."""
    return torch.Generator().manual_seed(_seed(*parts))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on a device."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }


def _sliced(table: pa.Table, size: int, order: np.ndarray | None = None) -> Iterator[Columns]:
    """Yield the columns of consecutive rows, or of rows in a given order (then only whole batches)."""
    count = len(table) if order is None else len(order) - len(order) % size
    for start in range(0, count, size):
        part = table.slice(start, size) if order is None else table.take(pa.array(order[start : start + size]))
        yield {name: _column(part[name]) for name in part.column_names}


def _column(values: pa.ChunkedArray) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")
