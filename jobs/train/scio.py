"""SCIO's two passes over the training split (section 3.4), as Ray Data batch inference.

A unit of work is some rows of a corpus file; its verdicts are one file, so a pass that was killed goes on with the
units that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from pydantic import Field
from ray.data import ActorPoolStrategy
from ray.train import Checkpoint

from jobs.train.settings import ScalingSettings
from knowlip.corpus.revision import Rejected, Revision
from knowlip.corpus.verdicts import Thresholds
from knowlip.errors import DataError
from knowlip.records import SUBTEXTS, VERDICTS, conform
from knowlip.settings import Section
from knowlip.workspace import Workspace

__all__ = ["Pass", "ScioSettings", "read_verdicts", "run_pass"]

_COLUMNS = ("tile_id", "view", *SUBTEXTS)
_KEYS = ["tile_id", "round", "subtext"]
_REWRITTEN = ("reconstruction", "reconstruction_delta_itc", "reconstruction_delta_itm", "accepted")


class ScioSettings(Section):
    """Self-consistent iterative optimisation: train, screen, train, reconstruct, train."""

    stages: Literal["none", "screen", "full"] = "full"
    """How much of the loop is closed: none trains all phases on the texts as they are, screen keeps noise from being a
    target, full also has it written anew."""

    max_iter: int = Field(1, ge=1)
    """Rounds of three phases."""

    phase_epochs: tuple[int, int, int] = (12, 12, 12)
    """Epochs of the three phases of a round."""

    accept: Literal["equations", "algorithm1"] = "equations"
    """A reconstruction is held against the original text (eq. 14 and 15), or against the text without noise."""

    itc_below: float = Field(0.0, le=0)
    """A contrast difference below this speaks against a sub-text (eq. 10), or for its reconstruction (eq. 14). The
    paper's is 0; one further below finds less noise and is right more often."""

    itm_above: float = Field(0.0, ge=0)
    """A matching difference above this speaks against a sub-text (eq. 11), or for its reconstruction (eq. 15)."""

    rejected: Rejected = "drop"
    """Noise whose reconstruction is not accepted is dropped from the text, or kept but masked as a target."""

    batch_size: int = Field(64, ge=1)
    """Tiles judged at once."""

    unit_rows: int = Field(512, ge=1)
    """Tiles a unit of work, the most that a kill costs."""

    max_new_tokens: int = Field(64, ge=4)
    """Longest reconstruction of one sub-text."""

    beams: int = Field(1, ge=1)
    """Beam width of reconstruction; 1 is greedy."""

    @property
    def thresholds(self) -> Thresholds:
        """Where the differences decide."""
        return Thresholds(self.itc_below, self.itm_above)


@dataclass(frozen=True)
class Pass:
    """One pass over the training split.

    Attributes:
        kind: ``screened`` judges all sub-texts, ``rewritten`` writes the noise anew.
        round: SCIO round, from 1.
        workspace: Where corpus and run lie.
        run: Folder of the run.
        checkpoint: The trained phase that judges.
        revision: The texts as that phase saw them.
        settings: How it is done.
    """

    kind: Literal["screened", "rewritten"]
    round: int
    workspace: Workspace
    run: str
    checkpoint: Checkpoint
    revision: Revision
    settings: ScioSettings

    @property
    def folder(self) -> tuple[str, str, str]:
        """Where the units' files lie."""
        return self.run, f"_{self.kind}", f"round-{self.round}"


def run_pass(work: Pass, scaling: ScalingSettings, *, gpu: bool) -> int:
    """Do what is left of a pass.

    Returns:
        How many tiles had to be set aside because their view does not decode.
    """
    done = set(work.workspace.files(*work.folder))
    units = [unit for unit in _units(work) if _unit_file(unit) not in done]
    if not units:
        return 0
    actors = min(scaling.workers, len(units))
    judged = ray.data.from_items(units, override_num_blocks=len(units)).map_batches(
        _Judge,
        fn_constructor_kwargs={"work": work, "gpu": gpu, "actors": actors},
        batch_size=1,
        compute=ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=None if gpu else scaling.cpus_per_worker,
        num_gpus=1 if gpu else None,
    )
    return sum(int(row["set_aside"]) for row in judged.iter_rows())


def read_verdicts(workspace: Workspace, run: str) -> pa.Table:
    """Return all verdicts of a run so far, and publish them as ``verdicts.parquet``."""
    screened = _read_rounds(workspace, run, "_screened")
    rewritten = _read_rounds(workspace, run, "_rewritten")
    if len(rewritten):
        bare = screened.drop_columns(list(_REWRITTEN))
        screened = bare.join(rewritten.select([*_KEYS, *_REWRITTEN]), keys=_KEYS, join_type="left outer")
    order = [(key, "ascending") for key in ("round", "tile_id", "subtext")]
    table = conform(screened, VERDICTS, where=f"{run}/verdicts.parquet").sort_by(order)
    workspace.write_table(table, run, "verdicts.parquet")
    return table


class _Judge:
    """An actor that opens the checkpoint once and judges units."""

    def __init__(self, work: Pass, gpu: bool, actors: int) -> None:
        import torch

        import models
        from models.scio import Negatives

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // actors))
        self.work = work
        device = "cuda" if gpu else "cpu"
        with work.checkpoint.as_directory() as folder:
            self.model = models.load(Path(folder) / "model", device)
        self.negatives = Negatives.from_snapshot(self.model.queue, device)
        self._pairs = lru_cache(maxsize=1)(self._read)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Judge one unit and publish its verdicts."""
        unit = {"file": str(batch["file"][0]), "start": int(batch["start"][0])}
        work = self.work
        pairs = self._pairs(unit["file"]).slice(unit["start"], work.settings.unit_rows)
        noise = self._noise(unit)
        if work.kind == "rewritten":
            pairs = pairs.filter(pc.is_in(pairs["tile_id"], pa.array(sorted(noise), pa.string())))
        rows: list[dict[str, Any]] = []
        set_aside = 0
        for part in _parts(pairs, work.settings.batch_size):
            usable, pixels = self._decoded(part)
            set_aside += len(part) - len(usable)
            if usable:
                rows += self._rewritten(usable, pixels, noise) if noise else self._screened(usable, pixels)
        table = conform(pa.Table.from_pylist(rows, schema=VERDICTS), VERDICTS, where=_unit_file(unit))
        work.workspace.write_table(table, *work.folder, _unit_file(unit))
        return {"set_aside": np.array([set_aside])}

    def _read(self, name: str) -> pa.Table:
        train = pc.field("split") == "train"
        pairs = self.work.workspace.read_table("corpus", name, columns=list(_COLUMNS), where=train)
        return self.work.revision.apply(pairs)

    def _noise(self, unit: Mapping[str, Any]) -> dict[str, set[str]]:
        """Return the noise of a unit by tile, where it is to be rewritten."""
        work = self.work
        if work.kind == "screened":
            return {}
        table = work.workspace.read_table(work.run, "_screened", f"round-{work.round}", _unit_file(unit))
        found: dict[str, set[str]] = {}
        for row in table.filter(pc.field("noise")).select(["tile_id", "subtext"]).to_pylist():
            found.setdefault(row["tile_id"], set()).add(row["subtext"])
        return found

    def _decoded(self, part: pa.Table) -> tuple[list[dict[str, Any]], Any]:
        usable, images = [], []
        for row in part.to_pylist():
            try:
                images.append(self.model.preprocessing.resized(row["view"], where=row["tile_id"]))
            except DataError:
                continue
            usable.append(row)
        if not usable:
            return [], None
        return usable, self.model.preprocessing.normalised(np.stack(images)).to(self.model.device)

    def _tokens(self, rows: list[dict[str, Any]]) -> list[Any]:
        texts = [[row[kind] for kind in SUBTEXTS] for row in rows]
        return self.model.tokenizer.subtexts(texts, self.model.network.config.text.max_tokens)

    def _screened(self, rows: list[dict[str, Any]], pixels: Any) -> list[dict[str, Any]]:
        from models.scio import screen_batch

        model, thresholds = self.model, self.work.settings.thresholds
        tiles, texts = [row["tile_id"] for row in rows], self._tokens(rows)
        found = screen_batch(
            model.network, model.tokenizer, self.negatives, tiles, pixels, texts, thresholds=thresholds
        )
        verdicts = []
        for (index, kind), noise in np.ndenumerate(found.noise):
            if np.isnan(found.delta_itc[index, kind]):
                continue  # the tile has no such sub-text, or no other one
            verdict = self._verdict(rows[index], SUBTEXTS[kind])
            verdict |= {"delta_itc": found.delta_itc[index, kind], "delta_itm": found.delta_itm[index, kind]}
            verdict |= {"noise": bool(noise), "original": rows[index][SUBTEXTS[kind]] if noise else None}
            verdicts.append(verdict)
        return verdicts

    def _rewritten(self, rows: list[dict[str, Any]], pixels: Any, noise: dict[str, set[str]]) -> list[dict[str, Any]]:
        from models.scio import reconstruct_batch

        model, settings = self.model, self.work.settings
        written = reconstruct_batch(
            model.network,
            model.tokenizer,
            self.negatives,
            [row["tile_id"] for row in rows],
            pixels,
            self._tokens(rows),
            np.array([[kind in noise[row["tile_id"]] for kind in SUBTEXTS] for row in rows]),
            rule=settings.accept,
            thresholds=settings.thresholds,
            max_new_tokens=settings.max_new_tokens,
            beams=settings.beams,
        )
        return [
            self._verdict(rows[result.row], SUBTEXTS[result.kind])
            | {
                "noise": True,
                "original": rows[result.row][SUBTEXTS[result.kind]],
                "reconstruction": result.text,
                "reconstruction_delta_itc": result.delta_itc,
                "reconstruction_delta_itm": result.delta_itm,
                "accepted": result.accepted,
            }
            for result in written
        ]

    def _verdict(self, row: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return {"tile_id": row["tile_id"], "round": self.work.round, "subtext": kind}


def _units(work: Pass) -> Iterator[dict[str, Any]]:
    train = pc.field("split") == "train"
    for name in work.workspace.files("corpus"):
        rows = work.workspace.dataset("corpus", name).count_rows(filter=train)
        for start in range(0, rows, work.settings.unit_rows):
            yield {"file": name, "start": start}


def _unit_file(unit: Mapping[str, Any]) -> str:
    return f"{Path(unit['file']).stem}-{unit['start']:08d}.parquet"


def _parts(table: pa.Table, size: int) -> Iterator[pa.Table]:
    return (table.slice(start, size) for start in range(0, len(table), size))


def _read_rounds(workspace: Workspace, run: str, folder: str) -> pa.Table:
    tables = [VERDICTS.empty_table()]
    round_ = 1
    while workspace.files(run, folder, f"round-{round_}"):
        tables.append(workspace.read_table(run, folder, f"round-{round_}"))
        round_ += 1
    return pa.concat_tables(tables, promote_options="default")
