"""How fast a pretraining step is, beside the same three losses composed plainly from transformers' BLIP modules.

Both see the same pairs at equal widths and depths. The plain one pads every text to the limit, encodes the image anew
for each loss, attends eagerly, and has a decoder with weights of its own, as those modules do. Most of the difference
is padding, so it depends on how much of the limit the texts fill; the detail says how much. Each arm runs in processes
of its own, in turns, so that its peak of memory is its own, on one thread whose own seconds are counted.

How long a step waits for its data is what `jobs.pretrain` says of itself, with one worker on the same model and pairs;
its first status line, in which the first batch is made, is left out. `mfu.py` measures what a GPU makes of a step.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import record
from torch import Tensor, nn
from torch.nn import functional
from truthful import SENTENCES, corpus_table, truthful_tiles

from jobs.pretrain import PretrainSettings, pretrain
from jobs.train.metrics import collect
from knowlip.manifest import Manifest
from knowlip.records import SUBTEXTS
from knowlip.workspace import Workspace
from models import KnowLIPConfig, Tokenizer
from models.objectives import IGNORED, contrast_loss, draw_negatives, matching_loss, writing_loss
from models.objectives.itc import key_mask
from models.queue import FeatureQueue
from models.tasks.pretraining import PretrainingSettings, PretrainingTask

BATCH, STEPS, TURNS = 32, 8, 3
MODEL = {
    "vision": {"image_size": 64, "patch": 8, "width": 192, "depth": 6, "heads": 4},
    "text": {"width": 192, "layers": 4, "heads": 4, "max_tokens": 96, "positions": 96, "dropout": 0.0},
    "projection": 64,
    "contrast": {"queue_size": 1024},
}


class PlainBlip(nn.Module):
    """ITC, ITM and MLM from `BlipVisionModel`, `BlipTextModel` and `BlipTextLMHeadModel`, without any economy."""

    def __init__(self, config: KnowLIPConfig) -> None:
        super().__init__()
        from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
        from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel, BlipTextModel

        vision, text = config.vision, config.text
        self.limit = text.max_tokens
        text_config = BlipTextConfig(
            vocab_size=text.vocab_size,
            hidden_size=text.width,
            encoder_hidden_size=vision.width,
            intermediate_size=4 * text.width,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            max_position_embeddings=text.positions,
            bos_token_id=None,
            attn_implementation="eager",
        )
        self.vision = BlipVisionModel(
            BlipVisionConfig(
                hidden_size=vision.width,
                intermediate_size=4 * vision.width,
                num_hidden_layers=vision.depth,
                num_attention_heads=vision.heads,
                image_size=vision.image_size,
                patch_size=vision.patch,
                attn_implementation="eager",
            )
        )
        self.text = BlipTextModel(text_config, add_pooling_layer=False)
        # What the decoder attends to has the text's width.
        self.decoder = BlipTextLMHeadModel(copy.deepcopy(text_config))
        self.image_projection = nn.Linear(vision.width, config.projection)
        self.text_projection = nn.Linear(text.width, config.projection)
        self.match_head = nn.Linear(text.width, 2)
        self.slow = nn.ModuleList(
            copy.deepcopy(part) for part in (self.vision, self.text, self.image_projection, self.text_projection)
        ).requires_grad_(False)
        self.queue = FeatureQueue(config.contrast.queue_size, config.projection)
        self.temperature, self.alpha, self.momentum = 0.07, config.contrast.alpha, config.contrast.momentum

    def forward(self, batch: dict[str, Any], pixels: Tensor) -> Tensor:
        """Return the sum of the three losses."""
        pixels = pixels.expand(-1, 3, -1, -1)  # the modules take colour
        ids, mask = self._padded(batch["ids"], 0), self._padded(batch["mask"].long(), 0)
        image = self.image_projection(self.vision(pixel_values=pixels)[0][:, 0])
        text = self.text_projection(self.text(input_ids=ids, attention_mask=mask)[0][:, 0])
        image, text = functional.normalize(image, dim=-1), functional.normalize(text, dim=-1)
        itm = self._matching(batch, pixels, ids, mask, (image @ text.T / self.temperature).detach())
        return self._contrast(batch, pixels, ids, mask, image, text) + itm + self._writing(batch, pixels)

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the momentum encoders follow, parameter by parameter."""
        fast = (self.vision, self.text, self.image_projection, self.text_projection)
        for slow, quick in zip(self.slow, fast, strict=True):
            for mine, theirs in zip(slow.parameters(), quick.parameters(), strict=True):
                mine.mul_(self.momentum).add_(theirs, alpha=1 - self.momentum)

    def _contrast(
        self, batch: dict[str, Any], pixels: Tensor, ids: Tensor, mask: Tensor, image: Tensor, text: Tensor
    ) -> Tensor:
        vision, encoder, image_projection, text_projection = self.slow
        with torch.no_grad():
            slow_image = functional.normalize(image_projection(vision(pixel_values=pixels)[0][:, 0]), dim=-1)
            slow_text = text_projection(encoder(input_ids=ids, attention_mask=mask)[0][:, 0])
            slow_text = functional.normalize(slow_text, dim=-1)
        image_keys = torch.cat([slow_image, self.queue.images])
        text_keys = torch.cat([slow_text, self.queue.texts])
        keys = key_mask(batch["pair_ids"], self.queue.ids)
        loss = contrast_loss(image, text, image_keys, text_keys, keys, self.temperature, self.alpha)
        self.queue.push(slow_image, slow_text, batch["pair_ids"])
        return loss

    def _matching(self, batch: dict[str, Any], pixels: Tensor, ids: Tensor, mask: Tensor, similarity: Tensor) -> Tensor:
        states = self.vision(pixel_values=pixels)[0]
        allowed = ~batch["duplicates"]
        other_text, text_valid = draw_negatives(similarity, allowed, batch["chance"][:, 0])
        other_image, image_valid = draw_negatives(similarity.T, allowed, batch["chance"][:, 1])
        logits = [
            self.match_head(self._fused(ids[rows], mask[rows], states[images])[:, 0])
            for rows, images in ((slice(None), slice(None)), (other_text, slice(None)), (slice(None), other_image))
        ]
        return matching_loss(*logits, torch.stack([text_valid, image_valid]))

    def _writing(self, batch: dict[str, Any], pixels: Tensor) -> Tensor:
        masked, there = self._padded(batch["masked_ids"], 0), self._padded(batch["masked_mask"].long(), 0)
        memory = self._fused(masked, there, self.vision(pixel_values=pixels)[0])
        written, labels = self._padded(batch["written"], 0), self._padded(batch["labels"], IGNORED)
        out = self.decoder(
            input_ids=written,
            attention_mask=torch.ones_like(written),
            encoder_hidden_states=memory,
            encoder_attention_mask=there,
            use_cache=False,
        )
        return writing_loss(out.logits, labels)

    def _fused(self, ids: Tensor, mask: Tensor, states: Tensor) -> Tensor:
        seen = torch.ones(states.shape[:2], dtype=torch.long, device=states.device)
        return self.text(input_ids=ids, attention_mask=mask, encoder_hidden_states=states, encoder_attention_mask=seen)[
            0
        ]

    def _padded(self, rows: Tensor, value: int) -> Tensor:
        return functional.pad(rows, (0, self.limit - rows.shape[1]), value=value)


def make_task(folder: str) -> PretrainingTask:
    """Return our task with a tokenizer of the pairs' own words."""
    Tokenizer.train([text for kind in SUBTEXTS for text in SENTENCES[kind].values()], 2000).save(folder)
    task = PretrainingTask(PretrainingSettings(model=KnowLIPConfig.model_validate(MODEL), tokenizer=folder))
    task.build()
    return task


def measure(arm: str) -> dict[str, float]:
    """Time steps of one arm in this process, and say how much memory they took beyond what was there before."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tiles = truthful_tiles(BATCH * 4)
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(folder)
    table = corpus_table(tiles, [tile.facts for tile in tiles], "train").to_pandas()
    generator = torch.Generator().manual_seed(0)
    columns = ["tile_id", "view", *SUBTEXTS]
    parts = [table.iloc[start : start + BATCH] for start in range(0, len(table) - BATCH + 1, BATCH)]
    batches = [
        task.collate({c: part[c].to_numpy() for c in columns}, train=True, generator=generator) for part in parts
    ]
    started = time.process_time()
    task.collate({c: parts[0][c].to_numpy() for c in columns}, train=True, generator=generator)
    collate_s = time.process_time() - started
    plain = PlainBlip(task.config) if arm == "plain" else None
    module: nn.Module = plain or task.network
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4)

    def step(batch: dict[str, Any]) -> None:
        if plain is None:
            loss = torch.stack(list(task.losses(batch).values())).sum()
        else:
            loss = plain(batch, task.preprocessing.normalised(batch["pixels"]))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        (plain or task).after_step()

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(batches[0])
    started = time.process_time()
    for number in range(STEPS):
        step(batches[number % len(batches)])
    seconds = time.process_time() - started
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "samples_per_s": STEPS * BATCH / seconds,
        "peak_mb": (peak_kb - before_kb) / 1024,
        "parameters": float(sum(p.numel() for p in module.parameters() if p.requires_grad)),
        "text_tokens": statistics.mean(float(batch["ids"].shape[1]) for batch in batches),
        "collate_share": collate_s / (seconds / STEPS),
    }


def data_wait() -> list[float]:
    """Return the share of time that the steps of a run of the job itself waited for data, a status line each."""
    tiles = truthful_tiles(BATCH * 40)
    table = corpus_table(tiles, [tile.facts for tile in tiles], "train")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        workspace.write_table(table, "corpus", "part-0.parquet")
        Manifest(artefact="corpus", job="benchmarks/pretrain.py", settings={}).write(workspace)
        settings = PretrainSettings(
            workspace=folder,
            preset="tiny",
            model=KnowLIPConfig.model_validate(MODEL),
            tokenizer={"source": "corpus", "vocab_size": 2000},
            optimisation={"warmup_steps": 10},
            train={"batch_size": BATCH, "log_every": 10},
            scio={"stages": "none", "phase_epochs": (1, 1, 0)},
            scaling={"workers": 1},
        )
        pretrain(settings)
        rows = collect(workspace, "runs/pretrain").to_pylist()
    return [row["value"] for row in rows if row["metric"] == "data_wait_share"][1:]


def main() -> None:
    """Run both arms in turns and record what they reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=["ours", "plain"], help="measure one arm in this process and print JSON")
    parser.add_argument("--turns", type=int, default=TURNS, help="processes an arm")
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(measure(given.arm)))
        return
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    for _ in range(given.turns):
        for name, runs in found.items():
            command = [sys.executable, "-W", "ignore", str(Path(__file__)), "--arm", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            shown = {key: round(value, 2) for key, value in runs[-1].items()}
            print(f"{name:6s} {shown}", flush=True)
    speed, memory = (
        {name: statistics.median(run[key] for run in runs) for name, runs in found.items()}
        for key in ("samples_per_s", "peak_mb")
    )
    detail = {"batch": BATCH, "model": MODEL, "samples_per_s": speed, "peak_mb": memory, "runs": found}
    record("pretrain", "vs_plain_blip", speed["ours"] / speed["plain"], target=1.5, detail=detail)
    ratio = memory["ours"] / memory["plain"]
    record("pretrain", "peak_memory_vs_plain_blip", ratio, target=1.0, better="lower", detail=detail)
    waited = data_wait()
    record(
        "pretrain", "data_wait_share", statistics.mean(waited), target=0.05, better="lower", detail={"lines": waited}
    )


if __name__ == "__main__":
    main()
