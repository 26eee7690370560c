"""The benchmark: our rows side by side, the radar of Fig. 1, and the paper's tables beside ours."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.benchmark.pairing import shown_pairs
from knowlip.benchmark.published import DOUBTS, OURS, TABLES, published
from knowlip.benchmark.results import FIGURES, FLOORS, Cell, matrix
from knowlip.reporting.elements import Element, Figure, Paragraph, Section, Table
from knowlip.reporting.radar import radar
from knowlip.workspace import Workspace

__all__ = ["benchmark_section"]

RESULTS_FILE, PAIRED_FILE = ("benchmark", "results.parquet"), ("benchmark", "paired.parquet")
_PAIRED = (
    "Paired differences, points; both rows answered the same examples, so the 95 % interval of what one is ahead is "
    "narrower than those of the two. It resamples groups, and takes all seeds and folds together."
)
_SHOWN = {
    "classification": ("top1", "top3"),
    "detection": ("map50",),
    "segmentation": ("oa", "miou"),
    "retrieval": ("t2i_r1", "t2i_r5", "t2i_r10", "i2t_r1", "i2t_r5", "i2t_r10", "retrieval_mean"),
    "captioning": ("bleu4", "meteor", "cider", "spice"),
    "vqa": tuple(column.metric for column in TABLES[7].columns),
}
_BACKBONE = "ViT-Base"


def benchmark_section(workspace: Workspace) -> Section | None:
    """Return the section, or nothing where no benchmark was run."""
    if not workspace.exists(*RESULTS_FILE):
        return None
    results = workspace.read_table(*RESULTS_FILE)
    kinds = dict(zip(results["name"].to_pylist(), results["task"].to_pylist(), strict=True))
    cells = matrix(results)
    elements: list[Element] = [_ours(cells, kinds)]
    if workspace.exists(*PAIRED_FILE):
        lines = shown_pairs(workspace.read_table(*PAIRED_FILE))
        elements += [Table(("task", "figure", "rows", "difference", "surely better"), lines, _PAIRED)] if lines else []
    drawn = _radar(cells)
    if drawn is not None:
        elements.append(drawn)
    elements += _beside(results, kinds)
    return Section("Benchmark", elements)


def _ours(cells: Mapping[str, Mapping[str, Cell]], kinds: Mapping[str, str]) -> Table:
    floors = list(FLOORS.values())
    rows = [row for row in dict.fromkeys(row for held in cells.values() for row in held) if row not in floors]
    rows += [floor for floor in floors if any(floor in held for held in cells.values())]
    body = [
        (name, FIGURES[kinds[name]], *(str(held[row]) if row in held else None for row in rows))
        for name, held in cells.items()
    ]
    caption = (
        "Held-out figures, per cent; ± over seeds and folds, or the 95 % interval of one run; ▼ does not beat what "
        "can be answered without the image."
    )
    return Table(("task", "figure", *rows), body, caption)


def _radar(cells: Mapping[str, Mapping[str, Cell]]) -> Figure | None:
    rows = [row for row in dict.fromkeys(row for held in cells.values() for row in held) if row not in FLOORS.values()]
    if len(cells) < 3 or not rows:
        return None
    models = {row: [held[row].mean if row in held else None for held in cells.values()] for row in rows}
    return Figure(radar(list(cells), models, "benchmark"), "As Fig. 1: each axis ends at the best row's figure.")


def _beside(results: pa.Table, kinds: Mapping[str, str]) -> list[Element]:
    """Return one table a kind of task that the paper has: its figures beside those of each of our rows."""
    elements: list[Element] = []
    for task in dict.fromkeys(kinds.values()):
        body = [line for metric in _SHOWN[task] for line in _lines(results, task, metric)]
        if body:
            columns = ("figure", "paper: on", f"paper: {OURS}", "paper: best other", "here: on", "here")
            elements.append(
                Table(columns, body, f"{task}: the paper's figures with {_BACKBONE}, and ours", folded=True)
            )
    if elements:
        note = "Ours are on other data, splits and model sizes than the paper's: they stand beside, not against, them."
        elements.append(Paragraph(" ".join((note, *DOUBTS))))
    return elements


def _lines(results: pa.Table, task: str, metric: str) -> list[tuple[str, str, float, str, str, str]]:
    here = {
        name: ", ".join(f"{row} {cell}" for row, cell in held.items())
        for name, held in matrix(_only(results, task), figure={task: metric}).items()
    }
    if not here:
        return []
    lines: list[tuple[str, str, float, str, str, str]] = []
    for data in dict.fromkeys(
        column.data for table in TABLES.values() for column in table.columns if column.task == task
    ):
        found = [(row, value) for number, row, value in published(task, metric, data) if number in (4, 6)]
        held = [(row, value) for row, value in found if row.backbone == _BACKBONE]
        own = next((value for row, value in held if row.model == OURS), None)
        if own is None:
            continue
        other, best = max(((row.model, value) for row, value in held if row.model != OURS), key=lambda one: one[1])
        first = not lines
        on = " / ".join(here) if first else ""
        figures = "; ".join(here.values()) if first else ""
        lines.append((metric, data or "built from annotations", own, f"{other} {best:g}", on, figures))
    return lines


def _only(results: pa.Table, task: str) -> pa.Table:
    return results.filter(pc.equal(results["task"], task))
