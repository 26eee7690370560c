"""The examples job: labels and questions with the corpus's splits, replaced when the corpus changes."""

from __future__ import annotations

import pytest

from jobs.caption import CaptionSettings, caption
from jobs.corpus import CorpusSettings, corpus
from jobs.examples import ExamplesSettings, examples
from knowlip.benchmark.card import DatasetCard
from knowlip.errors import WorkspaceError
from knowlip.records import EXAMPLES
from knowlip.workspace import Workspace
from tests.builders import pyramid, write_tiles

pytestmark = pytest.mark.ray


def test_examples_follow_the_corpus(workspace_root: str, ray_cluster: None) -> None:
    workspace = Workspace(workspace_root)
    for place in range(3):
        write_tiles(workspace, list(pyramid(f"scene{place}", corner=(-118.0 + place, 33.0))), f"scene{place}-0")
    caption(CaptionSettings(workspace=workspace.root))
    with pytest.raises(WorkspaceError, match="corpus"):
        examples(ExamplesSettings(workspace=workspace.root))
    corpus(CorpusSettings(workspace=workspace.root))
    split = dict(zip(*workspace.read_table("corpus", columns=["tile_id", "split"]).to_pydict().values(), strict=True))

    summary = examples(ExamplesSettings(workspace=workspace.root))
    table = workspace.read_table("datasets", "classification")
    assert table.schema.remove_metadata().equals(EXAMPLES.remove_metadata())
    rows = table.to_pylist()
    assert {row["tile_id"]: row["split"] for row in rows} == split
    assert len(rows) == summary.counts["examples"] == len(split)
    assert all(row["label"] and row["view"] for row in rows)

    card = DatasetCard.read(workspace, "classification")
    assert (card.task, sum(card.counts.values()), card.classes) == (
        "classification",
        len(rows),
        tuple(sorted(card.counts)),
    )

    examples(ExamplesSettings(workspace=workspace.root, task="vqa", questions=2))
    asked = workspace.read_table("datasets", "vqa").to_pylist()
    assert len({row["example_id"] for row in asked}) == len(asked) == 2 * len(split)
    assert all(row["question"] and row["answer"] and row["kind"] for row in asked)

    assert examples(ExamplesSettings(workspace=workspace.root)).counts["units made now"] == 0
    corpus(CorpusSettings(workspace=workspace.root, seed=1, overwrite=True))
    examples(ExamplesSettings(workspace=workspace.root))  # another corpus, other splits: replaced, never mixed
    fresh = dict(zip(*workspace.read_table("corpus", columns=["tile_id", "split"]).to_pydict().values(), strict=True))
    again = workspace.read_table("datasets", "classification").to_pylist()
    assert {row["tile_id"]: row["split"] for row in again} == fresh
    assert len(again) == len(fresh)
