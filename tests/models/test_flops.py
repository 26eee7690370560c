"""The count of a step's operations against PyTorch's own counter, which watches the step as it runs."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.augment import Augmentation
from models.flops import StepFlops
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.pretrainer import PretrainingNetwork
from models.tasks.pairs import PairBatcher


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("rows", [5, 16])
def test_counts_what_pytorch_counts(columns, tokenizer, make_config, rows, checkpointed):
    config = make_config().with_vocabulary(tokenizer.vocab_size)
    network = PretrainingNetwork(KnowLIP(config))
    preprocessing = Preprocessing(image_size=32, channels=1, mean=0.35, std=0.2)
    batcher = PairBatcher(config, tokenizer, preprocessing, Augmentation())
    first = {name: values[:rows] for name, values in columns.items()}
    batch = batcher(first, train=True, generator=torch.Generator().manual_seed(0))
    counted = StepFlops(network)(batch)
    network.student.checkpoint_activations(checkpointed)
    # Only the plain kernel is made of products that the counter sees on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        torch.stack(list(network(batch, preprocessing.normalised(batch["pixels"])).values())).sum().backward()
    watched = counter.get_total_flops()
    if checkpointed:
        assert counted < 0.85 * watched  # what is computed again is not the model's
    else:
        assert counted == pytest.approx(watched, rel=0.01)


def test_the_parts_are_those_of_one_pair_forward(columns, tokenizer, make_config):
    config = make_config().with_vocabulary(tokenizer.vocab_size)
    batcher = PairBatcher(config, tokenizer, Preprocessing(image_size=32, channels=1), Augmentation())
    batch = batcher(columns, train=True, generator=torch.Generator().manual_seed(0))
    count = StepFlops(PretrainingNetwork(KnowLIP(config)))
    forward = sum(count.derivation(batch).values()) * 1e9
    assert 2.8 * 16 * forward < count(batch) < 4 * 16 * forward
