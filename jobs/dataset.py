"""A published data set as examples: read in its layout, checked, grouped, split, and written under datasets/NAME/."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from pydantic import Field

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.units import finished, unit_file
from knowlip.benchmark.card import DatasetCard
from knowlip.benchmark.datasets import shuffled
from knowlip.benchmark.intake import Examined, card_of, deal_examples, examine, rows_of
from knowlip.benchmark.layouts import Entry, Faults, Layout, LayoutOptions, Listing, list_folder
from knowlip.benchmark.splits import SplitChoice, write_split
from knowlip.manifest import Manifest, digest
from knowlip.records import EXAMPLES, SPLITS, conform
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

__all__ = ["DatasetSettings", "dataset"]

_PART = 256


class DatasetSettings(JobSettings):
    """Read a published data set (SAR-ACD, FUSAR-SHIP, SSDD, HRSID, SAR-AIRcraft, FUSAR-MAP, Sen1Floods11, …).

    The first input that is wrong stops the job with one line; --skip-bad counts them and goes on.
    """

    source: str
    """Folder of the data set, readable from every node."""

    layout: Layout
    """How it is laid out: a folder a class, COCO, VOC, images with masks …"""

    name: str
    """What it is called; its examples lie in datasets/NAME."""

    options: LayoutOptions = LayoutOptions()
    """What the layout leaves open."""

    folds: int = Field(5, ge=2, le=20)
    """Folds of the random and the grouped split; one is tested, so 5 gives 4:1."""

    split: SplitChoice = SplitChoice()
    """The split that the examples' column `split` takes; the others lie beside it, and jobs.finetune may choose."""

    seed: int = 0
    """Draws the splits and the order."""

    skip_bad: bool = False
    """Leave out what is wrong, and count it."""


def dataset(settings: DatasetSettings) -> Summary:
    """Read one data set into a workspace."""
    started, workspace, artefact = time.monotonic(), settings.opened(), f"datasets/{settings.name}"
    faults = Faults(settings.skip_bad)
    listing = list_folder(Path(settings.source), settings.layout, settings.options, faults)
    found = {"task": listing.task, "images": len(listing.entries), "classes": ", ".join(listing.classes)}
    if settings.dry_run:
        return Summary(f"Data set {settings.name} (dry run)", found, faults.lines)
    inputs = {"source": digest([(entry.name, entry.path.stat().st_size) for entry in listing.entries])}
    manifest = Manifest(artefact=artefact, job="jobs.dataset", settings=settings.shaping(), inputs=inputs)
    with workspace.lock(artefact):
        made = finished(workspace, artefact, recipe=manifest.recipe, overwrite=settings.overwrite)
        done = Manifest.read(workspace, artefact)
        if done is None or done.recipe != manifest.recipe:
            workspace.delete(artefact, "manifest.json")
            card = _make(settings, workspace, listing, faults, manifest.recipe, made)
            held = workspace.read_table(artefact, columns=["split"])["split"].to_pylist()
            counts = {**found, "examples": len(held), **{split: held.count(split) for split in SPLITS}}
            counts |= {"groups": card.groups, "conflicting labels": len(card.conflicts)}
            counts |= {f"set aside: {reason}": number for reason, number in sorted(card.set_aside.items())}
            done = manifest.model_copy(update={"counts": counts, "seconds": time.monotonic() - started})
            done.write(workspace)
    lines = DatasetCard.read(workspace, settings.name).set_aside_lines
    return Summary(f"Data set {settings.name}", done.counts, list(lines), where=workspace.uri(artefact))


def _make(
    settings: DatasetSettings, workspace: Workspace, listing: Listing, faults: Faults, recipe: str, made: set[str]
) -> DatasetCard:
    """Examine, deal and write; return the card."""
    starts = range(0, len(listing.entries), _PART)
    parts = {f"part-{number:05d}": listing.entries[start : start + _PART] for number, start in enumerate(starts)}
    band, skip, artefact = settings.options.band, settings.skip_bad, f"datasets/{settings.name}"
    with connected():
        examined = Examined([], {}, faults)
        for one in _mapped(parts, lambda _, entries: examine(entries, listing, band=band, skip=skip)):
            examined.add(one)
        dealt = deal_examples(listing, examined, folds=settings.folds, seed=settings.seed, choice=settings.split)
        digests = {scheme: write_split(workspace, artefact, scheme, data) for scheme, data in dealt.files.items()}
        shared = ray.put((dealt.splits, dealt.groups))

        def write(unit: str, entries: tuple[Entry, ...]) -> None:
            splits, groups = ray.get(shared)
            rows = shuffled(list(rows_of(entries, listing, band=band, splits=splits, groups=groups)), settings.seed)
            table = conform(pa.Table.from_pylist(rows, schema=EXAMPLES), EXAMPLES, where=unit)
            workspace.write_table(table, artefact, unit_file(unit, recipe))

        _mapped({unit: entries for unit, entries in parts.items() if unit not in made}, write)
    card = card_of(settings.name, settings.layout, listing, examined, dealt, digests)
    card.write(workspace)
    return card


def _mapped(parts: dict[str, tuple[Entry, ...]], work: Callable[[str, tuple[Entry, ...]], Any]) -> list[Any]:
    """Do work on every part, wherever there is room."""
    remote = ray.remote(work)
    return list(ray.get([remote.remote(unit, entries) for unit, entries in parts.items()]))


if __name__ == "__main__":
    run(DatasetSettings, dataset)
