"""Write the README's tables of measured figures from `benchmarks/results.jsonl`: the newest of each with a target, and
the rows of the simulated benchmark side by side.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["newest", "rewritten", "side_by_side", "table"]

ROOT = Path(__file__).resolve().parents[1]
MARKS = {
    "table": ("<!-- measured: written by scripts/measured.py -->", "<!-- /measured -->"),
    "side_by_side": ("<!-- simulated: written by scripts/measured.py -->", "<!-- /simulated -->"),
}
SIDE_BY_SIDE = "simulated"
"""The benchmark whose figures are called TASK_ROW."""
ROWS = {name: name.replace("_", " ") for name in ("scratch", "mae", "ours", "most_frequent", "text_only")}


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
        if target is None or figure["benchmark"] == SIDE_BY_SIDE:
            continue
        higher = figure["better"] == "higher"
        reached = value >= target if higher else value <= target
        rows.append(
            f"| `{figure['benchmark']}` | {figure['metric']} | {value:.3g} | {'≥' if higher else '≤'} {target:g} "
            f"| {'reached' if reached else 'missed'} |"
        )
    return "\n".join(rows)


def side_by_side(figures: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the simulated benchmark: a line a task, a column a row, the best row bold."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for figure in figures:
        if figure["benchmark"] == SIDE_BY_SIDE:
            row = next(row for row in ROWS if figure["metric"].endswith(f"_{row}"))
            cells.setdefault(figure["metric"].removesuffix(f"_{row}"), {})[row] = figure
    if not cells:
        return "Not measured yet."
    lines = [f"| task | figure | {' | '.join(ROWS.values())} |", f"|---|---|{'---:|' * len(ROWS)}"]
    for task, held in cells.items():
        best = max(figure["value"] for figure in held.values() if not figure["detail"]["floor"])
        shown = [_cell(held[row], best) if row in held else "" for row in ROWS]
        lines.append(f"| {task} | {next(iter(held.values()))['detail']['figure']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(figure: dict[str, Any], best: float) -> str:
    spread = f" ± {figure['detail']['spread']:.1f}" if figure["detail"]["seeds"] > 1 else ""
    text = f"{figure['value']:.1f}{spread}"
    return f"**{text}**" if figure["value"] == best and not figure["detail"]["floor"] else text


def rewritten(readme: str, lines: str) -> str:
    """Return the README with its tables made anew."""
    figures = newest(lines)
    for name, made in (("table", table(figures)), ("side_by_side", side_by_side(figures))):
        begin, end = MARKS[name]
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = f"{before}{begin}\n{made}\n{end}{after}"
    return readme


if __name__ == "__main__":
    readme = ROOT / "README.md"
    figures = (ROOT / "benchmarks" / "results.jsonl").read_text(encoding="utf-8")
    readme.write_text(rewritten(readme.read_text(encoding="utf-8"), figures), encoding="utf-8")
