"""A run's folder: begun once, gone on with, refused to others, and published whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.train import Checkpoint

from jobs.train.folder import RunFolder
from knowlip.errors import WorkspaceError
from knowlip.manifest import Manifest
from knowlip.workspace import Workspace
from tests.flaky_store import Request, flaky_bucket, well_behaved


def manifest(**settings: int) -> Manifest:
    return Manifest(artefact="runs/one", job="test", settings=settings)


def test_a_run_is_gone_on_with_and_refused_to_other_settings(workspace_root: str) -> None:
    folder = RunFolder(Workspace(workspace_root), "one")
    assert folder.begin(manifest(epochs=1), overwrite=False) is None
    assert folder.begin(manifest(epochs=1), overwrite=False) is None
    whole = folder.complete(manifest(epochs=1), {"pairs": 3}, 1.0)
    assert folder.begin(manifest(epochs=1), overwrite=False) == whole
    with pytest.raises(WorkspaceError, match="was begun with other settings or inputs"):
        folder.begin(manifest(epochs=2), overwrite=False)
    assert folder.begin(manifest(epochs=2), overwrite=True) is None
    assert not folder.workspace.exists("runs/one", "manifest.json")


def test_phases_remember_their_checkpoint_when_the_workspace_moves(tmp_path: Path) -> None:
    folder = RunFolder(Workspace(str(tmp_path / "before")), "one")
    state = folder.workspace.local("runs/one/_train/phase/checkpoint_1")
    (state / "model").mkdir(parents=True)
    (state / "model" / "config.json").write_text("{}")
    assert folder.finished("phase") is None
    folder.finish("phase", Checkpoint(str(state), folder.workspace.filesystem))
    (tmp_path / "before").rename(tmp_path / "after")
    moved = RunFolder(Workspace(str(tmp_path / "after")), "one")
    checkpoint = moved.finished("phase")
    assert checkpoint is not None
    moved.publish(checkpoint)
    moved.publish(checkpoint)
    assert [path.name for path in moved.workspace.local("runs/one/checkpoint").iterdir()] == ["config.json"]
    moved.tidy(keep="other")
    assert not state.exists()
    assert not moved.workspace.exists("runs/one/_train/phase")


def test_a_checkpoint_on_an_object_store_opens_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "checkpoint_1"
    (state / "model").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (state / "model" / name).write_text(name)
    with flaky_bucket() as (store, root, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        folder = RunFolder(Workspace(root, tries=1), "one")
        checkpoint = Checkpoint(str(state), Workspace(str(tmp_path)).filesystem)
        folder.publish(checkpoint)

        def break_off(request: Request) -> str | None:
            return "cut" if request.method == "PUT" and "tokenizer" in request.path else None

        store.misdeed = break_off
        with pytest.raises(WorkspaceError, match="could not be written"):
            folder.publish(checkpoint)
        assert not folder.workspace.exists("runs/one/checkpoint/config.json")
        store.misdeed = well_behaved
        folder.publish(checkpoint)
        for path in (state / "model").iterdir():
            assert folder.workspace.read_bytes("runs/one/checkpoint", path.name) == path.read_bytes()
