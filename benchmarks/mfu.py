"""How much of a GPU the pretraining step uses: `base`, 224 pixels, bfloat16, on the captions of a workspace.

The step is the loop's own: the DeepSpeed engine around the task, with its optimiser, clipping and momentum update.
Batches lie on the device already, so waiting for data is left out. Operations are counted by `models.flops` on the
shapes of the batches; the detail gives the parts of that count, and how much of the text is padding.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from record import record

from jobs.train.batches import on_device
from jobs.train.engine import TaskModule, start_engine
from jobs.train.peaks import peak_flops
from jobs.train.settings import OptimisationSettings, ScalingSettings
from knowlip.workspace import Workspace
from models.config import presets
from models.flops import StepFlops
from models.tasks.pairs import COLUMNS
from models.tasks.pretraining import PretrainingSettings, PretrainingTask

BATCHES = 4
"""Different batches that the steps go round."""


def batches_of(task: PretrainingTask, workspace: Path, size: int) -> list[dict[str, Any]]:
    """Return collated batches of a workspace's pairs, repeated where there are too few."""
    table = Workspace(str(workspace)).read_table("corpus", columns=list(COLUMNS)).to_pandas()
    rows = [place % len(table) for place in range(BATCHES * size)]
    generator = torch.Generator().manual_seed(0)
    parts = [table.iloc[rows[start : start + size]] for start in range(0, len(rows), size)]
    return [
        task.collate({name: part[name].to_numpy() for name in COLUMNS}, train=True, generator=generator)
        for part in parts
    ]


def measure(workspace: Path, tokenizer: str, size: int, steps: int, *, compiled: bool, trace: Path | None) -> None:
    """Time steps of one batch size, and record what they reached."""
    device = torch.device("cuda", 0)
    peak = peak_flops(device, "bfloat16")
    if peak is None:
        raise SystemExit(f"mfu: the peak of {torch.cuda.get_device_name(device)} is not in jobs/train/peaks.py; add it")
    task = PretrainingTask(PretrainingSettings(model=presets["base"], tokenizer=tokenizer, compile=compiled))
    module = TaskModule(task, task.build(), "bfloat16")
    scaling = ScalingSettings(workers=1, gpu="yes", precision="bfloat16")
    engine = start_engine(module, OptimisationSettings(), scaling, micro_batch_size=size)
    batches = [on_device(batch, device) for batch in batches_of(task, workspace, size)]

    def step(batch: dict[str, Any]) -> None:
        engine.backward(sum(engine(batch).values()))
        engine.step()
        task.after_step()

    engine.train()
    started = time.perf_counter()
    for place in range(3 * BATCHES):  # every shape once and again, so that nothing is compiled or sought later
        step(batches[place % BATCHES])
    torch.cuda.synchronize()
    warm_s = time.perf_counter() - started
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        for batch in batches:
            step(batch)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    if trace is not None:
        _trace(step, batches[0], trace)
    round_s = statistics.median(seconds)
    flops = sum(StepFlops(task.network)(batch) for batch in batches)
    detail = {
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "batch": size,
        "compiled": compiled,
        "samples_per_s": BATCHES * size / round_s,
        "samples_per_s_slowest": BATCHES * size / max(seconds),
        "peak_tflops": peak / 1e12,
        "reached_tflops": flops / round_s / 1e12,
        "forward_gflop_a_pair": StepFlops(task.network).derivation(batches[0]),
        "step_tflop": flops / BATCHES / 1e12,
        "tokens": {name: [batch[name].shape[1] for batch in batches] for name in ("ids", "masked_ids", "written")},
        "padding": 1 - statistics.mean(float(batch["mask"].float().mean()) for batch in batches),
        "memory_gb": torch.cuda.max_memory_allocated(device) / 1e9,
        "warm_up_s": warm_s,
    }
    print(json.dumps(detail))
    record("pretrain", "mfu", flops / round_s / peak, target=0.4, detail=detail)


def _trace(step: Any, batch: dict[str, Any], file: Path) -> None:
    """Write which kernels a step spends its time in."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        step(batch)
        torch.cuda.synchronize()
    kernels = profile.key_averages()
    file.write_text(kernels.table(sort_by="self_cuda_time_total", row_limit=45, max_name_column_width=90))


def main() -> None:
    """Measure, where there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("workspace/demo"), help="whose corpus is read")
    parser.add_argument("--tokenizer", default="package", help="a folder with tokenizer.json")
    parser.add_argument("--batch", type=int, default=128, help="pairs a step")
    parser.add_argument("--steps", type=int, default=5, help="rounds of four steps that are timed")
    parser.add_argument("--compile", action="store_true", help="compile both towers")
    parser.add_argument("--trace", type=Path, help="write the kernels' times here")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("mfu: no GPU here; nothing was measured")
        return
    if not Workspace(str(given.workspace)).exists("corpus"):
        print(f"mfu: {given.workspace} holds no corpus: run `make demo`, or give --workspace; nothing was measured")
        return
    os.environ.setdefault("DS_ACCELERATOR", "cuda")
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MASTER_PORT", "29511")
    measure(given.workspace, given.tokenizer, given.batch, given.steps, compiled=given.compile, trace=given.trace)


if __name__ == "__main__":
    main()
