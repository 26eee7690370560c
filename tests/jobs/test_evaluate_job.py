"""The evaluate job: a vision model's answers over real HTTP, asked once, scored as values, within the budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.evaluate import EvaluateSettings, evaluate
from knowlip.captioning.gate import EndpointError
from knowlip.errors import DataError
from knowlip.records import EXAMPLES
from knowlip.workspace import Workspace
from tests.builders import png
from tests.llm_server import LlmServer

KEY = "sk-canary-5d1c09"
SHIPS, FORM = "How many ships are there?", "What is the main landform?"


def row(number: int, split: str, kind: str, question: str, answer: str) -> dict[str, Any]:
    image = np.random.default_rng(number).integers(1, 256, (48, 48), dtype=np.uint8)
    common = {"example_id": f"e{number}", "tile_id": f"t{number}", "split": split, "view": png(image)}
    return dict.fromkeys(EXAMPLES.names) | common | {"kind": kind, "question": question, "answer": answer}


@pytest.fixture
def asked(workspace_root: str, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    rows = [row(n, "train", "count", SHIPS, str(n % 2)) for n in range(4)]
    rows += [row(n, "train", "main_landform", FORM, ("water", "grass")[n % 2]) for n in range(4, 8)]
    rows += [row(n, "test", "count", SHIPS, ("2", "12")[n % 2]) for n in range(8, 12)]
    rows += [row(n, "test", "main_landform", FORM, ("water", "grass", "grass")[n % 3]) for n in range(12, 18)]
    workspace = Workspace(workspace_root)
    workspace.write_table(pa.Table.from_pylist(rows, schema=EXAMPLES), "datasets/vqa", "a.parquet")
    return workspace


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer(key=KEY, answers={SHIPS: "two", FORM: "Grass."}).serving() as running:
        yield running


def settings(workspace: Workspace, server: LlmServer, **changes: object) -> EvaluateSettings:
    endpoint = {"base_url": server.url, "model": "gpt-4.1-mini", "in_flight": 4, "back_off_s": 0.01, "tries": 2}
    endpoint["max_tokens"] = 400  # the server bills 300 a reply
    return EvaluateSettings(workspace=workspace.root, endpoint=endpoint, **changes)


def figures(workspace: Workspace) -> dict[str, float]:
    table = workspace.read_table("evaluations/vqa-gpt-4.1-mini", "figures.parquet").to_pylist()
    assert all(one["low"] <= one["value"] <= one["high"] for one in table)
    return {one["metric"]: one["value"] for one in table}


def test_answers_are_asked_for_once_and_compared_as_values(asked: Workspace, server: LlmServer) -> None:
    assert evaluate(settings(asked, server, dry_run=True)).counts == {"questions": 10, "in the journal": 0}
    evaluate(settings(asked, server))
    found = figures(asked)
    assert found["accuracy_count"] == 0.5  # "two" is 2 and not 12
    assert found["accuracy_main_landform"] == pytest.approx(4 / 6)
    assert found["majority_accuracy_count"] == 0.0
    assert found["text_only_accuracy_main_landform"] == pytest.approx(4 / 6)
    assert server.asked.total() == 10
    said = str(server.prompts)
    assert "The names are: grass, water." in said
    assert "response_format" not in said
    evaluate(settings(asked, server))
    assert server.asked.total() == 10
    assert evaluate(settings(asked, server, dry_run=True)).counts["in the journal"] == 10
    answers = asked.read_table("evaluations/vqa-gpt-4.1-mini", "answers.parquet").to_pylist()
    assert {one["given"] for one in answers} == {"two", "Grass."}
    for path in asked.local("evaluations").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_a_refusal_is_a_wrong_answer_and_is_asked_again(asked: Workspace, server: LlmServer) -> None:
    server.misdeeds.extend(["", "refusal_field"])
    summary = evaluate(settings(asked, server, most=3))
    assert (summary.counts["questions"], summary.counts["without an answer"]) == (6, 1)
    assert evaluate(settings(asked, server, most=3)).counts["without an answer"] == 0
    assert server.asked.total() == 7


def test_a_budget_is_never_passed(asked: Workspace, server: LlmServer) -> None:
    with pytest.raises(EndpointError, match="of 10 questions are answered"):
        evaluate(settings(asked, server, budget_tokens=5000))
    assert 0 < server.prompt_tokens + server.completion_tokens <= 5000
    assert not asked.exists("evaluations/vqa-gpt-4.1-mini", "manifest.json")
    evaluate(settings(asked, server, budget_tokens=50_000))  # what was paid for is not asked for again
    assert server.asked.total() == 10


def test_a_set_without_such_questions(asked: Workspace, server: LlmServer) -> None:
    with pytest.raises(DataError, match="datasets/vqa: has no questions of 'val'"):
        evaluate(settings(asked, server, split="val"))
