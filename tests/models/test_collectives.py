"""Workers that tell each other rows: as many as each has, in their order, and where one's own begin."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from models.collectives import gather_rows

SIZES = (3, 1, 2)


def _worker(rank: int, folder: str) -> None:
    from torch import distributed

    from models.collectives import gather_objects, gather_rows, own_rank

    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SIZES))
    own = torch.arange(SIZES[rank]) + 10 * rank
    (numbers, squares), first = gather_rows(own, (own**2)[:, None].float())
    said = {"first": first, "numbers": numbers.tolist(), "squares": squares[:, 0].tolist()}
    said["objects"] = gather_objects([rank] * SIZES[rank])
    (Path(folder) / f"{own_rank()}.json").write_text(json.dumps(said))
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_of_unequal_numbers_of_rows(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=_worker, args=(rank, str(tmp_path))) for rank in range(len(SIZES))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    numbers = [0, 1, 2, 10, 20, 21]
    for rank, first in enumerate((0, 3, 4)):
        said = json.loads((tmp_path / f"{rank}.json").read_text())
        squares = [float(number**2) for number in numbers]
        assert said == {"first": first, "numbers": numbers, "squares": squares, "objects": [0, 0, 0, 1, 2, 2]}


def test_alone_a_worker_tells_itself() -> None:
    rows = torch.ones(2, 3)
    (told,), first = gather_rows(rows)
    assert told is rows
    assert first == 0
