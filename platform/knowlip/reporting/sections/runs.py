"""What training did: curves, and the last held-out figures."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.manifest import Manifest
from knowlip.records import SUBTEXTS
from knowlip.reporting.curves import metric_curves
from knowlip.reporting.elements import Element, Figure, Section, Table
from knowlip.reporting.sections.held_out import Look, held_out_elements
from knowlip.reporting.sections.overview import subfolders
from knowlip.workspace import Workspace

__all__ = ["run_sections"]

_LEARNED = ("loss", "itc", "itm", "mlm")
_MOST_PANELS = 9


def run_sections(workspace: Workspace, look: Callable[[str], Look] | None = None) -> list[Section]:
    """Return a section a run, pretraining first.

    Args:
        workspace: Where the runs lie.
        look: Opens a look into the model of a run, given its folder; without, what needs one is left out.
    """
    names = sorted(subfolders(workspace, "runs"), key=lambda name: (name != "pretrain", name))
    return [_section(workspace, name, look) for name in names if workspace.exists("runs", name, "metrics.parquet")]


def _section(workspace: Workspace, name: str, look: Callable[[str], Look] | None) -> Section:
    metrics = workspace.read_table("runs", name, "metrics.parquet")
    elements: list[Element] = []
    drawn = _drawn(metrics)
    if drawn:
        caption = "Each phase in a colour of its own; held-out values are those of “val” and “test”."
        elements.append(Figure(metric_curves(metrics, drawn, f"run-{name}"), caption))
    artefact = f"runs/{name}"
    tuned = held_out_elements(workspace, artefact, look(artefact) if look else None)
    last = _last(metrics)
    if last and not tuned:
        elements.append(
            Table(
                ("held-out figure", "at the end"), last, "Held-out figures at the end", folded=len(last) > _MOST_PANELS
            )
        )
    elements += tuned
    manifest = Manifest.read(workspace, artefact)
    if manifest and manifest.counts:
        elements.append(Table(("of the run", ""), list(manifest.counts.items())))
    return Section(f"Training: {name}", elements)


def _drawn(metrics: pa.Table) -> list[str]:
    """Choose the panels: losses first, then held-out figures, only what has more than one point."""
    counts = metrics.group_by("metric").aggregate([("value", "count")])
    several = {
        metric
        for metric, count in zip(counts["metric"].to_pylist(), counts["value_count"].to_pylist(), strict=True)
        if count > 1
    }
    held_out = set(metrics.filter(pc.field("phase") == "val")["metric"].to_pylist())
    ranked = sorted(
        several, key=lambda metric: (not _is_loss(metric), metric not in held_out, _is_detail(metric), metric)
    )
    return ranked[:_MOST_PANELS]


def _is_loss(metric: str) -> bool:
    return metric in _LEARNED or "loss" in metric


def _is_detail(metric: str) -> bool:
    return metric.endswith(SUBTEXTS)


def _last(metrics: pa.Table) -> list[tuple[str, float]]:
    held_out = metrics.filter(pc.field("phase") == "val").sort_by([("step", "ascending")])
    return sorted(dict(zip(held_out["metric"].to_pylist(), held_out["value"].to_pylist(), strict=True)).items())
