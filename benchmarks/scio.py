"""Whether the closed loop of SCIO does what it says, on simulated pairs whose truth is known (Table 8's three rows).

A fifth of the sub-texts are swapped with another tile's. After phase 1 the model screens tiles that it has not seen,
and what it takes for noise is held against what is wrong. Then three arms go on from there for the same number of
steps: on the texts as they are, with noise no longer a target, and with noise rewritten where that was accepted. All
of it is plain PyTorch, a thread a seed; decisions and texts pass through the same code as in `jobs.pretrain`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from record import record
from scipy import stats
from truthful import SENTENCES, TruthfulTile, corpus_table, fact_of, swapped, truthful_tiles

from knowlip.corpus.revision import Revision
from knowlip.corpus.verdicts import AS_THE_PAPER, Thresholds
from knowlip.records import SUBTEXTS, VERDICTS
from models import KnowLIPConfig, Tokenizer
from models.augment import Augmentation
from models.objectives import pair_contrast
from models.queue import pair_ids
from models.scio import Negatives, Screening, reconstruct_batch, screen_batch
from models.tasks.pretraining import PretrainingSettings, PretrainingTask
from models.text import TokenText

NOISE = 0.2
BATCH = 128
RATE, WARMUP = 1.5e-3, 50
MODEL = {
    "vision": {"image_size": 32, "patch": 8, "width": 64, "depth": 2, "heads": 4},
    "text": {"width": 64, "layers": 2, "heads": 4, "max_tokens": 64, "positions": 64, "dropout": 0.0},
    "projection": 64,
    "pooling": "mean",
    "contrast": {
        "queue_size": 512,
        "queue_warmup_steps": 1_000_000,
        "momentum": 0.9,
        "alpha": 0.0,
        "hardness": 0.25,
    },
    "mask": {"caption": 0.2, "subtext": 0.35, "word": 0.0, "left_out": 0.15},
}


@dataclass(frozen=True)
class Pairs:
    """Some tiles, what is said of them, and where that is wrong (N, 8)."""

    tiles: list[TruthfulTile]
    table: pa.Table
    wrong: NDArray[np.bool_]

    @classmethod
    def noisy(cls, tiles: list[TruthfulTile], seed: int) -> Pairs:
        """Swap a share of the sub-texts."""
        stated, wrong = swapped(tiles, NOISE, seed)
        return cls(tiles, corpus_table(tiles, stated, "train"), wrong)

    def true(self) -> pa.Table:
        """Return the same pairs with true texts."""
        return corpus_table(self.tiles, [tile.facts for tile in self.tiles], "val")


class Learner:
    """A model in training, which can be copied to go on in several ways.

    Args:
        seed: Of its weights, order and masks.
        steps: Steps of the whole run, over which the rate falls to zero.
        thresholds: From where on differences decide.
    """

    def __init__(self, seed: int, steps: int, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        with tempfile.TemporaryDirectory() as folder:
            Tokenizer.train([text for kind in SUBTEXTS for text in SENTENCES[kind].values()], 2000).save(folder)
            model = KnowLIPConfig.model_validate(MODEL)
            still = Augmentation(shift_px=1)
            self.task = PretrainingTask(
                PretrainingSettings(model=model, tokenizer=folder, augmentation=still, seed=seed)
            )
        network = self.task.build()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE)
        self.seed, self.steps, self.step = seed, steps, 0

    def train(self, table: pa.Table, steps: int) -> None:
        """Take some steps on pairs, reshuffled each time all have been seen."""
        network = self.task.network.train()
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
        random = np.random.default_rng((self.seed, self.step))
        order: list[int] = []
        trained = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for _ in range(steps):
            if len(order) < BATCH:
                order = random.permutation(len(table)).tolist()
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
            rows, order = np.array(order[:BATCH]), order[BATCH:]
            batch = self.task.collate(
                {name: values[rows] for name, values in columns.items()}, train=True, generator=generator
            )
            for group in self.optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (self.step + 1) / WARMUP) * (1 - self.step / self.steps) ** 0.5
            self.optimiser.zero_grad()
            torch.stack(list(self.task.losses(batch).values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            self.optimiser.step()
            self.task.after_step()
            self.step += 1
        network.eval()

    def scores(self, table: pa.Table) -> dict[str, float]:
        """Return held-out recalls and accuracies."""
        for part in _parts(table):
            self.task.evaluate(self.task.collate(_columns(part), train=False, generator=torch.Generator()))
        return self.task.metrics()

    def screened(self, table: pa.Table) -> Screening:
        """Judge all sub-texts (eq. 10 and 11)."""
        student, negatives = self.task.network.student, self._negatives()
        parts = (self._inputs(part) for part in _parts(table))
        found = [
            screen_batch(student, self.task.tokenizer, negatives, *one, thresholds=self.thresholds) for one in parts
        ]
        return Screening(*(np.concatenate([getattr(f, name) for f in found]) for name in Screening.__slots__))

    def verdicts(self, table: pa.Table, found: Screening, *, rewritten: bool = False) -> pa.Table:
        """Return verdicts as `jobs.pretrain` writes them, with noise rewritten (eq. 12 to 15) when asked for."""
        tiles = table["tile_id"].to_pylist()
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for (row, kind), noise in np.ndenumerate(found.noise):
            key = tiles[row], SUBTEXTS[kind]
            rows[key] = {
                "tile_id": key[0],
                "round": 1,
                "subtext": key[1],
                "delta_itc": found.delta_itc[row, kind],
                "delta_itm": found.delta_itm[row, kind],
                "noise": bool(noise),
            }
        for start, part in zip(range(0, len(table), 64), _parts(table), strict=True) if rewritten else ():
            noise = found.noise[start : start + len(part)]
            inputs = self._inputs(part)
            for result in reconstruct_batch(
                self.task.network.student,
                self.task.tokenizer,
                self._negatives(),
                *inputs,
                noise,
                thresholds=self.thresholds,
                max_new_tokens=8,
            ):
                rows[tiles[start + result.row], SUBTEXTS[result.kind]] |= {
                    "original": result.original,
                    "reconstruction": result.text,
                    "reconstruction_delta_itc": result.delta_itc,
                    "reconstruction_delta_itm": result.delta_itm,
                    "accepted": result.accepted,
                }
        return pa.Table.from_pylist(list(rows.values()), VERDICTS)

    def screened_naively(self, table: pa.Table) -> Screening:
        """Judge all sub-texts with a full forward pass for each variant of each text."""
        student, tokenizer = self.task.network.student, self.task.tokenizer
        found = [self._judged_naively(student, tokenizer, table.slice(row, 1)) for row in range(len(table))]
        itc, itm = (np.stack(values).astype(np.float32) for values in zip(*found, strict=True))
        return Screening(itc, itm, self.thresholds.passed(itc, itm))

    @torch.no_grad()
    def _judged_naively(
        self, student: Any, tokenizer: Tokenizer, row: pa.Table
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        tile_ids, pixels, (text,) = self._inputs(row)
        negatives = self._negatives()
        losses, scores = [], []
        for variant in (text, *(text.without([kind]) for kind in range(len(SUBTEXTS)))):
            ids = torch.tensor([tokenizer.sequence(variant)])
            there = torch.ones_like(ids, dtype=torch.bool)
            image_states, image = student.encode_image(pixels)
            _, written = student.encode_text(ids, there)
            others = pair_ids(tile_ids)[:, None] != negatives.ids[None, :]
            loss = pair_contrast(image, written[None], negatives.images, negatives.texts, others, student.temperature)
            logits = student.match_logits(student.fuse(image_states, ids, there), there)[0]
            losses.append(loss.item())
            scores.append((logits[1] - logits[0]).item())
        return np.array(losses[1:]) - losses[0], np.array(scores[1:]) - scores[0]

    def _inputs(self, part: pa.Table) -> tuple[list[str], torch.Tensor, list[TokenText]]:
        texts = list(zip(*(part[kind].to_pylist() for kind in SUBTEXTS), strict=True))
        tokens = self.task.tokenizer.subtexts(texts, self.task.config.text.max_tokens)
        return part["tile_id"].to_pylist(), self.task.preprocessing(part["view"].to_pylist()), tokens

    def _negatives(self) -> Negatives:
        return Negatives.from_snapshot(self.task.network.queue.snapshot(), "cpu")


def precision_recall(noise: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the share of noise that is wrong, and the share of what is wrong that was found."""
    hits = float((noise & wrong).sum())
    return hits / max(float(noise.sum()), 1.0), hits / max(float(wrong.sum()), 1.0)


def truth_of_rewritten(verdicts: pa.Table, tiles: list[TruthfulTile], stated: pa.Table) -> tuple[float, float, int]:
    """Return how often accepted reconstructions are true, how often what they replaced was, and how many there are."""
    facts = {tile.tile_id: dict(zip(SUBTEXTS, tile.facts, strict=True)) for tile in tiles}
    before = {row["tile_id"]: row for row in stated.select(["tile_id", *SUBTEXTS]).to_pylist()}
    rows = [row for row in verdicts.to_pylist() if row["accepted"]]
    was = [fact_of(r["subtext"], before[r["tile_id"]][r["subtext"]]) == facts[r["tile_id"]][r["subtext"]] for r in rows]
    now = [fact_of(r["subtext"], r["reconstruction"]) == facts[r["tile_id"]][r["subtext"]] for r in rows]
    return float(np.mean(was or [0])), float(np.mean(now or [0])), len(rows)


def one_seed(seed: int, given: argparse.Namespace) -> dict[str, float]:
    """Run the three arms from one seed."""
    tiles = truthful_tiles(given.tiles + given.held, seed=seed)
    train, held = Pairs.noisy(tiles[: given.tiles], 2 * seed + 1), Pairs.noisy(tiles[given.tiles :], 2 * seed + 2)
    first, second, third = given.steps
    whole = Learner(seed, first + second + third, Thresholds(given.itc_below, given.itm_above))
    whole.train(train.table, first)
    found = whole.screened(held.table)
    figures = dict(zip(("screen_precision", "screen_recall"), precision_recall(found.noise, held.wrong), strict=True))
    figures |= {f"{name}_phase1": value for name, value in whole.scores(held.true()).items()}
    figures |= _at_zero(found, held.wrong)
    figures |= _against_naive(whole, held.table.slice(0, 64))
    verdicts = whole.verdicts(train.table, judged := whole.screened(train.table))
    figures["train_precision"], figures["train_recall"] = precision_recall(judged.noise, train.wrong)
    _show(seed, "phase 1", figures)

    masked = Revision.from_verdicts(verdicts, round_=1, phase=2).apply(train.table)
    arms = {"none": copy.deepcopy(whole), "screen": whole}
    arms["none"].train(train.table, second + third)
    whole.train(masked, second)
    arms["full"] = copy.deepcopy(whole)
    rewritten = arms["full"].verdicts(train.table, judged, rewritten=True)
    was, now, accepted = truth_of_rewritten(rewritten, train.tiles, train.table)
    figures |= {"reconstruction_truth_before": was, "reconstruction_truth_after": now, "accepted": accepted}
    arms["screen"].train(masked, third)
    arms["full"].train(Revision.from_verdicts(rewritten, round_=1, phase=3).apply(train.table), third)
    for name, learner in arms.items():
        scores = learner.scores(held.true())
        figures |= {f"retrieval_mean_{name}": scores["retrieval_mean"], f"mlm_{name}": scores["mlm_accuracy"]}
    _show(seed, "three arms", figures)
    return figures


def _at_zero(found: Screening, wrong: NDArray[np.bool_]) -> dict[str, float]:
    """Return what the paper's thresholds would have found."""
    noise = AS_THE_PAPER.passed(found.delta_itc, found.delta_itm)
    return dict(zip(("precision_at_zero", "recall_at_zero"), precision_recall(noise, wrong), strict=True))


def _against_naive(learner: Learner, table: pa.Table) -> dict[str, float]:
    """Time screening and the naive loop on the same pairs; their verdicts must be the same."""
    times, found = [], []
    for screen in (learner.screened, learner.screened_naively):
        started = time.process_time()
        found.append(screen(table))
        times.append(time.process_time() - started)
    same = float((found[0].noise == found[1].noise).mean())
    apart = float(np.abs(found[0].delta_itm - found[1].delta_itm).max())
    return {"screen_vs_naive": times[1] / times[0], "same_verdicts": same, "largest_difference": apart}


def _columns(table: pa.Table) -> dict[str, NDArray[Any]]:
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _parts(table: pa.Table) -> list[pa.Table]:
    return [table.slice(start, 64) for start in range(0, len(table), 64)]


def _show(seed: int, stage: str, figures: dict[str, float]) -> None:
    print(f"seed {seed}, {stage}: " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)


_TARGETS = {"screen_precision": 0.8, "screen_recall": 0.7, "screen_vs_naive": 5.0}
_SHOWN = (
    *_TARGETS,
    "reconstruction_truth_before",
    "reconstruction_truth_after",
    "retrieval_mean_none",
    "retrieval_mean_screen",
    "retrieval_mean_full",
)


def main() -> None:
    """Run all seeds and record means with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of all arms")
    parser.add_argument("--tiles", type=int, default=6000, help="training pairs")
    parser.add_argument("--held", type=int, default=384, help="held-out pairs")
    parser.add_argument("--steps", type=int, nargs=3, default=(1000, 120, 120), help="steps of the three phases")
    parser.add_argument("--itc-below", type=float, default=-0.5, help="scio.itc_below; the paper's is 0")
    parser.add_argument("--itm-above", type=float, default=0.0, help="scio.itm_above; the paper's is 0")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="seeds that run at once, a core each")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(given.processes, torch.set_num_threads, (1,)) as pool:
        runs = pool.map(functools.partial(one_seed, given=given), range(given.seeds), chunksize=1)
    detail = {**vars(given), "model": MODEL, "noise": NOISE, "batch": BATCH, "rate": RATE, "runs": runs}
    for name in () if given.dry else _SHOWN:
        values = [run[name] for run in runs]
        mean = statistics.mean(values)
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else None
        interval = {"interval_95": None if half is None else [mean - half, mean + half]}
        target = _TARGETS.get(name)
        if name == "reconstruction_truth_after":
            target = statistics.mean(run["reconstruction_truth_before"] for run in runs)
        record("scio", name, mean, target=target, detail={**detail, **interval})


if __name__ == "__main__":
    main()
