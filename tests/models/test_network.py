"""The network: what is shared, what looks where, and how many parameters that makes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models import presets
from models.config import KnowLIPConfig, TextConfig, VisionConfig
from models.knowlip import KnowLIP
from models.towers import Use, make_cache, make_vision_tower


def vit_parameters(vision: VisionConfig) -> int:
    """Count of a vision transformer from its definition."""
    width, patches = vision.width, (vision.image_size // vision.patch) ** 2
    stem = vision.patch**2 * vision.channels * width + width
    block = 4 * (width**2 + width) + 2 * (4 * width**2) + 5 * width + 4 * width
    return stem + width + (patches + 1) * width + vision.depth * block + 2 * width


def text_parameters(text: TextConfig, image_width: int) -> int:
    """Count of BERT whose self-attention and feed-forward exist once, with two cross-attentions a layer."""
    width = text.width
    embeddings = (text.vocab_size + text.positions + 2) * width + 2 * width
    attention = 4 * (width**2 + width) + 2 * width
    feed_forward = 8 * width**2 + 5 * width + 2 * width
    image_attention = attention + 2 * (image_width - width) * width
    return embeddings + text.layers * (attention + feed_forward + image_attention + attention)


@pytest.mark.parametrize(("preset", "vision_millions"), [("base", 85.4), ("large", 302.8)])
def test_parameters_are_those_of_vit_and_bert_with_shared_layers(preset, vision_millions):
    config = presets[preset]
    with torch.device("meta"):
        network = KnowLIP(config)
    count = sum(p.numel() for p in network.vision.parameters())
    assert count == vit_parameters(config.vision)
    assert count / 1e6 == pytest.approx(vision_millions, abs=0.1)
    assert sum(p.numel() for p in network.text.parameters()) == text_parameters(config.text, config.vision.width)


@pytest.mark.parametrize("width", [32, 128])
def test_an_untrained_tower_tells_where_things_are_at_any_width(width):
    """ViT's first positions are a fiftieth of the patches: an image and its mirror image would look the same."""
    torch.manual_seed(0)
    vision = make_vision_tower(VisionConfig(image_size=64, patch=16, width=width, depth=2, heads=4)).eval()
    image = torch.zeros(1, 1, 64, 64)
    image[..., 16:32, :16] = 3.0  # one bright patch, which looks the same mirrored
    with torch.no_grad():
        one, other = (vision.forward_features(pixels)[0, 0] for pixels in (image, image.flip(-1)))
    assert (one - other).norm() / one.norm() > 0.07


def test_self_attention_and_feed_forward_serve_all_three_uses(network):
    """A change of the shared weights shows in every use; a change of a cross-attention in its own use only."""
    ids, image, memory = torch.arange(5, 12)[None], torch.randn(1, 17, 48), torch.randn(1, 6, 48)

    def outputs() -> dict[Use, torch.Tensor]:
        contexts = {Use.TEXT: None, Use.FUSED: image, Use.DECODE: memory}
        with torch.no_grad():
            return {use: network.text(ids, None, use, context=context) for use, context in contexts.items()}

    touched = {
        "attention.self.query": set(Use),
        "intermediate.dense": set(Use),
        "image_attention.self.value": {Use.FUSED},
        "memory_attention.self.value": {Use.DECODE},
    }
    for name, expected in touched.items():
        before = outputs()
        module = network.text.layers[0].get_submodule(name)
        assert isinstance(module, nn.Linear)
        with torch.no_grad():
            module.weight.add_(0.3 * torch.randn_like(module.weight))
        after = outputs()
        assert {use for use in Use if not torch.allclose(before[use], after[use])} == expected, name


def test_the_mean_of_the_tokens_is_read_where_asked_for(network, tokenizer, make_config):
    """With mean pooling, patches and tokens count and padding does not; a match is the mean of what tokens say."""
    mean = KnowLIP(make_config(pooling="mean").with_vocabulary(tokenizer.vocab_size)).eval()
    mean.load_state_dict(network.state_dict())
    ids, mask = torch.tensor([[2, 9, 8, 3, 0, 0]]), torch.tensor([[True] * 4 + [False] * 2])
    states, embedded = mean.encode_text(ids, mask)
    expected = nn.functional.normalize(network.text_projection(states[:, :4].mean(dim=1)), dim=-1)
    torch.testing.assert_close(embedded, expected)
    torch.testing.assert_close(mean.match_logits(states, mask), mean.match_head(states[:, :4]).mean(dim=1))
    patches, image = mean.encode_image(torch.randn(1, 1, 32, 32))
    expected = nn.functional.normalize(network.image_projection(patches[:, 1:].mean(dim=1)), dim=-1)
    torch.testing.assert_close(image, expected)


def test_embeddings_have_unit_length_and_padding_changes_nothing(network):
    ids, mask = torch.tensor([[2, 9, 8, 3, 0, 0]]), torch.tensor([[True] * 4 + [False] * 2])
    _, padded = network.encode_text(ids, mask)
    _, plain = network.encode_text(ids[:, :4], mask[:, :4])
    torch.testing.assert_close(padded, plain)
    image, embedding = network.encode_image(torch.randn(2, 1, 32, 32))
    assert image.shape == (2, 17, 48)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    fused = network.fuse(image[:1], ids, mask)[:, :4]
    torch.testing.assert_close(fused, network.fuse(image[:1], ids[:, :4], mask[:, :4]))


def test_several_texts_of_an_image_share_it(network):
    image, _ = network.encode_image(torch.randn(2, 1, 32, 32))
    ids = torch.randint(5, 90, (6, 7))
    mask = torch.ones_like(ids, dtype=torch.bool)
    together = network.fuse(image, ids, mask)
    apart = network.fuse(image.repeat_interleave(3, dim=0), ids, mask)
    torch.testing.assert_close(together, apart)


def test_the_decoder_is_causal_and_its_cache_changes_nothing(network):
    memory, memory_mask = torch.randn(2, 9, 48), torch.ones(2, 9, dtype=torch.bool)
    memory_mask[1, 4:] = False
    ids = torch.randint(5, 90, (2, 6))
    whole = network.decode(ids, memory, memory_mask)
    changed = ids.clone()
    changed[:, 4:] = 7
    torch.testing.assert_close(network.decode(changed, memory, memory_mask)[:, :4], whole[:, :4])
    garbage = torch.where(memory_mask[:, :, None], memory, 99.0)
    torch.testing.assert_close(network.decode(ids, garbage, memory_mask), whole)
    cache = make_cache()
    steps = [network.decode(ids[:, i : i + 1], memory, memory_mask, cache) for i in range(6)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=1e-4)


def test_the_temperature_is_clamped_and_its_gradient_is_not(network):
    with torch.no_grad():
        network.log_temperature.fill_(math.log(9.0))
    assert network.temperature.item() == pytest.approx(0.5)
    network.temperature.backward()
    assert network.log_temperature.grad.item() == pytest.approx(0.5)


def test_recomputed_activations_give_the_same_gradients(network):
    pixels, ids = torch.randn(2, 1, 32, 32), torch.randint(5, 90, (2, 7))
    mask = torch.ones_like(ids, dtype=torch.bool)
    gradients = []
    for enabled in (False, True):
        network.train().zero_grad()
        network.checkpoint_activations(enabled)
        image, _ = network.encode_image(pixels)
        network.match_logits(network.fuse(image, ids, mask), mask)[:, 1].sum().backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_states_keep_autocasts_precision_from_layer_to_layer(network):
    """A norm that answers in float32, as autocast's does, would make all between two products float32."""
    ids, pixels = torch.arange(5, 12)[None], torch.randn(1, 1, 32, 32)
    exact = network.text(ids, None, Use.TEXT)
    assert exact.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        text, (image, _) = network.text(ids, None, Use.TEXT), network.encode_image(pixels)
    assert text.dtype == image.dtype == torch.bfloat16
    assert torch.allclose(text.float(), exact, atol=0.1)
    text.float().pow(2).sum().backward()
    assert network.text.embeddings.LayerNorm.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 3])
def test_any_timm_transformer_can_be_the_vision_tower(make_config, channels):
    config = make_config(vision={"timm_name": "vit_tiny_patch16_224", "image_size": 48, "channels": channels})
    network = KnowLIP(config).eval()
    image, embedding = network.encode_image(torch.randn(1, channels, 48, 48))
    assert image.shape == (1, 10, 192)
    ids = torch.randint(5, 90, (1, 7))
    assert network.fuse(image, ids, torch.ones_like(ids, dtype=torch.bool)).shape == (1, 7, 48)
    assert embedding.shape == (1, 24)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vision": {"image_size": 100, "patch": 16}}, "not a multiple of patch"),
        ({"text": {"width": 100, "heads": 12}}, "not a multiple of heads"),
        ({"text": {"max_tokens": 512, "positions": 256}}, "fewer than max_tokens"),
        ({"contrast": {"temperature": 3.0}}, "lies outside"),
        ({"contrast": {"momentun": 0.9}}, "Extra inputs"),
    ],
)
def test_a_wrong_setting_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        KnowLIPConfig.model_validate(changes)
