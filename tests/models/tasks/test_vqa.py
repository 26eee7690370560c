"""VQA: the decoder learns to answer, ranking agrees with the model's own verb, and negatives are true ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.tasks.protocol import Task
from models.tasks.vqa import VqaSettings, VqaTask

Columns = dict[str, np.ndarray]
ANSWERS = {"region": ("left", "right"), "count": ("one", "two")}


@pytest.fixture
def task(tiny_checkpoint: Path) -> VqaTask:
    return VqaTask(VqaSettings(checkpoint=str(tiny_checkpoint), answers=ANSWERS))


def collated(task: VqaTask, columns: Columns) -> dict[str, object]:
    return task.collate(columns, train=False, generator=torch.Generator().manual_seed(0))


def test_learns_to_answer_and_says_the_same_when_read_back(
    task: VqaTask, block_columns: Columns, tmp_path: Path
) -> None:
    assert isinstance(task, Task)
    network = task.build()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    batch = collated(task, block_columns)
    for _ in range(100):
        losses = task.losses(batch)
        assert set(losses) == {"itc", "itm", "mlm"}
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    network.eval()
    task.evaluate(batch)
    assert task.metrics() == {"accuracy": 1.0, "accuracy_count": 1.0}
    assert task.metrics() == {}
    task.export(tmp_path / "tuned", {"made": "here"})
    model = models.load(tmp_path / "tuned")
    views, questions = list(block_columns["view"]), list(block_columns["question"])
    chosen = model.answer(views, questions, ["one", "two"])
    assert [answer.answer for answer in chosen] == list(block_columns["answer"])
    assert [answer.answer for answer in model.answer(views, questions)] == list(block_columns["answer"])
    assert json.loads((tmp_path / "tuned" / "answers.json").read_text()) == {k: list(v) for k, v in ANSWERS.items()}


def test_held_out_questions_are_answered_as_the_verb_answers_them_however_many_at_once(
    task: VqaTask, block_columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = task.build().eval()
    batch = collated(task, block_columns)
    chosen = task.model.answer(list(block_columns["view"]), list(block_columns["question"]), ANSWERS["count"])
    for at_once in (1, 6, 256):
        monkeypatch.setattr("models.tasks.vqa._RANKED_AT_ONCE", at_once)
        task.evaluate(batch)
        task.metrics()
        assert [record["given"] for record in task.scored] == [answer.answer for answer in chosen]
    assert not network.training


def test_a_question_that_is_too_long_loses_its_end_and_keeps_its_answer(task: VqaTask, block_columns: Columns) -> None:
    block_columns["question"][:] = "how many blocks are there " * 20
    batch = collated(task, block_columns)
    tokenizer = task.model.tokenizer
    said = [tokenizer.decode(row.tolist()).split()[-1] for row in batch["ids"]]
    assert said == list(block_columns["answer"])
    assert int(batch["mask"].sum(dim=1).max()) == task.settings.max_tokens
    assert not (batch["ids"] == batch["wrong_ids"]).all(dim=1)[batch["wrong"]].any()


def test_what_weighs_nothing_is_not_computed(tiny_checkpoint: Path, block_columns: Columns) -> None:
    settings = {"checkpoint": str(tiny_checkpoint), "answers": ANSWERS, "weights": {"itm": 0, "mlm": 0}}
    task = VqaTask(VqaSettings.model_validate(settings))
    task.build()
    losses = task.losses(collated(task, block_columns))
    assert set(losses) == {"itc"}
    sum(losses.values()).backward()
    assert task.model.network.match_head.weight.grad is None


def test_each_row_draws_its_own_negative_whatever_stands_beside_it(task: VqaTask, block_columns: Columns) -> None:
    whole = collated(task, block_columns)["chance"]
    part = collated(task, {name: values[3:5] for name, values in block_columns.items()})["chance"]
    assert torch.equal(part, whole[3:5])
    assert len(set(whole.tolist())) == 8


def test_rows_that_say_or_show_the_same_are_no_negatives(task: VqaTask, block_columns: Columns) -> None:
    block_columns["tile_id"][1] = "t0"
    batch = collated(task, block_columns)
    alike = batch["alike"]
    assert alike[0, 1]  # one tile
    assert alike[0, 2]  # one statement: the question, and "one"
    assert not alike[2, 3]
    assert batch["wrong"].all()  # neighbours' answers alternate
    block_columns["answer"][1] = "one"
    assert not collated(task, block_columns)["wrong"][0]
