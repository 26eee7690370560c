"""The queue wraps at any batch size; the momentum encoders follow and stay in float32."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.momentum import MomentumEncoders
from models.queue import EMPTY, FeatureQueue, pair_ids


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 9), batches=st.lists(st.integers(1, 25), max_size=8))
def test_the_queue_holds_the_last_pairs_in_a_ring(size, batches):
    queue = FeatureQueue(size, 2)
    pushed: list[int] = []
    for count in batches:
        ids = torch.arange(len(pushed), len(pushed) + count)
        features = ids[:, None].float().expand(-1, 2)
        queue.push(features, features + 0.5, ids)
        pushed += ids.tolist()
    expected = {index % size: value for index, value in enumerate(pushed)} if size else {}
    for slot in range(size):
        value = expected.get(slot, EMPTY)
        assert queue.ids[slot] == value
        if value != EMPTY:
            assert queue.images[slot, 0] == value
            assert queue.texts[slot, 1] == value + 0.5
    assert sorted(queue.snapshot()["ids"].tolist()) == sorted(expected.values())


def test_pair_ids_are_stable_and_never_look_empty():
    ids = pair_ids(["a", "b", "a"])
    assert ids[0] == ids[2] != ids[1]
    assert (ids >= 0).all()
    assert ids.tolist() == pair_ids(["a", "b", "a"]).tolist()


def test_the_momentum_update_is_an_exponential_average(network):
    momentum = MomentumEncoders(network)
    before = {name: value.clone() for name, value in momentum.model.named_parameters()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    now = dict(network.named_parameters())
    momentum.update(network, 0.995)
    for name, value in momentum.model.named_parameters():
        expected = 0.995 * before[name].double() + 0.005 * now[name].double()
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-5)


def test_the_momentum_encoders_start_as_the_model_and_learn_nothing_themselves(network):
    momentum = MomentumEncoders(network)
    pixels = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(momentum.encode_image(pixels), network.encode_image(pixels)[1])
    assert not any(parameter.requires_grad for parameter in momentum.parameters())
    assert not momentum.train().training


@pytest.mark.parametrize("cast", ["bfloat16", "half"])
def test_a_cast_of_the_network_leaves_average_and_queue_in_float32(network, cast):
    wrapped = torch.nn.ModuleDict({"momentum": MomentumEncoders(network), "queue": FeatureQueue(4, 3)})
    values = copy.deepcopy(wrapped.state_dict())
    getattr(wrapped, cast)()
    for name, value in wrapped.state_dict().items():
        assert torch.equal(value, values[name]), name
