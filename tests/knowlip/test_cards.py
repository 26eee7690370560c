"""Every table and model carries a card that says how it was made, what it holds and what it is not good for."""

from __future__ import annotations

import pytest
import yaml

from knowlip.manifest import Manifest
from knowlip.records import CORPUS
from knowlip.workspace import Workspace


def written(workspace: Workspace, artefact: str, **changes: object) -> str:
    settings = {"seed": 3, "split": {"train": 0.8}}
    manifest = Manifest(artefact=artefact, job="jobs.corpus", settings=settings, inputs={"tiles": "abc"}, **changes)
    manifest.write(workspace)
    return workspace.read_bytes(artefact, "README.md").decode()


@pytest.mark.parametrize("artefact", ["tiles", "captions", "corpus", "datasets/vqa", "runs/pretrain"])
def test_a_card_says_how_it_was_made_and_what_it_holds(workspace_root, artefact):
    text = written(Workspace(workspace_root), artefact, counts={"pairs": 1234, "t2i_r1": 0.25})
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["tags"][0] == "SAR"
    made = body.partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(made) == {"seed": 3, "split": {"train": 0.8}}
    assert "| pairs | 1,234 |" in body
    assert "| t2i_r1 | 0.25 |" in body
    assert "- `tiles` (abc)" in body
    assert "`python -m jobs.corpus`" in body
    assert "## Limits" in body


def test_a_tables_card_explains_its_columns(workspace_root):
    text = written(Workspace(workspace_root), "corpus")
    assert all(f"| `{name}` |" in text for name in CORPUS.names)


def test_a_card_that_says_the_same_is_left_alone(workspace_root):
    workspace = Workspace(workspace_root)
    first = written(workspace, "corpus")
    before = workspace.local("corpus", "README.md").stat().st_mtime_ns
    assert written(workspace, "corpus", seconds=9.0) == first
    assert workspace.local("corpus", "README.md").stat().st_mtime_ns == before
    assert written(workspace, "corpus", counts={"pairs": 1}) != first


def test_other_artefacts_have_none(workspace_root):
    workspace = Workspace(workspace_root)
    Manifest(artefact="index", job="jobs.index", settings={}).write(workspace)
    assert not workspace.exists("index", "README.md")
