"""Retrieval and captioning: what is a right answer, what is asked, and in which order results come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from knowlip.errors import DataError
from models.tasks.captioning import CaptioningSettings, CaptioningTask
from models.tasks.retrieval import RetrievalSettings, RetrievalTask

Columns = dict[str, np.ndarray]


@pytest.fixture
def described(block_columns: Columns) -> Columns:
    """The eight images with texts; two of them with the same words, one with two texts."""
    places = ("left", "right", "water", "forest", "field", "land", "where", "what")
    texts = [[f"there are {n} blocks {place}"] for n, place in zip(block_columns["label"], places, strict=True)]
    texts[2] = ["There are one blocks left."]
    texts[4] = [*texts[4], "where is the block left"]
    block_columns["texts"] = np.empty(8, dtype=object)
    block_columns["texts"][:] = texts
    return block_columns


def collated(task: RetrievalTask | CaptioningTask, columns: Columns, *, train: bool = False) -> dict[str, object]:
    return task.collate(columns, train=train, generator=torch.Generator().manual_seed(0))


def test_recalls_are_those_of_the_embeddings(tiny_checkpoint: Path, described: Columns) -> None:
    task = RetrievalTask(RetrievalSettings(checkpoint=str(tiny_checkpoint), reranked=0))
    network = task.build().eval()
    task.evaluate(collated(task, described))
    figures = task.metrics()
    model = task.model
    with torch.no_grad():
        _, images = network.encode_image(model.preprocessing(list(described["view"])))
    texts = [text for some in described["texts"] for text in some]
    owner = [place for place, some in enumerate(described["texts"]) for _ in some]
    similarity = images.numpy() @ model.encode_text(texts).T
    hits = 0
    for text, own in enumerate(owner):
        right = {own, *({0, 2} if own in (0, 2) else ())}  # said of both, word by word
        hits += int(similarity[:, text].argmax()) in right
    assert figures["t2i_r1"] == pytest.approx(hits / 9)
    assert len(task.scored) == 8 + 9
    assert figures["t2i_r10"] == figures["i2t_r10"] == 1.0


def test_matching_orders_anew_only_what_contrast_found_first(tiny_checkpoint: Path, described: Columns) -> None:
    ranks = {}
    for reranked in (0, 1, 8):
        task = RetrievalTask(RetrievalSettings(checkpoint=str(tiny_checkpoint), reranked=reranked))
        task.build().eval()
        task.evaluate(collated(task, described))
        task.metrics()
        ranks[reranked] = [record["rank"] for record in task.scored]
    assert ranks[1] == ranks[0]
    assert ranks[8] != ranks[0]


def test_contrast_alone_is_a_setting(tiny_checkpoint: Path, described: Columns) -> None:
    task = RetrievalTask(RetrievalSettings(checkpoint=str(tiny_checkpoint), weights={"itm": 0, "mlm": 0}))
    task.build()
    losses = task.losses(collated(task, described, train=True))
    assert losses["itc"] > 0
    assert set(losses) == {"itc"}


def test_a_caption_is_one_gap_and_is_cut_at_its_length(tiny_checkpoint: Path, described: Columns) -> None:
    task = CaptioningTask(CaptioningSettings(checkpoint=str(tiny_checkpoint), max_tokens=8))
    batch = collated(task, described)
    tokenizer = task.model.tokenizer
    assert (batch["prompt_ids"] == tokenizer.mask).sum(dim=1).tolist() == [1] * 8
    assert batch["written"][:, 0].tolist() == tokenizer.openers(batch["prompt_ids"][0].tolist()) * 8
    lengths = (batch["labels"] >= 0).sum(dim=1)
    assert lengths.max() <= 8
    assert all(batch["labels"][row, length - 1] == tokenizer.sep for row, length in enumerate(lengths.tolist()))


def test_images_without_words_are_set_aside(tiny_checkpoint: Path, described: Columns) -> None:
    task = RetrievalTask(RetrievalSettings(checkpoint=str(tiny_checkpoint)))
    described["texts"][3] = ["  "]
    batch = collated(task, described)
    assert batch["skipped"] == [("e3", "no text")]
    assert len(batch["pixels"]) == len(batch["said"]) == 7
    described["texts"][:] = [None] * 8
    with pytest.raises(DataError, match="examples: no row has a text"):
        collated(task, described)
