"""The results table of a sweep: one row a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from knowlip.records import TRIALS, conform

__all__ = ["trials_table"]


def trials_table(outcomes: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the trials as rows of `knowlip.records.TRIALS`, numbered in their order.

    Args:
        outcomes: Of each trial ``config``, ``status``, ``epoch``, ``value``, ``seconds`` and ``error``.
    """
    rows = [
        {
            **{name: one[name] for name in ("status", "epoch", "value", "seconds", "error")},
            "trial": number,
            "settings": json.dumps(one["config"], sort_keys=True),
        }
        for number, one in enumerate(outcomes)
    ]
    return conform(pa.Table.from_pylist(rows, schema=TRIALS), TRIALS, where="trials")
