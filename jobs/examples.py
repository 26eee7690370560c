"""Examples: labelled data of a downstream task, from exact truth where a scene has one and from measurements elsewhere.

Boxes and masks are only made from truth. A unit of work is one file of tiles. Splits are the corpus's, so nothing that
was trained on is tested.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, Literal

import pyarrow as pa
import ray
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file, units_of_work
from knowlip.benchmark.card import describe
from knowlip.benchmark.content import SceneTruth, read_truth
from knowlip.benchmark.datasets import ANNOTATED, annotated, content_of, examples_of, shuffled
from knowlip.captioning.facts import COLUMNS
from knowlip.errors import DataError
from knowlip.manifest import Manifest, inputs_digest
from knowlip.records import EXAMPLES, conform
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["ExamplesSettings", "examples"]

_WINDOW = ("row_off", "col_off", "height", "width", "crs", "image", "view")
_ROWS_AT_ONCE = 32


class ExamplesSettings(JobSettings):
    """Build the data set of a downstream task from tiles."""

    task: Literal["classification", "detection", "segmentation", "retrieval", "captioning", "vqa"] = "classification"
    """What to build: a label, boxes or a mask a tile, descriptions of it, or questions with answers."""

    truth: str = "scenes"
    """Folder of the workspace with NAME.truth.geojson and NAME.landcover.tif; scenes without one are measured."""

    questions: int = Field(default=3, ge=1, le=50)
    """At most so many questions a tile."""

    seed: int = 0
    """Changes what is asked, and the order."""


def examples(settings: ExamplesSettings) -> Summary:
    """Build one data set of a workspace."""
    started = time.monotonic()
    workspace, artefact = settings.opened(), f"datasets/{settings.task}"
    units = {name.removesuffix(".parquet"): name for name in workspace.files("tiles")}
    splits = workspace.read_table("corpus", columns=["tile_id", "split"]).to_pydict()
    if settings.dry_run:
        return Summary(
            f"Examples for {settings.task} (dry run)", {"tiles": len(splits["tile_id"]), "units": len(units)}
        )
    with workspace.lock(artefact):
        inputs = inputs_digest(workspace, "tiles", "corpus")
        manifest = Manifest(artefact=artefact, job="jobs.examples", settings=settings.shaping(), inputs=inputs)
        # The corpus decides the splits, so examples of another corpus are not continued but replaced.
        done = finished(workspace, artefact, recipe=manifest.recipe, overwrite=True)
        todo = sorted(units.keys() - done)
        if todo:
            workspace.delete(artefact, "manifest.json")
            with connected():
                split = ray.put(dict(zip(splits["tile_id"], splits["split"], strict=True)))
                work = units_of_work([{"unit": unit} for unit in todo])

                def write(row: dict[str, Any]) -> dict[str, Any]:
                    _write_unit(settings, workspace, row["unit"], manifest.recipe, ray.get(split))
                    return row

                work.map(write).materialize()
        card, counts = describe(workspace, settings.task, task=settings.task, layout="tiles", classes=_legend(settings))
        if not counts["examples"]:
            raise DataError("no tile of the corpus gives an example", where=workspace.uri(artefact), fix="add scenes")
        if todo:
            card.write(workspace)
            seconds = time.monotonic() - started
            manifest.model_copy(update={"counts": counts, "seconds": seconds}).write(workspace)
    return Summary(
        f"Examples for {settings.task}", {**counts, "units made now": len(todo)}, where=workspace.uri(artefact)
    )


def _write_unit(
    settings: ExamplesSettings, workspace: Workspace, unit: str, recipe: str, split: dict[str, str]
) -> None:
    """Make the examples of one file of tiles."""

    @lru_cache(maxsize=4)
    def truth_of(scene_name: str) -> SceneTruth | None:
        return read_truth(workspace, settings.truth, scene_name)

    made: list[dict[str, Any]] = []
    options = {"task": settings.task, "seed": settings.seed, "most": settings.questions}
    source = workspace.dataset("tiles", f"{unit}.parquet")
    for batch in source.to_batches(columns=[*COLUMNS, *_WINDOW], batch_size=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            if row["tile_id"] in split:
                truth = truth_of(row["scene_name"] or "")
                if settings.task in ANNOTATED:
                    made += annotated(row, truth, task=settings.task, split=split[row["tile_id"]])
                else:
                    made += examples_of(row, content_of(row, truth), split=split[row["tile_id"]], **options)
    table = pa.Table.from_pylist(shuffled(made, settings.seed), schema=EXAMPLES)
    workspace.write_table(conform(table, EXAMPLES, where=unit), f"datasets/{settings.task}", unit_file(unit, recipe))


def _legend(settings: ExamplesSettings) -> tuple[str, ...]:
    """Return the land-cover classes by code, from the first scene that has them."""
    workspace, suffix = settings.opened(), ".landcover.tif"
    covers = workspace.files(settings.truth, suffix=suffix) if settings.task == "segmentation" else []
    truth = read_truth(workspace, settings.truth, covers[0].removesuffix(suffix)) if covers else None
    legend = truth.legend if truth else {}
    return tuple(legend.get(code, f"code {code}") for code in range(1, max(legend, default=0) + 1))


if __name__ == "__main__":
    run(ExamplesSettings, examples)
