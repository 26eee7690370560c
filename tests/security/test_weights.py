"""Weights are data: nothing that was pickled is ever taken from a file."""

from __future__ import annotations

import ast
import pickle
import shutil
from pathlib import Path

import pytest
import torch

import models
from jobs.train.checkpointing import restore_weights
from knowlip.errors import CheckpointError
from models.initialise import Initialisation, initialise
from models.knowlip import KnowLIP

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("platform", "models", "jobs", "serve_apps") for path in (ROOT / folder).rglob("*.py")]
WITHIN_A_RUN = {"jobs/cutting.py", "jobs/captioning/batching.py", "jobs/captioning/streaming.py"}
"""Jobs that pickle values of their own and unpickle them in another process of the same run; never from a file."""


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "was-run"


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    return [
        (ast.unparse(node.func), node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]


def test_nothing_is_unpickled_from_a_file():
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        for function, call in calls(path):
            words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            bad = function in {"pickle.load", "joblib.load", "cloudpickle.load", "dill.load", "shelve.open"}
            bad |= function in {"pickle.loads", "cloudpickle.loads"} and name not in WITHIN_A_RUN
            bad |= function == "torch.load" and words.get("weights_only") != "True"
            bad |= function.endswith("np.load") and words.get("allow_pickle") == "True"
            bad |= function == "yaml.load"
            found += [f"{name}:{call.lineno} {function}"] * bad
    assert not found


def test_a_pickle_in_a_checkpoints_place_is_refused_unopened(tiny_checkpoint, tmp_path, mark):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        models.load(folder)
    network = models.load(tiny_checkpoint).network
    torch.save(Payload(mark), folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        restore_weights(folder, network)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_first_weights_are_never_unpickled(tiny_checkpoint, tmp_path, mark, name):
    network = KnowLIP(models.load(tiny_checkpoint).network.config)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    torch.save({"weight": Payload(mark)}, tmp_path / name)
    for source in (str(tmp_path), f"hf:{tmp_path}"):
        with pytest.raises(CheckpointError):
            initialise(network, Initialisation(text=source))
    with pytest.raises(CheckpointError):
        initialise(network, Initialisation(vision=str(tmp_path)))
    assert not mark.exists()
