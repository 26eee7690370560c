"""A simulated archive with exact truth for all eleven tasks: every step a job, so a killed run goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from jobs.baseline import BaselineSettings, baseline
from jobs.caption import CaptionSettings, caption
from jobs.corpus import CorpusSettings, SplitSettings, corpus
from jobs.examples import ExamplesSettings, examples
from jobs.pretrain import PretrainSettings, pretrain
from jobs.simulate import SimulateSettings, simulate
from jobs.tile import TileSettings, tile
from jobs.train.settings import overlaid
from knowlip.benchmark.card import DatasetCard, describe
from knowlip.records import EXAMPLES, conform
from knowlip.workspace import Workspace

__all__ = ["KINDS", "SIMULATED", "archive", "demo_config", "labelled", "pretrained"]

KINDS = ("airport", "port", "city")

SIMULATED = {
    **{f"classification_{kind}": ("classification", kind) for kind in KINDS},
    **{f"detection_{kind}": ("detection", kind) for kind in KINDS},
    **{f"segmentation_{kind}": ("segmentation", kind) for kind in ("port", "city")},
    **{name: (name, "") for name in ("retrieval", "captioning", "vqa")},
}
"""Each of the eleven tasks: what kind it is of, and on which kind of scene; on all where none is named."""

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def demo_config(name: str, **changes: Any) -> dict[str, Any]:
    """Return the checked-in configuration NAME-demo.yaml with some settings changed."""
    return overlaid(yaml.safe_load((_CONFIGS / f"{name}-demo.yaml").read_text(encoding="utf-8")), changes)


def archive(workspace: Workspace, *, scenes: int, seed: int) -> None:
    """Simulate scenes of every kind, tile and describe them, and deal the tiles to splits."""
    root = {"workspace": workspace.root}
    simulate(SimulateSettings(**demo_config("simulate", kinds=list(KINDS), count=scenes, seed=seed), **root))
    tile(TileSettings(**demo_config("tile"), **root))
    caption(CaptionSettings(**root))
    # Nothing is chosen by `val`, and a test split of a tenth would be a dozen tiles a kind.
    corpus(CorpusSettings(split=SplitSettings(train=0.7, val=0.1, test=0.2), **root))


def pretrained(workspace: Workspace, row: str, preset: str) -> str:
    """Pretrain a row's model on the archive, and return its checkpoint folder.

    Args:
        workspace: Where the archive lies.
        row: ``ours`` (also for ``scratch``, whose architecture it is), ``mae`` or ``moco``.
        preset: Size of the model; ``tiny`` is the demo's, smaller still.
    """
    one: dict[str, Any] = {"scaling": {"workers": 1}, "preset": preset, "workspace": workspace.root}
    if row in ("mae", "moco"):
        values = demo_config("baseline", epochs=sum(demo_config("pretrain")["scio"]["phase_epochs"]))
        baseline(BaselineSettings(**_sized(overlaid(values, {**one, "method": row}), preset)))
        return f"runs/{row}/checkpoint"
    pretrain(PretrainSettings(**_sized(demo_config("pretrain", **one), preset)))
    return "runs/pretrain/checkpoint"


def labelled(workspace: Workspace, name: str, *, seed: int) -> str:
    """Make the data set of one of the `SIMULATED` tasks, and return what it is called."""
    task, kind = SIMULATED[name]
    examples(ExamplesSettings(task=task, seed=seed, workspace=workspace.root))
    if not kind:
        return task
    data = f"{task}-{kind}"
    tiles = workspace.read_table("tiles", columns=["tile_id", "scene_name"]).to_pylist()
    wanted = pa.array([row["tile_id"] for row in tiles if row["scene_name"].startswith(f"{kind}_")], pa.string())
    table = workspace.read_table(f"datasets/{task}")
    chosen = table.filter(pc.is_in(table["tile_id"], wanted))
    if not workspace.exists("datasets", data, "card.json"):
        workspace.write_table(conform(chosen, EXAMPLES, where=data), f"datasets/{data}", "part.parquet")
        classes = DatasetCard.read(workspace, task).classes
        describe(workspace, data, task=task, layout=f"tiles of {kind} scenes", classes=classes)[0].write(workspace)
    return data


def _sized(values: dict[str, Any], preset: str) -> dict[str, Any]:
    """Leave the demo's architecture out where another size is asked for."""
    return values if preset == "tiny" else {name: value for name, value in values.items() if name != "model"}
