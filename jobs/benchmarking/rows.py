"""The rows of a benchmark: what each is called, and where its first weights come from."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.benchmarking.simulated import pretrained
from knowlip.workspace import Workspace

__all__ = ["OWN", "Row", "row_of"]

OWN = ("scratch", "ours", "mae", "moco")
"""Rows that need no more than their name."""

_OURS = "runs/pretrain/checkpoint"


@dataclass(frozen=True)
class Row:
    """What is compared.

    Attributes:
        name: What tables call it.
        checkpoint: The model that is tuned; only its architecture where the weights come from elsewhere.
        start: First weights, as `jobs.finetune --start` takes them.
    """

    name: str
    checkpoint: str
    start: str = "checkpoint"


def row_of(text: str, workspace: Workspace, *, checkpoint: str, preset: str | None) -> Row:
    """Return the row that a setting names, its model pretrained on the simulated archive where that is asked for.

    Args:
        text: One of `OWN`, NAME=runs/RUN/checkpoint, or NAME=START.
        workspace: Where the models lie.
        checkpoint: Ours, where it is pretrained already.
        preset: Size of models that are pretrained here; None takes the workspace's.
    """
    name, _, start = text.partition("=")
    if start.startswith("runs/"):
        return Row(name, start)
    if name in ("mae", "moco"):
        return Row(name, pretrained(workspace, name, preset) if preset else f"runs/{name}/checkpoint")
    ours = checkpoint or (pretrained(workspace, "ours", preset) if preset else _OURS)
    return Row(name, ours, start or ("scratch" if name == "scratch" else "checkpoint"))
