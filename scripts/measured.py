"""Write the README's table of measured figures from `benchmarks/results.jsonl`: the newest of each with a target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["newest", "rewritten", "table"]

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- measured: written by scripts/measured.py -->", "<!-- /measured -->"


def newest(lines: str) -> list[dict[str, Any]]:
    """Return the last figure of each benchmark's metrics, in the order in which the benchmarks first came."""
    figures = [json.loads(line) for line in lines.splitlines() if line.strip()]
    last = {(figure["benchmark"], figure["metric"]): figure for figure in figures}
    order = list(dict.fromkeys(figure["benchmark"] for figure in figures))
    return sorted(last.values(), key=lambda figure: order.index(figure["benchmark"]))


def table(figures: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the figures that have a target, those that miss it included."""
    rows = ["| benchmark | figure | measured | target | |", "|---|---|---:|---:|---|"]
    for figure in figures:
        value, target = figure["value"], figure["target"]
        if target is None:
            continue
        higher = figure["better"] == "higher"
        reached = value >= target if higher else value <= target
        rows.append(
            f"| `{figure['benchmark']}` | {figure['metric']} | {value:.3g} | {'≥' if higher else '≤'} {target:g} "
            f"| {'reached' if reached else 'missed'} |"
        )
    return "\n".join(rows)


def rewritten(readme: str, lines: str) -> str:
    """Return the README with its table made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(newest(lines))}\n{END}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    figures = (ROOT / "benchmarks" / "results.jsonl").read_text(encoding="utf-8")
    readme.write_text(rewritten(readme.read_text(encoding="utf-8"), figures), encoding="utf-8")
