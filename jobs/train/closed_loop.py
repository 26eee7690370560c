"""SCIO's closed loop (section 3.4, Algorithm 1): train, screen, train, reconstruct, train, and round again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from ray.train import Checkpoint

from jobs.train.data import open_split
from jobs.train.folder import RunFolder
from jobs.train.plan import Plan
from jobs.train.run import fit, takes_gpus
from jobs.train.scio import Pass, ScioSettings, read_verdicts, run_pass
from knowlip.corpus.revision import Revision
from knowlip.records import VERDICTS
from models.tasks.pairs import COLUMNS

__all__ = ["ClosedLoop"]


@dataclass(frozen=True)
class _Phase:
    round: int
    number: int
    epochs: int

    @property
    def name(self) -> str:
        """Name of the phase in metrics and files."""
        return f"round{self.round}-phase{self.number}"


class ClosedLoop:
    """A run's phases and passes, each done exactly when its result is there.

    Args:
        plan: What all phases share.
        folder: The run.
        settings: How the loop is closed.
    """

    def __init__(self, plan: Plan, folder: RunFolder, settings: ScioSettings) -> None:
        self.folder, self.settings = folder, settings
        self.phases = list(_phases(settings))
        self.plan = replace(plan, all_epochs=sum(phase.epochs for phase in self.phases))
        self.set_aside = 0

    def close(self) -> Checkpoint:
        """Go through all phases and passes that are not done, and return the last checkpoint."""
        checkpoint, epochs = None, 0
        for phase in self.phases:
            checkpoint = self._train(phase, epochs, checkpoint)
            epochs += phase.epochs
            if phase.number == 1 and self.settings.stages != "none":
                self._pass("screened", phase, checkpoint)
            if phase.number == 2 and self.settings.stages == "full":
                self._pass("rewritten", phase, checkpoint)
        if checkpoint is None:
            raise AssertionError("a loop has at least one phase")
        return checkpoint

    def verdicts(self) -> pa.Table:
        """Return all verdicts so far, and publish them."""
        if self.settings.stages == "none":
            return VERDICTS.empty_table()
        return read_verdicts(self.folder.workspace, self.folder.artefact)

    def counts(self) -> dict[str, int]:
        """Count the verdicts, for the closing table."""
        verdicts = self.verdicts()
        if not len(verdicts):
            return {}
        accepted = pc.sum(pc.fill_null(verdicts["accepted"], False)).as_py() or 0
        return {"sub-texts screened": len(verdicts), "noise": pc.sum(verdicts["noise"]).as_py(), "rewritten": accepted}

    def _train(self, phase: _Phase, first_epoch: int, start: Checkpoint | None) -> Checkpoint:
        done = self.folder.finished(phase.name)
        if done is not None:
            return done
        plan = replace(self.plan, phase=phase.name, first_epoch=first_epoch, epochs=phase.epochs, start=start)
        revise = self._revision(phase.round, phase.number).apply
        splits = {
            split: open_split(
                plan.workspace, "corpus", split, COLUMNS, plan.scaling, revise if split == "train" else None
            )
            for split in plan.rows
        }
        checkpoint = fit(plan, splits)
        self.folder.finish(phase.name, checkpoint)
        return checkpoint

    def _pass(self, kind: str, phase: _Phase, checkpoint: Checkpoint) -> None:
        work = Pass(
            kind="screened" if kind == "screened" else "rewritten",
            round=phase.round,
            workspace=self.folder.workspace,
            run=self.folder.artefact,
            checkpoint=checkpoint,
            revision=self._revision(phase.round, 1),
            settings=self.settings,
        )
        self.set_aside += run_pass(work, self.plan.scaling, gpu=takes_gpus(self.plan.scaling))

    def _revision(self, round_: int, phase: int) -> Revision:
        return Revision.from_verdicts(self.verdicts(), round_=round_, phase=phase, rejected=self.settings.rejected)


def _phases(settings: ScioSettings) -> Iterator[_Phase]:
    if settings.stages == "none":
        # Nothing happens between the phases, so they are one.
        yield _Phase(1, 1, settings.max_iter * sum(settings.phase_epochs))
        return
    for round_ in range(1, settings.max_iter + 1):
        for number, epochs in enumerate(settings.phase_epochs, start=1):
            yield _Phase(round_, number, epochs)
