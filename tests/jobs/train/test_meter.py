"""The meter reads means, counts what was set aside, and names the examples of a loss that is not finite."""

from __future__ import annotations

import pytest
import torch

from jobs.train.meter import Meter
from jobs.train.peaks import peak_flops
from knowlip.errors import DataError


def meter() -> Meter:
    return Meter(torch.device("cpu"))


def test_reads_means_and_starts_afresh() -> None:
    noted = meter()
    batch = {"tile_id": ["a"], "skipped": [("x", "why")], "cut": 0.5}
    noted.add({"itc": torch.tensor(1.0), "itm": torch.tensor(4.0)}, batch, 8)
    noted.add({"itc": torch.tensor(3.0), "itm": torch.tensor(4.0)}, {"tile_id": ["b"]}, 8)
    reading = noted.read()
    assert (reading["itc"], reading["itm"], reading["skipped"], reading["cut"]) == (2.0, 4.0, 1.0, 0.25)
    assert reading["samples_per_s"] > 0
    assert 0 <= reading["data_wait_share"] <= 1
    assert noted.read() == {}


def test_tells_the_use_of_a_device_whose_peak_is_known() -> None:
    noted = Meter(torch.device("cpu"), peak_flops=1e12)
    noted.add({"itc": torch.tensor(1.0)}, {}, 8, flops=3e9)
    noted.add({"itc": torch.tensor(1.0)}, {}, 8, flops=3e9)
    reading = noted.read()
    # Both figures are of the same seconds.
    assert reading["mfu"] == pytest.approx(6e9 / 1e12 * reading["samples_per_s"] / 16)
    noted.add({"itc": torch.tensor(1.0)}, {}, 8)
    assert "mfu" not in noted.read()
    assert "mfu" not in meter().read()


@pytest.mark.parametrize(
    ("name", "bfloat16", "float32"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("NVIDIA A10G", 70e12, 31.5e12),
        ("Tesla K80", None, None),
    ],
)
def test_peaks_go_by_the_most_telling_part_of_a_name(
    monkeypatch: pytest.MonkeyPatch, name: str, bfloat16: float | None, float32: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    device = torch.device("cuda", 0)
    assert (peak_flops(device, "bfloat16"), peak_flops(device, "float32")) == (bfloat16, float32)
    assert peak_flops(torch.device("cpu"), "float32") is None


def test_names_the_first_batch_whose_loss_is_not_finite() -> None:
    noted = meter()
    noted.add({"itc": torch.tensor(1.0)}, {"tile_id": ["fine"]}, 8)
    noted.add({"itc": torch.tensor(float("inf"))}, {"tile_id": ["first", "second"]}, 8)
    noted.add({"itc": torch.tensor(float("nan"))}, {"tile_id": ["later"]}, 8)
    with pytest.raises(DataError, match="a loss is not finite in the batch of first, second") as caught:
        noted.read()
    assert caught.value.code == "loss_not_finite"
