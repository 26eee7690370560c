"""How every job meets the command line: settings in, a short table out, one line and exit code 2 for what is wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from knowlip.errors import KnowlipError, cause_of
from knowlip.settings import JobSettings, read_settings

__all__ = ["Summary", "run", "shown"]

SettingsT = TypeVar("SettingsT", bound=JobSettings)


@dataclass
class Summary:
    """What a job says at its end.

    Attributes:
        title: What was made, or would be.
        counts: Rows of the closing table.
        set_aside: One line an input that was set aside, with its reason.
        where: Where the result lies.
    """

    title: str
    counts: dict[str, Any] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    where: str = ""

    def show(self, seconds: float) -> None:
        """Print the closing table."""
        table = Table(title=self.title, title_justify="left", show_header=False)
        for name, value in self.counts.items():
            table.add_row(name, shown(value))
        if self.where:
            table.add_row("where", self.where)
        table.add_row("took", f"{seconds:.1f} s")
        console = Console(soft_wrap=True)
        console.print(table)
        for line in self.set_aside:
            console.print(f"set aside: {line}", markup=False, highlight=False)


def run(kind: type[SettingsT], job: Callable[[SettingsT], Summary], argv: list[str] | None = None) -> None:
    """Run a job from its command line.

    Exits with code 2 and one line on standard error for everything a person can mend (`KnowlipError`, also one that was
    raised in a Ray task); other exceptions keep their traceback.

    Args:
        kind: The job's settings model; its docstring is the job's ``--help``.
        job: The job.
        argv: Arguments; the process's own by default.
    """
    started = time.monotonic()
    prog = f"python -m {job.__module__ if job.__module__ != '__main__' else _module_name()}"
    try:
        summary = job(read_settings(kind, sys.argv[1:] if argv is None else argv, prog=prog))
    except Exception as error:
        problem = cause_of(error, KnowlipError)
        if problem is None:
            raise
        sys.stderr.write(f"{problem}\n")
        raise SystemExit(2) from error
    summary.show(time.monotonic() - started)


def _module_name() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else sys.argv[0]


def shown(value: Any) -> str:
    """Return a count or figure as a person reads it."""
    if isinstance(value, float):
        return f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
