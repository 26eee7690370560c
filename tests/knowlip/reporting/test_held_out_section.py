"""What a report shows of a tuned model: its figures with intervals, and examples, right and wrong ones alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from knowlip.benchmark.held_out import write_figures, write_records
from knowlip.benchmark.metrics import Interval, caption_records, detection_record, segmentation_record
from knowlip.manifest import Manifest
from knowlip.records import EXAMPLES
from knowlip.reporting import Cards, Figure, Section, Table, render
from knowlip.reporting.sections.held_out import held_out_elements
from knowlip.workspace import Workspace
from tests.builders import png

RUN, COUNT = "runs/it", 24


class FakeLook:
    """Looks at the upper left corner, and tells images apart by their mean."""

    def attention(self, views: Sequence[bytes], texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        assert len(views) == len(texts)
        return [np.eye(1, 16, dtype=np.float32).reshape(4, 4) for _ in views]

    def features(self, views: Sequence[bytes]) -> npt.NDArray[np.float32]:
        return np.random.default_rng(0).normal(size=(len(views), 8)).astype(np.float32)


@pytest.fixture
def shown(workspace_root: str) -> Any:
    """Shows a run of a task that gave some records."""
    workspace = Workspace(workspace_root)
    random = np.random.default_rng(0)
    rows = [
        {**dict.fromkeys(EXAMPLES.names), "example_id": name, "tile_id": name, "split": "test"}
        | {"view": png(random.integers(1, 256, (16, 16), dtype=np.uint8))}
        for name in (f"e{number:02d}" for number in range(COUNT))
    ]
    workspace.write_table(pa.Table.from_pylist(rows, EXAMPLES), "datasets/set", "part.parquet")

    def show(task: str, records: list[dict[str, Any]], **tuning: Any) -> list[Any]:
        folder = workspace.local(RUN, "checkpoint")
        folder.mkdir(parents=True, exist_ok=True)
        write_records(folder, [{"example_id": f"e{number:02d}", **record} for number, record in enumerate(records)])
        (folder / "head.json").write_text('{"settings": {"classes": {"1": "ground", "2": "roof"}}}')
        write_figures(workspace, RUN, {"it": Interval(0.75, 0.5, 0.9)})
        settings = {"task": task, "data": "set", "tuning": tuning}
        Manifest(artefact=RUN, job="jobs.finetune", settings=settings, inputs={}).write(workspace)
        elements = held_out_elements(workspace, RUN, FakeLook())
        assert "data:image" in render("t", [Section("s", elements)]) or task == "segmentation"
        assert elements[0].rows == [("it", 0.75, 0.5, 0.9)]
        return elements[1:]

    return show


def test_a_run_that_is_no_tuned_model_shows_nothing(workspace_root: str) -> None:
    assert held_out_elements(Workspace(workspace_root), "runs/pretrain", FakeLook()) == []


def test_detections_are_drawn_and_counted(shown: Any) -> None:
    truths = [{"category": "ship", "box": [1.0, 1.0, 8.0, 8.0]}, {"category": "ship", "box": [9.0, 9.0, 15.0, 15.0]}]
    given = [{**truths[0], "score": 0.9}, {"category": "ship", "box": [0.0, 10.0, 4.0, 14.0], "score": 0.8}]
    record = {"given": given, "truths": truths, **detection_record(given, truths)}
    nothing = {"given": [], "truths": [], **detection_record([], [])}
    (cards,) = shown("detection", [nothing] * 7 + [record])
    assert cards.cards[0].title == "e07"  # where there is most to find
    assert cards.cards[0].facts == ["1 right", "1 false", "1 missed"]


def test_answers_come_right_and_wrong_of_every_kind_and_with_where_the_model_looks(shown: Any) -> None:
    records = [
        {"question": f"{kind}?", "answer": "two", "given": "two" if right else "three", "kind": kind, "right": right}
        for kind, right in [("count", True)] * 18 + [("count", False), ("region", True), ("region", False)]
    ]
    answers, looks = shown("vqa", records)
    kinds = {(card.title, card.texts["answer"]) for card in answers.cards[:4]}
    assert kinds == {("count?", "two"), ("count?", "three"), ("region?", "two"), ("region?", "three")}
    assert [card.title for card in looks.cards] == [card.title for card in answers.cards]
    assert all(a.picture != b.picture for a, b in zip(looks.cards, answers.cards, strict=True))


def test_classes_stand_beside_features_in_the_plane(shown: Any) -> None:
    records = [{"label": "ab"[n % 2], "ranked": ["a", "b"]} for n in range(COUNT)]
    cards, plane = shown("classification", records)
    assert [card.facts for card in cards.cards[:2]] == [["wrong"], ["right"]]
    assert isinstance(plane, Figure)
    assert "a, b" in plane.svg
    assert shown("classification", records, backbone="resnet10t") == [cards]  # nothing to look into
    many = [{"label": f"class {n:02d}", "ranked": ["class 00"]} for n in range(COUNT)]
    assert "others" in shown("classification", many)[1].svg


def test_retrieval_says_where_the_right_image_stands(shown: Any) -> None:
    records = [
        {"direction": "t2i", "rank": 0, "text": "a port", "first": "e00"},
        {"direction": "t2i", "rank": 3, "text": "a city", "first": "e09"},
        {"direction": "i2t", "rank": 0},
    ]
    (cards,) = shown("retrieval", records)
    told = {card.title: card.facts for card in cards.cards}
    assert told == {"a port": ["right"], "a city": ["a right one stands at place 4"]}


def test_examples_that_are_gone_are_left_out(shown: Any, workspace_root: str) -> None:
    records = [{"given": "two ships", "references": ["three ships"]}] * (COUNT + 2)
    (cards,) = shown("captioning", records)
    assert {card.title for card in cards.cards} <= {f"e{number:02d}" for number in range(COUNT)}
    Workspace(workspace_root).delete("datasets", "set")
    assert [type(one) for one in held_out_elements(Workspace(workspace_root), RUN, FakeLook())] == [Table]


def test_captions_stand_beside_right_ones(shown: Any) -> None:
    (cards,) = shown("captioning", caption_records({"e00": "two ships"}, {"e00": ["three ships", "ships"]}))
    assert isinstance(cards, Cards)
    assert cards.cards[0].texts == {"written": "two ships", "a right one": "three ships"}


def test_segments_are_counted_by_class(shown: Any) -> None:
    right = np.array([[0, 0, 1, 1]])
    (table,) = shown("segmentation", [segmentation_record(np.array([[0, 1, 1, 1]]), right, 2)])
    assert isinstance(table, Table)
    assert table.rows == [("ground", 50.0, 50.0), ("roof", 50.0, pytest.approx(200 / 3))]
