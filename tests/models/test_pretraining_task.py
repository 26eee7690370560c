"""Pretraining as a task: batches, losses, scores, and sixteen pairs learned by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import models
from benchmarks.truthful import corpus_table, truthful_tiles
from knowlip.errors import DataError
from knowlip.records import SUBTEXTS
from models.augment import Augmentation
from models.config import TextConfig
from models.generation import write_spans
from models.objectives.mlm import IGNORED
from models.retrieval import recalls
from models.tasks.pairs import near_duplicates
from models.tasks.pretraining import PretrainingSettings, PretrainingTask
from models.tasks.protocol import Task
from models.text import Tokenizer

STILL = Augmentation(turn=False, shift_px=0)


@pytest.fixture
def settings(make_config, tokenizer_folder):
    return PretrainingSettings(model=make_config(), tokenizer=str(tokenizer_folder), augmentation=STILL)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def part(columns, rows):
    return {name: values[rows] for name, values in columns.items()}


def test_it_is_a_task(settings):
    assert isinstance(PretrainingTask(settings), Task)


def test_a_batch_is_the_same_however_the_rows_are_split(settings, columns):
    task = PretrainingTask(settings)
    whole = task.collate(columns, train=True, generator=seeded(4))
    later = task.collate(part(columns, slice(9, 12)), train=True, generator=seeded(4))
    assert later["tile_id"] == whole["tile_id"][9:12]
    for name in ("pixels", "pair_ids", "chance"):
        assert torch.equal(later[name], whole[name][9:12]), name
    for name in ("ids", "masked_ids", "written", "labels"):
        width = later[name].shape[1]
        assert torch.equal(later[name], whole[name][9:12, :width]), name
    other = task.collate(columns, train=True, generator=seeded(5))
    assert not torch.equal(other["pixels"], whole["pixels"])
    held_out = [task.collate(columns, train=False, generator=seeded(seed)) for seed in (4, 5)]
    assert torch.equal(held_out[0]["pixels"], held_out[1]["pixels"])
    assert torch.equal(held_out[0]["masked_ids"], held_out[1]["masked_ids"])


def test_what_cannot_be_used_is_set_aside_and_counted(settings, columns):
    task = PretrainingTask(settings)
    rows = {name: values[:4].copy() for name, values in columns.items()}
    rows["view"][1] = b"broken"
    for name in SUBTEXTS:
        rows[name][2] = None
    batch = task.collate(rows, train=True, generator=seeded(0))
    assert batch["tile_id"] == ["tile-0", "tile-3"]
    assert [tile for tile, _ in batch["skipped"]] == ["tile-1", "tile-2"]
    with pytest.raises(DataError, match="no usable row"):
        task.collate(part(rows, slice(1, 3)), train=True, generator=seeded(0))
    del rows["target_quantity"]
    with pytest.raises(DataError, match="columns missing: target_quantity"):
        task.collate(rows, train=True, generator=seeded(0))


def test_training_texts_may_lack_subtexts_and_held_out_ones_never_do(settings, columns, make_config):
    thin = make_config(mask={"word": 0.0, "subtext": 0.3, "left_out": 0.4})
    whole, thinned = PretrainingTask(settings), PretrainingTask(settings.model_copy(update={"model": thin}))
    markers = torch.tensor(whole.tokenizer.markers)

    def read(task, name, **how):
        ids = task.collate(columns, generator=seeded(2), **how)[name]
        return (ids[:, :, None] == markers).any(dim=1).sum(dim=1)

    assert read(whole, "ids", train=True).tolist() == [8] * 16
    kept = read(thinned, "ids", train=True)
    assert 3 < kept.float().mean() < 6.5
    assert 1 <= kept.min() < kept.max() <= 8
    assert read(thinned, "masked_ids", train=True).tolist() == [8] * 16
    assert read(thinned, "ids", train=False).tolist() == [8] * 16


def test_noise_is_never_written(settings, columns):
    noisy = np.zeros((16, 8), bool)
    noisy[:, [1, 6]] = True
    task = PretrainingTask(settings)
    kinds = set()
    for seed in range(5):
        batch = task.collate({**columns, "noise_mask": noisy}, train=True, generator=seeded(seed))
        kinds |= set(batch["kinds"].unique().tolist())
        assert torch.equal(batch["kinds"] == -1, batch["labels"] == IGNORED)
    assert kinds == {-1, 0, 2, 3, 4, 5, 7}
    with pytest.raises(DataError, match="noise_mask"):
        task.collate({**columns, "noise_mask": noisy[:, :3]}, train=True, generator=seeded(0))


def test_texts_of_templates_are_a_part_of_the_sub_texts(settings, columns, make_config, tokenizer_folder):
    kept = ("target_category", "target_quantity", "target_location")
    config = make_config()
    fewer = config.model_copy(update={"text": config.text.model_copy(update={"subtexts": kept})})
    task = PretrainingTask(settings.model_copy(update={"model": fewer}))
    batch = task.collate(columns, train=True, generator=seeded(0))
    blank = {name: values if name in (*kept, "tile_id", "view") else values * 0 for name, values in columns.items()}
    alike = PretrainingTask(settings).collate(blank, train=True, generator=seeded(0))
    for name in ("ids", "masked_ids", "written", "labels"):
        assert torch.equal(batch[name], alike[name]), name
    markers = {task.tokenizer.markers[SUBTEXTS.index(name)] for name in kept}
    assert {token for token in batch["ids"].flatten().tolist() if token in task.tokenizer.markers} == markers
    with pytest.raises(ValidationError, match="must be one or more of scene_background"):
        TextConfig(subtexts=("colours",))


def test_near_duplicates_are_known(tokenizer):
    rows = [["ship tank quay road"], ["road quay tank ship"], ["ship tank quay river"], ["airport"]]
    texts = tokenizer.subtexts([[*row, *[""] * 7] for row in rows], 64)
    found = near_duplicates(["a", "b", "c", "a"], texts, 0.9)
    assert found.nonzero().tolist() == [[0, 0], [0, 1], [0, 3], [1, 0], [1, 1], [2, 2], [3, 0], [3, 3]]
    assert near_duplicates(["a", "b", "c", "d"], texts, 0.5)[0].tolist() == [True, True, True, False]


def test_the_weights_of_equation_7_scale_the_losses(settings, columns, make_config):
    config = make_config(weights={"itc": 2.0, "itm": 0.5, "mlm": 0.0})
    plain, weighted = PretrainingTask(settings), PretrainingTask(settings.model_copy(update={"model": config}))
    losses = []
    for task in (plain, weighted):
        task.build()
        losses.append(task.losses(task.collate(columns, train=True, generator=seeded(0))))
    assert losses[1]["itc"].item() == pytest.approx(2 * losses[0]["itc"].item())
    assert losses[1]["itm"].item() == pytest.approx(0.5 * losses[0]["itm"].item())
    assert "mlm" not in losses[1]


@pytest.mark.parametrize("hardness", [0.0, 1.0])
def test_hardness_decides_whether_similarity_draws_negatives(settings, columns, make_config, hardness):
    config = make_config(contrast={"queue_size": 64, "hardness": hardness})
    task = PretrainingTask(settings.model_copy(update={"model": config}))
    network = task.build()
    batch = task.collate(columns, train=False, generator=seeded(0))
    drawn = []
    for temperature in (0.5, 0.001):  # at the lower one, the most similar pair is all but certain
        with torch.no_grad():
            network.student.log_temperature.fill_(np.log(temperature))
            states, image = network.student.encode_image(task.preprocessing(list(columns["view"])))
            _, text = network.student.encode_text(batch["ids"], batch["mask"])
            drawn.append(network.matching_logits(batch, states, image, text)[1])
    assert torch.allclose(*drawn) == (hardness == 0.0)


def test_groups_of_rows_make_accumulated_losses_equal_one_batch(settings, columns, make_config):
    contrast = {"queue_size": 64, "negative_group": 4}
    task = PretrainingTask(settings.model_copy(update={"model": make_config(contrast=contrast)}))
    task.build()
    slices = [slice(0, 16)], [slice(0, 8), slice(8, 16)], [slice(i, i + 4) for i in range(0, 16, 4)]
    curves = []
    for parts in slices:
        losses = [task.losses(task.collate(part(columns, rows), train=True, generator=seeded(0))) for rows in parts]
        curves.append({name: sum(terms[name].item() for terms in losses) / len(losses) for name in losses[0]})
    for curve in curves[1:]:
        assert curve == pytest.approx(curves[0], abs=1e-5)


def test_the_gradient_is_that_of_the_losses(settings, columns):
    """Along a random direction of all trained weights, the losses change as their gradient says."""
    task = PretrainingTask(settings)
    network = task.build().train()
    batch = task.collate(columns, train=True, generator=seeded(0))
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    direction = [torch.randn(p.shape, generator=seeded(1)) for p in trained]
    length = torch.sqrt(sum((d**2).sum() for d in direction))
    sum(task.losses(batch).values()).backward()
    slope = sum((p.grad * d).sum() for p, d in zip(trained, direction, strict=True) if p.grad is not None) / length

    def moved(step):
        with torch.no_grad():
            torch._foreach_add_(trained, direction, alpha=step / length.item())
            return sum(task.losses(batch).values()).item()

    step = 0.02
    ahead, behind = moved(step), moved(-2 * step)
    assert (ahead - behind) / (2 * step) == pytest.approx(slope.item(), rel=0.02, abs=2e-3)


@pytest.mark.parametrize("cast", ["module", "autocast"])
def test_losses_stay_close_in_bfloat16(settings, columns, cast):
    task = PretrainingTask(settings)
    network = task.build().train()
    batch = task.collate(columns, train=True, generator=seeded(0))
    exact = {name: loss.item() for name, loss in task.losses(batch).items()}
    if cast == "module":
        network.bfloat16()
        low = task.losses(batch)
    else:
        with torch.autocast("cpu", torch.bfloat16):
            low = task.losses(batch)
    assert {name: loss.item() for name, loss in low.items()} == pytest.approx(exact, rel=0.05)
    sum(low.values()).backward()
    task.after_step()
    assert network.momentum.model.image_projection.weight.dtype == torch.float32


@pytest.mark.slow
def test_compiling_changes_no_loss(settings, columns):
    losses = []
    for compiled in (False, True):
        task = PretrainingTask(settings.model_copy(update={"compile": compiled}))
        network = task.build().train()
        batch = task.collate(columns, train=True, generator=seeded(0))
        losses.append({name: loss.item() for name, loss in task.losses(batch).items()})
        assert not any("_orig_mod" in name for name in network.state_dict())
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_after_a_step_the_queue_holds_its_pairs_once(settings, columns):
    task = PretrainingTask(settings)
    network = task.build().train()
    for rows in (slice(0, 8), slice(8, 16)):  # accumulation: two batches, one step
        task.losses(task.collate(part(columns, rows), train=True, generator=seeded(0)))
    assert (network.queue.ids == -1).all()
    task.after_step()
    assert len(network.queue.snapshot()["ids"].unique()) == 16
    assert network.steps.item() == 1
    network.eval()
    with torch.no_grad():
        task.losses(task.collate(columns, train=False, generator=seeded(0)))
    task.after_step()
    assert len(network.queue.snapshot()["ids"]) == 16


def test_the_half_life_is_kept_in_samples(settings, columns, make_config):
    contrast = {"queue_size": 8, "momentum": 0.9, "momentum_batch": 8}
    task = PretrainingTask(settings.model_copy(update={"model": make_config(contrast=contrast)}))
    network = task.build().train()
    before = network.momentum.model.image_projection.weight.clone()
    with torch.no_grad():
        network.student.image_projection.weight.add_(1.0)
    task.losses(task.collate(columns, train=True, generator=seeded(0)))
    task.after_step()
    torch.testing.assert_close(network.momentum.model.image_projection.weight, before + (1 - 0.9**2))


def test_recalls_are_ranks():
    generator = seeded(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(30, 4, generator=generator), dim=1) for _ in "ab")
    scores = recalls(images, texts, chunk=7)
    similarity = texts @ images.T
    for name, table in (("t2i", similarity), ("i2t", similarity.T)):
        ranks = [(row > row[i]).sum().item() for i, row in enumerate(table)]
        for k in (1, 5, 10):
            assert scores[f"{name}_r{k}"] == pytest.approx(np.mean([rank < k for rank in ranks]))
    assert scores["retrieval_mean"] == pytest.approx(
        np.mean([value for name, value in scores.items() if name != "retrieval_mean"])
    )
    collapsed = recalls(torch.ones(30, 4) / 2, torch.ones(30, 4) / 2)
    assert collapsed["t2i_r10"] == 0.0


def learn(task, columns, steps, rate=3e-3, batch=None):
    network = task.build().train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rate)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20)
        rows = slice(None)
        if batch is not None:
            rows = np.random.default_rng(step).permutation(len(columns["tile_id"]))[:batch]
        losses = task.losses(task.collate(part(columns, rows), train=True, generator=seeded(step)))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        task.after_step()
    return network.eval()


def rewritten(task, columns, kind):
    """Return the share of the pairs whose masked sub-text the decoder writes exactly as it was."""
    student, tokenizer = task.network.student, task.tokenizer
    tokens = tokenizer.subtexts(list(zip(*(columns[name] for name in SUBTEXTS), strict=True)), 128)
    prompts = [tokenizer.sequence(text.replaced(kind, [tokenizer.mask])) for text in tokens]
    image, _ = student.encode_image(task.preprocessing(list(columns["view"])))
    written = write_spans(student, tokenizer, image, prompts, max_new_tokens=20)
    return np.mean([tuple(w.spans[0]) == text.pieces[kind] for w, text in zip(written, tokens, strict=True)])


def test_sixteen_pairs_are_learned_by_heart(settings, columns, tmp_path):
    task = PretrainingTask(settings)
    learn(task, columns, steps=80)
    task.evaluate(task.collate(columns, train=False, generator=seeded(0)))
    scores = task.metrics()
    assert scores["t2i_r1"] == scores["i2t_r1"] == 1.0
    assert scores["itm_accuracy"] > 0.9
    assert task.metrics() == {}

    assert rewritten(task, columns, SUBTEXTS.index("target_category")) >= 0.9

    task.export(tmp_path / "checkpoint", {"run": "overfit"})
    model = models.load(tmp_path / "checkpoint")
    assert model.manifest["run"] == "overfit"
    assert model.manifest["initialisation"]["text"] == {"source": "random"}
    assert len(model.queue["ids"]) == 64
    views = list(columns["view"])
    similarity = model.encode_image(views) @ model.encode_text(columns["target_category"].tolist()).T
    assert similarity.shape == (16, 16)
    assert (similarity.argmax(axis=1) == np.arange(16)).mean() >= 0.5
    texts = model.write(views[:4], "background [MASK] 3")
    assert all("[MASK]" not in text for text in texts)


@pytest.mark.slow
def test_sixty_four_simulated_pairs_are_learned_by_heart(make_config, tmp_path):
    """Real images of the simulator, whose texts share their words: no pair has a word of its own to be known by."""
    tiles = truthful_tiles(64)
    assert len({tile.facts for tile in tiles}) == 64
    table = corpus_table(tiles, [tile.facts for tile in tiles], "train")
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in ("tile_id", "view", *SUBTEXTS)}
    Tokenizer.train([text for kind in SUBTEXTS for text in columns[kind]], 400).save(tmp_path)
    config = make_config(
        vision={"image_size": 32, "patch": 8, "width": 64, "depth": 2, "heads": 4},
        text={"width": 64, "layers": 2, "heads": 4, "max_tokens": 64, "positions": 64, "dropout": 0.0},
        projection=64,
        contrast={"queue_size": 64, "queue_warmup_steps": 1000, "momentum": 0.9, "alpha": 0.0},
        mask={"word": 0.0, "caption": 0.2, "subtext": 0.35},
    )
    exact = Augmentation(turn=False, shift_px=0, gain_db=0.0, speckle=0.0)
    task = PretrainingTask(PretrainingSettings(model=config, tokenizer=str(tmp_path), augmentation=exact))
    learn(task, columns, steps=400, rate=2e-3, batch=32)
    task.evaluate(task.collate(columns, train=False, generator=seeded(0)))
    scores = task.metrics()
    assert scores["t2i_r1"] == scores["i2t_r1"] == 1.0
    assert scores["itm_accuracy"] > 0.95
    exactly = [rewritten(task, columns, kind) for kind in range(len(SUBTEXTS))]
    assert np.mean(exactly) >= 0.9
