"""What a training state refuses to be loaded into."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from jobs.train.checkpointing import Progress, read_progress, restore_weights
from knowlip.errors import CheckpointError


def test_a_state_of_another_architecture_is_one_line_that_names_the_keys(tmp_path: Path) -> None:
    save_file(nn.Linear(3, 2).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights do not fit: of another shape weight \(2, 3\)") as caught:
        restore_weights(tmp_path, nn.Linear(4, 2))
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(CheckpointError, match="missing norm"):
        restore_weights(tmp_path, nn.ModuleDict({"norm": nn.LayerNorm(3)}))


def test_a_folder_that_is_no_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no training state"):
        read_progress(tmp_path)
    (tmp_path / "progress.json").write_text('{"epoch": 2, "step": 5, "samples": 40}')
    assert read_progress(tmp_path) == Progress(2, 5, 40)
