"""Settings of the loop: what is refused, what DeepSpeed gets, and that every shipped configuration is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from jobs.baseline import BaselineSettings
from jobs.finetune import FinetuneSettings
from jobs.pretrain import PretrainSettings
from jobs.train.deepspeed_config import deepspeed_config, parameter_groups
from jobs.train.run import check_batch
from jobs.train.settings import OptimisationSettings, ScalingSettings, TrainSettings
from knowlip.errors import DataError, SettingsError
from knowlip.settings import read_settings

CONFIGS = Path(__file__).resolve().parents[3] / "jobs" / "configs"


def test_zero_3_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(PretrainSettings, ["--scaling.zero-stage", "3"], prog="pretrain")
    assert str(caught.value) == (
        "pretrain: scaling.zero_stage = '3': 3 would shard the parameters that the momentum update reads; "
        "use 0, 1 or 2; see --help"
    )


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(SettingsError, match="32 is not a multiple of workers × accumulation = 3"):
        check_batch(TrainSettings(), ScalingSettings(workers=3), rows=100)
    with pytest.raises(DataError, match="has 3 examples, 2 workers × accumulation need 4 or more"):
        check_batch(TrainSettings(), ScalingSettings(workers=2), rows=3)


def test_norms_and_biases_do_not_decay() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    network[2].requires_grad_(False)
    decayed, free = parameter_groups(network, 0.05)
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(3, 4)]
    assert decayed["weight_decay"] == 0.05
    assert [tuple(parameter.shape) for parameter in free["params"]] == [(3,), (3,), (3,)]
    assert free["weight_decay"] == 0.0


def test_deepspeed_gets_the_papers_optimiser_and_compiles_nothing() -> None:
    config = deepspeed_config(OptimisationSettings(), ScalingSettings(zero_stage=2, accumulation=4), micro_batch_size=8)
    assert config["optimizer"]["params"] == {
        "lr": 3e-4,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.05,
        "torch_adam": True,
    }
    assert config["zero_optimization"]["stage"] == 2
    assert (config["train_micro_batch_size_per_gpu"], config["gradient_accumulation_steps"]) == (8, 4)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("pretrain-*.yaml")), ids=lambda path: path.stem)
def test_every_pretraining_configuration_is_valid(path: Path) -> None:
    settings = read_settings(PretrainSettings, ["--config", str(path)], prog="pretrain")
    check_batch(settings.train, settings.scaling, rows=10_000)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("finetune-*.yaml")), ids=lambda path: path.stem)
def test_every_fine_tuning_configuration_is_valid(path: Path) -> None:
    settings = read_settings(FinetuneSettings, ["--config", str(path)], prog="finetune")
    check_batch(settings.train, settings.scaling, rows=10_000)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("baseline-*.yaml")), ids=lambda path: path.stem)
def test_every_baseline_configuration_is_valid(path: Path) -> None:
    settings = read_settings(BaselineSettings, ["--config", str(path)], prog="baseline")
    check_batch(settings.train, settings.scaling, rows=10_000)


@pytest.mark.parametrize("name", ["base", "large"])
def test_the_papers_hyper_parameters(name: str) -> None:
    settings = read_settings(PretrainSettings, ["--config", str(CONFIGS / f"pretrain-{name}.yaml")], prog="pretrain")
    assert settings.optimisation == OptimisationSettings()
    assert settings.scio.phase_epochs == (12, 12, 12)
    assert settings.train.batch_size == 32 * settings.scaling.workers
    contrast = settings.model.contrast
    assert (contrast.queue_size, contrast.alpha, contrast.momentum) == (20_000, 0.4, 0.995)
    assert (settings.model.vision.image_size, settings.model.projection) == (224, 256)


def test_a_preset_is_changed_by_single_settings() -> None:
    argv = ["--preset", "tiny", "--model.vision.depth", "5"]
    model = read_settings(PretrainSettings, argv, prog="pretrain").model
    assert (model.vision.depth, model.vision.width, model.text.layers) == (5, 128, 2)
    assert read_settings(PretrainSettings, [], prog="pretrain").model.vision.width == 768
