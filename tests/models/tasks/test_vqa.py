"""VQA: the decoder learns to answer, ranking agrees with the model's own verb, and negatives are true ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.tasks.protocol import Task
from models.tasks.vqa import VqaSettings, VqaTask, rank_answers

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


def test_ranking_is_the_likelihood_that_the_verb_uses(task: VqaTask, block_columns: Columns) -> None:
    from models.generation import sequence_log_likelihood

    network = task.build().eval()
    batch = collated(task, block_columns)
    candidates = ["one", "two", "two left"]
    tokenizer = task.model.tokenizer
    with torch.no_grad():
        image_BND, _ = network.encode_image(task.model.preprocessing.normalised(batch["pixels"]))
        scores = rank_answers(network, tokenizer, image_BND, batch["prompt_ids"], batch["prompt_mask"], candidates)
    prompts = tokenizer.prompt(list(block_columns["question"]), 35)
    for column, candidate in enumerate(candidates):
        targets = tokenizer.encode([candidate] * 8)
        expected = sequence_log_likelihood(network, tokenizer, image_BND, prompts, targets)
        torch.testing.assert_close(scores[:, column], expected, atol=1e-5, rtol=1e-5)


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
