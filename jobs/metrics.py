"""What jobs count while they run, for Prometheus: Ray exports it from every node, with ``ray_`` before the name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from ray.util import metrics

__all__ = ["METRICS", "Metric", "count", "exported_name", "observe"]


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        kind: A ``counter`` only grows, a ``gauge`` is the last value.
        about: What it is, with its unit.
        tags: By what it is told apart.
    """

    kind: Literal["counter", "gauge"]
    about: str
    tags: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {
    "knowlip_tiles": Metric("counter", "Tiles kept", ("scale",)),
    "knowlip_tiles_rejected": Metric("counter", "Tiles set aside", ("reason",)),
    "knowlip_captions": Metric("counter", "Tiles described, or set aside with the reason", ("status", "model")),
    "knowlip_caption_tokens": Metric("counter", "Tokens that a model read and wrote", ("model",)),
    "knowlip_caption_usd": Metric("counter", "Spent on a model, US dollars", ("model",)),
    "knowlip_train_samples_per_s": Metric("gauge", "Examples all workers train on a second", ("run", "phase")),
    "knowlip_train_data_wait_share": Metric("gauge", "Share of the time that a step waits for data", ("run", "phase")),
    "knowlip_train_memory_gb": Metric("gauge", "Memory of the first worker, GB", ("run", "phase")),
    "knowlip_train_mfu": Metric("gauge", "Share of a GPU's peak that the first worker's model uses", ("run", "phase")),
    "knowlip_train_step": Metric("gauge", "Optimiser steps done", ("run", "phase")),
}


def count(name: str, number: float = 1.0, **tags: str) -> None:
    """Add to a counter of `METRICS`."""
    if number > 0:
        _opened(name).inc(number, tags=tags)


def observe(name: str, value: float, **tags: str) -> None:
    """Set a gauge of `METRICS`."""
    _opened(name).set(value, tags=tags)


def exported_name(name: str) -> str:
    """Return what Prometheus calls a metric."""
    return f"ray_{name}_total" if METRICS[name].kind == "counter" else f"ray_{name}"


@cache
def _opened(name: str) -> metrics.Counter | metrics.Gauge:
    """Make a metric where it is first used, once a process."""
    metric = METRICS[name]
    kind = metrics.Counter if metric.kind == "counter" else metrics.Gauge
    return kind(name, description=metric.about, tag_keys=metric.tags)
