"""Batches are decided by seed, epoch and rank; every row is met once an epoch, held or streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.train.batches import Feed
from jobs.train.plan import Plan


class Shard:
    """Stands in for a worker's Ray Data shard."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def iter_batches(self, **asked: Any) -> Iterator[Any]:
        if asked["batch_size"] is None:
            yield from (self.table.slice(0, 10), self.table.slice(10))
            return
        order = np.arange(len(self.table))
        if asked.get("local_shuffle_seed") is not None:
            order = np.random.default_rng(asked["local_shuffle_seed"]).permutation(order)
        size = asked["batch_size"]
        for start in range(0, len(order) - (size - 1 if asked.get("drop_last") else 0), size):
            part = self.table.take(pa.array(order[start : start + size]))
            yield {name: part[name].to_numpy() for name in part.column_names}


def feed(make_plan: Callable[..., Any], *, held: bool, rank: int = 0, workers: int = 2) -> Feed:
    plan: Plan = make_plan(scaling={"workers": workers})[0]
    rows = plan.workspace.read_table("datasets/points", columns=["example_id", "x", "y"])
    shards = {"train": Shard(rows.slice(32 * rank, 32)), "val": Shard(rows.slice(64))}
    return Feed(replace(plan, held=held), rank, shards)


def names(batches: Iterator[dict[str, Any]]) -> list[list[str]]:
    return [batch["example_id"] for batch in batches]


def test_an_epoch_meets_every_row_once_in_an_order_of_its_own(ray_cluster: None, make_plan: Callable[..., Any]) -> None:
    for held in (True, False):
        one = feed(make_plan, held=held)
        first, again, later = (
            names(one.training(0)),
            names(feed(make_plan, held=held).training(0)),
            names(one.training(1)),
        )
        assert first == again != later
        assert all(len(batch) == 8 for batch in first)
        assert {name for batch in first for name in batch} == {f"point-{index:03d}" for index in range(32)}


def test_held_out_rows_are_shared_out_whole_and_in_order(ray_cluster: None, make_plan: Callable[..., Any]) -> None:
    for held in (True, False):
        shares = [names(feed(make_plan, held=held, rank=rank).held_out("val")) for rank in (0, 1)]
        assert sorted(name for share in shares for batch in share for name in batch) == [
            f"point-{index:03d}" for index in range(64, 72)
        ]
