"""The table of faults and jobs: kept beside the tests, and written into the documentation by the run that made it."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).with_name("outcomes.json")
PAGE = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- written by tests/faults -->", "<!-- end -->")
JOBS = ("tile", "caption", "pretrain", "sweep", "serve")
FAULTS = {
    "worker": "a worker process is killed",
    "node": "a node goes away",
    "driver": "the driver is killed",
    "disk": "the disk is full",
    "store": "the object store is away for 20 s",
}
NEVER = {
    ("serve", "driver"): "has none: the cluster holds the application",
    ("serve", "disk"): "writes nothing",
}


def note(job: str, fault: str, outcome: str) -> None:
    """Keep an outcome, and write the table."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[f"{job} {fault}"] = outcome
    KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")
    made = table(kept)
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{made}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


def table(kept: dict[str, str]) -> str:
    """Return the table as Markdown; a cell that no run has filled says so."""
    lines = [f"| | {' | '.join(f'`{job}`' for job in JOBS)} |", f"|---|{'---|' * len(JOBS)}"]
    for fault, told in FAULTS.items():
        cells = [kept.get(f"{job} {fault}") or NEVER.get((job, fault)) or "not run yet" for job in JOBS]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
