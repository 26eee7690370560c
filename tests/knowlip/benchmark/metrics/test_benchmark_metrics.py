"""Every metric against a reference that shares no code with it, on cases small enough to work out by hand."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowlip.benchmark.metrics import (
    answering_scores,
    caption_records,
    caption_scores,
    classification_scores,
    detection_record,
    detection_scores,
    differences,
    intervals,
    retrieval_scores,
    segmentation_record,
    segmentation_scores,
)
from knowlip.benchmark.metrics.detection import overlaps
from knowlip.errors import DataError

java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs a Java runtime (default-jre-headless)")


def test_classification_counts_first_and_first_three() -> None:
    ranked = [["a", "b", "c"], ["b", "a", "c"], ["c", "b", "d"], ["d", "b", "c"]]
    labels = ["a", "a", "a", "b"]
    records = [{"label": label, "ranked": row} for label, row in zip(labels, ranked, strict=True)]
    assert classification_scores(records) == {"top1": 0.25, "top3": 0.75, "mean_recall": pytest.approx(1 / 6)}
    assert classification_scores([]) == {}


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 60, (count, 2))
    return np.hstack([corner, corner + rng.uniform(4, 30, (count, 2))])


def detections(seed: int, images: int = 6) -> list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Jittered and invented detections, some turned inside out, scores that tie, images without boxes or detections."""
    rng = np.random.default_rng(seed)
    cases = []
    for image in range(images):
        truth = random_boxes(rng, 0 if image == 0 else int(rng.integers(1, 6)))
        right = [{"category": "ab"[i % 2], "box": box.tolist()} for i, box in enumerate(truth)]
        moved = truth + rng.normal(0, 3, truth.shape)
        boxes = np.vstack([moved, random_boxes(rng, 3)])
        given = [
            {"category": "ab"[i % 2], "box": box.tolist(), "score": round(float(rng.uniform()), 1)}
            for i, box in enumerate(boxes)
        ]
        cases.append(([] if image == 1 else given, right))
    return cases


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_that_of_torchmetrics(seed: int) -> None:
    import models  # noqa: F401 (torchvision needs its guard)

    torch = pytest.importorskip("torch")
    from torchmetrics.detection import MeanAveragePrecision

    cases = detections(seed)
    # its own recall points are float32, so that 0.6 would lie above 0.6
    points = np.linspace(0, 1, 101).tolist()
    metric = MeanAveragePrecision(iou_thresholds=[0.5], rec_thresholds=points)
    for given, right in cases:
        predicted = {
            "boxes": torch.tensor([one["box"] for one in given]).reshape(-1, 4),
            "scores": torch.tensor([one["score"] for one in given]),
            "labels": torch.tensor(["ab".index(one["category"]) for one in given], dtype=torch.int64),
        }
        truth = {
            "boxes": torch.tensor([one["box"] for one in right]).reshape(-1, 4),
            "labels": torch.tensor(["ab".index(one["category"]) for one in right], dtype=torch.int64),
        }
        metric.update([predicted], [truth])
    records = [detection_record(given, right) for given, right in cases]
    assert detection_scores(records)["map50"] == pytest.approx(float(metric.compute()["map_50"]), abs=1e-6)


def test_a_box_turned_inside_out_is_no_detection() -> None:
    right = [{"category": "ship", "box": [0, 0, 10, 10]}]
    found = {"category": "ship", "box": [0, 0, 10, 10], "score": 0.5}
    turned = {"category": "ship", "box": [30, 0, 20, 10], "score": 0.9}
    assert detection_record([turned, found], right) == detection_record([found], right)


def test_overlaps_are_shares_of_the_union() -> None:
    first, second = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]]), np.array([[0.0, 0, 10, 5], [5, 0, 15, 10]])
    assert overlaps(first, second).tolist() == [[0.5, pytest.approx(1 / 3)], [0.0, 0.0]]
    assert overlaps(first, np.zeros((0, 4))).shape == (2, 0)


def test_average_precision_by_hand() -> None:
    box, other, far = [0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]
    right = [{"category": "ship", "box": box}, {"category": "ship", "box": other}]
    given = [
        {"category": "ship", "box": box, "score": 0.9},
        {"category": "ship", "box": [1, 0, 10, 10], "score": 0.8},  # the same ship again
        {"category": "ship", "box": other, "score": 0.7},
        {"category": "ship", "box": far, "score": 0.1},
    ]
    found = detection_scores([detection_record(given, right)])
    # precision 1 up to recall 0.5 (51 of 101 points), 2/3 up to recall 1 (50 points)
    assert found["map50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert found["recall50"] == 1.0
    assert detection_scores([detection_record(given, [])]) == {}  # nothing to find, nothing to measure
    assert detection_scores([detection_record([], right)]) == {"map50": 0.0, "recall50": 0.0}


def test_absent_classes_do_not_count_in_the_mean() -> None:
    right = np.array([[0, 0, 1], [1, -1, -1]])
    given = np.array([[0, 1, 1], [1, 0, 2]])  # class 2 is only given where nothing is known; class 3 never
    records = [segmentation_record(given, right, 4)]
    assert segmentation_scores(records) == {"oa": 0.75, "miou": pytest.approx((1 / 2 + 2 / 3) / 2)}
    wrong = segmentation_record(np.full((2, 2), 3), np.zeros((2, 2), int), 4)
    assert segmentation_scores([wrong]) == {"oa": 0.0, "miou": 0.0}
    assert segmentation_scores([segmentation_record(given, np.full((2, 3), -1), 4)]) == {}


def test_segmentation_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, jaccard_score

    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 5, (9, 9)), rng.integers(0, 5, (9, 9))) for _ in range(4)]
    found = segmentation_scores([segmentation_record(given, right, 7) for given, right in pairs])
    given, right = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    assert found["oa"] == pytest.approx(accuracy_score(right, given))
    assert found["miou"] == pytest.approx(jaccard_score(right, given, average="macro"))


def test_recall_counts_queries_each_way() -> None:
    ranks = {"t2i": [0, 0, 3, 12], "i2t": [0, 9]}
    records = [{"direction": way, "rank": rank} for way, some in ranks.items() for rank in some]
    scores = {"t2i_r1": 0.5, "t2i_r5": 0.75, "t2i_r10": 0.75, "i2t_r1": 0.5, "i2t_r5": 0.5, "i2t_r10": 1.0}
    assert retrieval_scores(records) == {**scores, "retrieval_mean": pytest.approx(4 / 6)}


def test_accuracy_by_kind() -> None:
    records = [{"kind": "count", "right": True}, {"kind": "count", "right": False}, {"kind": "region", "right": True}]
    found = answering_scores(records)
    assert found == {"accuracy": pytest.approx(2 / 3), "accuracy_count": 0.5, "accuracy_region": 1.0}


GIVEN = {
    "a": "Two ships lie in the harbour, near a crane.",
    "b": "An airport with three aircraft.",
    "c": "Water everywhere!",
    "d": "",
}
RIGHT = {
    "a": ["Two ships lie in the harbour near a tall crane.", "There are two ships in a harbour."],
    "b": ["An airport with three parked aircraft.", "Three aircraft stand at the airport."],
    "c": ["Open water covers the image.", "The image shows water."],
    "d": ["Fields.", "Farmland with roads."],
}


@java
def test_captions_are_scored_as_pycocoevalcap_scores_a_corpus() -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor import meteor as program
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    split = PTBTokenizer().tokenize
    gts = split({name: [{"caption": text} for text in texts] for name, texts in RIGHT.items()})
    res = split({name: [{"caption": text}] for name, text in GIVEN.items()})
    records = caption_records(GIVEN, RIGHT)
    found = caption_scores(records)
    assert found["bleu4"] == pytest.approx(Bleu(4).compute_score(gts, res, verbose=0)[0][3], abs=1e-6)
    assert found["cider"] == pytest.approx(Cider().compute_score(gts, res)[0])
    if " " not in program.__file__:  # where there is one, pycocoevalcap's own program does not start
        meteor = program.Meteor().compute_score(gts, res)
        assert [record["meteor"] for record in records] == pytest.approx(meteor[1])
    assert "spice" not in found
    assert records[0]["meteor"] > records[2]["meteor"] > 0


@java
def test_meteor_is_the_same_where_a_path_has_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycocoevalcap.meteor import meteor as program

    elsewhere = shutil.copytree(Path(program.__file__).parent, tmp_path / "a space" / "meteor")
    here = [record["meteor"] for record in caption_records(GIVEN, RIGHT)]
    monkeypatch.setattr(program, "__file__", str(elsewhere / "meteor.py"))
    assert [record["meteor"] for record in caption_records(GIVEN, RIGHT)] == here


@java
def test_a_java_program_that_dies_is_one_line_and_no_deadlock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dying = 'case "$*" in *meteor*) echo "Could not reserve enough space" >&2; exit 1;; esac'
    (tmp_path / "java").write_text(f'#!/bin/sh\n{dying}\nexec {shutil.which("java")} "$@"\n')
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DataError, match=r"METEOR: its Java program ended early \(Could not reserve enough space\)"):
        caption_records(GIVEN, RIGHT)
    gc.collect()


def test_captions_without_java_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from knowlip.benchmark.metrics.captions import unavailable

    monkeypatch.setenv("PATH", "")
    found = caption_scores(caption_records(GIVEN, RIGHT))
    assert set(found) == {"bleu4", "cider"}
    assert "java" in unavailable()["meteor"]
    assert "KNOWLIP_SPICE_JARS" in unavailable()["spice"]


def test_an_interval_is_wider_where_examples_come_in_groups() -> None:
    rng = np.random.default_rng(0)
    right = np.repeat(rng.uniform(size=20) < 0.6, 10)
    single = [{"kind": "k", "right": bool(value), "example_id": str(i)} for i, value in enumerate(right)]
    grouped = [{**record, "group": str(i // 10)} for i, record in enumerate(single)]
    alone, together = intervals(single, answering_scores)["accuracy"], intervals(grouped, answering_scores)["accuracy"]
    assert alone.value == together.value == right.mean()
    p = right.mean()
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 200), rel=0.25)
    assert together.high - together.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 20), rel=0.3)
    assert intervals(grouped, answering_scores, seed=0) == intervals(grouped, answering_scores, seed=0)


def test_what_is_hard_for_both_cancels_out_of_a_paired_difference() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(size=400)
    answers = [
        [
            {"kind": "k", "right": bool(limit > h), "example_id": str(i), "group": str(i // 2)}
            for i, h in enumerate(hard)
        ]
        for limit in (0.6, 0.5)
    ]
    found = differences(*answers, answering_scores)["accuracy"]
    apart = np.mean(hard < 0.6) - np.mean(hard < 0.5)
    assert found.value == pytest.approx(apart)
    assert 0 < found.low < found.value < found.high
    alone = intervals(answers[0], answering_scores)["accuracy"]
    assert found.high - found.low < 0.8 * (alone.high - alone.low)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(apart * (1 - apart) / 400), rel=0.3)
    turned = differences(*answers[::-1], answering_scores)["accuracy"]
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    with pytest.raises(ValueError, match="2 groups were answered by one of the two only"):
        differences(answers[0][:-4], answers[1], answering_scores)
