"""What all runs on the corpus have in common: their settings, their splits, and what the loop is asked to do."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from jobs.train.data import count, held_in_memory
from jobs.train.folder import RunFolder
from jobs.train.plan import Plan
from jobs.train.run import check_batch
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings, overlaid
from jobs.train.vocabulary import TokenizerSettings
from knowlip.manifest import Manifest, inputs_digest
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace
from models.config import KnowLIPConfig, presets
from models.initialise import Initialisation
from models.tasks.protocol import Task

__all__ = ["CORPUS", "CorpusRunSettings", "begun", "corpus_rows", "planned"]

CORPUS = "corpus"


class CorpusRunSettings(JobSettings):
    """Settings of a run on the corpus."""

    unshaping: ClassVar[frozenset[str]] = JobSettings.unshaping | {"scaling"}

    run: str = ""
    """Name of the run; its results lie in runs/NAME."""

    preset: Literal["tiny", "small", "base", "large"] = "base"
    """Architecture; `model` changes single settings of it."""

    model: KnowLIPConfig = Field(default_factory=KnowLIPConfig)
    """The model."""

    tokenizer: TokenizerSettings = TokenizerSettings()
    """WordPieces; the checkpoint carries them."""

    initialise: Initialisation = Initialisation()
    """First weights."""

    optimisation: OptimisationSettings = OptimisationSettings()
    """AdamW and its schedule."""

    train: TrainSettings = TrainSettings()
    """Batches, seed, evaluation."""

    scaling: ScalingSettings = ScalingSettings()
    """Workers, ZeRO stage, precision."""

    @model_validator(mode="before")
    @classmethod
    def _complete_model(cls, values: dict[str, Any]) -> dict[str, Any]:
        preset, model = values.get("preset", "base"), values.get("model", {})
        if preset not in presets or not isinstance(model, dict):
            return values
        return {**values, "model": overlaid(presets[preset].model_dump(), model)}


def corpus_rows(settings: CorpusRunSettings, workspace: Workspace) -> dict[str, int]:
    """Return the examples of each split that holds any.

    Raises:
        DataError: There is no corpus, or it is too small for a step.
        SettingsError: The batch cannot be dealt out.
    """
    rows = {split: n for split, n in count(workspace, CORPUS, ["train", "val"]).items() if n}
    check_batch(settings.train, settings.scaling, rows["train"])
    return rows


def begun(settings: CorpusRunSettings, folder: RunFolder, job: str) -> Manifest:
    """Return the manifest of a run: what it is made of."""
    inputs = inputs_digest(folder.workspace, CORPUS)
    return Manifest(artefact=folder.artefact, job=job, settings=settings.shaping(), inputs=inputs)


def planned(
    settings: CorpusRunSettings,
    folder: RunFolder,
    task: Task,
    rows: dict[str, int],
    manifest: Manifest,
    *,
    phase: str = "",
    epochs: int = 1,
) -> Plan:
    """Return what the loop is asked to do.

    Args:
        settings: The run's.
        folder: Where it lies.
        task: What is learned.
        rows: Examples a split.
        manifest: What the checkpoint's manifest says.
        phase: Name of its one phase; runs of several name each later.
        epochs: Of that phase.
    """
    return Plan(
        task=task,
        phase=phase,
        workspace=folder.workspace,
        run=folder.artefact,
        optimisation=settings.optimisation,
        train=settings.train,
        scaling=settings.scaling,
        rows=rows,
        held=held_in_memory(folder.workspace, CORPUS, settings.scaling.hold_mb),
        epochs=epochs,
        all_epochs=epochs,
        manifest=manifest.model_dump(mode="json"),
    )
