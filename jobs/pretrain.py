"""Pretrain: KnowLIP on the corpus, through the phases of SCIO (sections 3.3 and 3.4)."""

from __future__ import annotations

import time
from typing import Any

from jobs.cluster import connected
from jobs.command import Summary, run
from jobs.train.closed_loop import ClosedLoop
from jobs.train.corpus_run import CorpusRunSettings, begun, corpus_rows, planned
from jobs.train.folder import RunFolder
from jobs.train.metrics import collect, held_out
from jobs.train.plan import Plan
from jobs.train.scio import ScioSettings
from jobs.train.vocabulary import tokenizer_folder
from knowlip.manifest import Manifest
from models.augment import Augmentation
from models.tasks.pretraining import PretrainingSettings, PretrainingTask

__all__ = ["PretrainSettings", "pretrain"]

_THE_TASKS = ("model", "initialise", "augmentation", "checkpoint_activations", "compile")
_SHOWN = ("retrieval_mean", "t2i_r1", "i2t_r1", "itm_accuracy", "mlm_accuracy")


class PretrainSettings(CorpusRunSettings):
    """Train a KnowLIP model on a corpus, screening and rewriting its texts on the way.

    A run that was killed goes on from its last epoch or unit when it is started again.
    """

    run: str = "pretrain"
    """Name of the run; its results lie in runs/NAME."""

    augmentation: Augmentation = Augmentation()
    """How training images vary."""

    checkpoint_activations: bool = False
    """Recompute activations in the backward pass, for less memory."""

    compile: bool = False
    """Compile both towers (torch.compile): a minute or more at the start, faster steps on a GPU."""

    scio: ScioSettings = ScioSettings()
    """Phases, screening and reconstruction."""


def pretrain(settings: PretrainSettings) -> Summary:
    """Train a run, or go on with it, or say that it is done."""
    started, workspace = time.monotonic(), settings.opened()
    folder = RunFolder(workspace, settings.run)
    rows, manifest = corpus_rows(settings, workspace), begun(settings, folder, "jobs.pretrain")
    if settings.dry_run:
        epochs = settings.scio.max_iter * sum(settings.scio.phase_epochs)
        steps = epochs * max(1, rows["train"] // settings.train.batch_size)
        return Summary("Would pretrain", {"pairs": rows["train"], "epochs": epochs, "steps": steps})
    with workspace.lock(folder.artefact), connected():
        done = folder.begin(manifest, overwrite=settings.overwrite)
        if done is not None:
            return Summary("Pretraining (done before)", done.counts, where=workspace.uri(folder.artefact))
        loop = ClosedLoop(_plan(settings, folder, rows, manifest), folder, settings.scio)
        checkpoint = loop.close()
        figures = held_out(collect(workspace, folder.artefact), _SHOWN)
        counts = {"pairs": rows["train"], **loop.counts(), **figures}
        folder.publish(checkpoint)
        folder.tidy(keep=loop.phases[-1].name)
        folder.complete(manifest, counts, time.monotonic() - started)
    aside = [f"{loop.set_aside} tiles: the view does not decode"] if loop.set_aside else []
    return Summary("Pretraining", counts, aside, workspace.uri(folder.artefact, "checkpoint"))


def _plan(settings: PretrainSettings, folder: RunFolder, rows: dict[str, int], manifest: Manifest) -> Plan:
    with tokenizer_folder(folder, settings.tokenizer) as tokenizer:
        same: dict[str, Any] = {name: getattr(settings, name) for name in _THE_TASKS}
        task = PretrainingTask(PretrainingSettings(tokenizer=tokenizer, seed=settings.train.seed, **same))
    return planned(settings, folder, task, rows, manifest)


if __name__ == "__main__":
    run(PretrainSettings, pretrain)
