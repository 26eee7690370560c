"""The meter reads means, counts what was set aside, and names the examples of a loss that is not finite."""

from __future__ import annotations

import pytest
import torch

from jobs.train.meter import Meter
from knowlip.errors import DataError


def meter() -> Meter:
    return Meter(torch.device("cpu"))


def test_reads_means_and_starts_afresh() -> None:
    noted = meter()
    noted.add({"itc": torch.tensor(1.0), "itm": torch.tensor(4.0)}, {"tile_id": ["a"], "skipped": [("x", "why")]}, 8)
    noted.add({"itc": torch.tensor(3.0), "itm": torch.tensor(4.0)}, {"tile_id": ["b"]}, 8)
    reading = noted.read()
    assert (reading["itc"], reading["itm"], reading["skipped"]) == (2.0, 4.0, 1.0)
    assert reading["samples_per_s"] > 0
    assert 0 <= reading["data_wait_share"] <= 1
    assert noted.read() == {}


def test_names_the_first_batch_whose_loss_is_not_finite() -> None:
    noted = meter()
    noted.add({"itc": torch.tensor(1.0)}, {"tile_id": ["fine"]}, 8)
    noted.add({"itc": torch.tensor(float("inf"))}, {"tile_id": ["first", "second"]}, 8)
    noted.add({"itc": torch.tensor(float("nan"))}, {"tile_id": ["later"]}, 8)
    with pytest.raises(DataError, match="a loss is not finite in the batch of first, second") as caught:
        noted.read()
    assert caught.value.code == "loss_not_finite"
