"""Keep a benchmark's figures: one JSON object a figure, appended to ``results.jsonl`` beside this file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).with_name("results.jsonl")


def record(
    benchmark: str,
    metric: str,
    value: float,
    *,
    target: float | None = None,
    better: Literal["higher", "lower"] = "higher",
    detail: dict[str, Any] | None = None,
) -> None:
    """Print a figure beside its target, and append it.

    Args:
        benchmark: The script's name.
        metric: What was measured.
        value: The figure.
        target: What it should reach.
        better: Which way is better.
        detail: What one needs to know to compare it.
    """
    figure = {
        "benchmark": benchmark,
        "metric": metric,
        "value": round(float(value), 6),
        "target": target,
        "better": better,
        "detail": detail or {},
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(figure, ensure_ascii=False) + "\n")
    reached = "" if target is None else f"  (target {target:g}, {better} is better)"
    print(f"{benchmark}: {metric} = {value:.4g}{reached}")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return done.stdout.strip() or "unknown"
