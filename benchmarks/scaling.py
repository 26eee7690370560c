"""How tiling, captioning and screening grow with workers: the same work on more cores, and more work on more cores.

Each number of workers runs in a process of its own that may use as many cores, on a Ray cluster with as many slots. A
job starts its workers anew, and each imports its libraries, which takes seconds and is counted: the work is large
enough (about a minute of one core a stage) to tell how it grows. Scenes are cut with overlap for that.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from record import record

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("tile", "caption", "screen")
SCENES = 4
"""Simulated scenes a workspace; weak scaling gives each worker as many."""
OVERLAP = {"tile": 0.85, "caption": 0.5}
"""Of the tiles that are cut to time tiling, and of those that are captioned and screened."""
TARGET = 0.85


def main() -> None:
    """Run every number of workers, print the table, and record the efficiency at two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, help="measure with so many workers in this process, and print the seconds")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="which are measured")
    given = parser.parse_args()
    if given.only:
        print(json.dumps(_measure(given.only, given.stages)))
        return
    cores = len(os.sched_getaffinity(0))
    found = {workers: _in_a_process(workers, given.stages) for workers in (1, 2, 4, 8, 16) if workers <= cores}
    print(f"{'stage':<10}{'scaling':<9}{'workers':>8}{'seconds':>10}{'efficiency':>12}")
    for stage in given.stages:
        for kind in ("strong", "weak"):
            alone = found[1][stage][kind]
            for workers, seconds in ((workers, found[workers][stage][kind]) for workers in found):
                efficiency = alone / seconds / (workers if kind == "strong" else 1)
                print(f"{stage:<10}{kind:<9}{workers:>8}{seconds:>10.2f}{efficiency:>12.2f}")
    if 2 not in found:
        print("scaling: one core here, so there is nothing to compare; nothing was recorded")
        return
    load = os.getloadavg()[0]
    for stage in given.stages:
        strong = found[1][stage]["strong"] / found[2][stage]["strong"] / 2
        weak = found[1][stage]["weak"] / found[2][stage]["weak"]
        detail = {"weak": weak, "seconds": {workers: found[workers][stage] for workers in found}, "load": load}
        record("scaling", f"efficiency_2_{stage}", strong, target=TARGET, detail=detail)


def _in_a_process(workers: int, stages: Sequence[str]) -> dict[str, dict[str, float]]:
    words = [sys.executable, __file__, "--only", str(workers), "--stages", *stages]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    cores = sorted(os.sched_getaffinity(0))[:workers]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return json.loads(done.stdout.splitlines()[-1])


def _measure(workers: int, stages: Sequence[str]) -> dict[str, dict[str, float]]:
    import ray

    from knowlip.scenes.simulate import SimulationSettings, simulate, write_scene

    ray.init(address="local", num_cpus=workers, logging_level="warning")
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scenes_at = Path(folder) / "scenes"
        for seed in range(SCENES * workers):
            write_scene(simulate(SimulationSettings(kind="airport", size_px=(1536, 1536), seed=seed)), scenes_at)
        paths = sorted(map(str, scenes_at.glob("*.tif")))
        paths = [path for path in paths if "landcover" not in path]
        for kind, scenes in (("strong", SCENES), ("weak", SCENES * workers)):
            if workers == 1 and kind == "weak":
                found.update({stage: dict.fromkeys(("strong", "weak"), found[stage]["strong"]) for stage in stages})
                continue
            for stage, seconds in _walk(Path(folder) / kind, paths[:scenes], workers, stages).items():
                found.setdefault(stage, {})[kind] = seconds
    ray.shutdown()
    return found


def _walk(root: Path, scenes: list[str], workers: int, stages: Sequence[str]) -> dict[str, float]:
    """Walk a workspace of some scenes as far as is measured; return the seconds of each stage."""
    from jobs.caption import CaptionSettings, caption
    from jobs.corpus import CorpusSettings, corpus
    from jobs.tile import TileSettings, tile

    place, read = {"workspace": str(root)}, {"paths": scenes}
    grid = {"extent_m": 256, "medium": 3, "large": 0, "strip_mpx": 0.4}
    cut = TileSettings(workspace=f"{root}-cut", tiling={**grid, "overlap": OVERLAP["tile"]}, scenes=read)
    seconds = {"tile": _seconds(lambda: tile(cut))} if "tile" in stages else {}
    if set(stages) == {"tile"}:
        return seconds
    tile(TileSettings(**place, tiling={**grid, "overlap": OVERLAP["caption"]}, scenes=read))
    seconds["caption"] = _seconds(lambda: caption(CaptionSettings(**place)))
    corpus(CorpusSettings(**place, shard_rows=64, split={"train": 1.0, "val": 0.0, "test": 0.0}))
    if "screen" in stages:
        seconds["screen"] = _screen(root, workers)
    return seconds


def _screen(root: Path, workers: int) -> float:
    import torch
    from ray.train import Checkpoint

    from jobs.train.scio import Pass, ScioSettings, run_pass
    from jobs.train.settings import ScalingSettings
    from knowlip.corpus.revision import Revision
    from knowlip.records import SUBTEXTS, VERDICTS
    from knowlip.workspace import Workspace
    from models import KnowLIP, Preprocessing, Tokenizer, presets, save_checkpoint

    workspace = Workspace(str(root))
    texts = workspace.read_table("corpus", columns=list(SUBTEXTS)).to_pylist()
    tokenizer = Tokenizer.train([text for row in texts for text in row.values()], vocab_size=500)
    torch.manual_seed(0)
    config = presets["tiny"]
    config = config.model_copy(update={"text": config.text.model_copy(update={"vocab_size": tokenizer.vocab_size})})
    width, negatives = config.projection, 256
    queue: dict[str, Any] = {
        "images": torch.nn.functional.normalize(torch.randn(negatives, width), dim=1),
        "texts": torch.nn.functional.normalize(torch.randn(negatives, width), dim=1),
        "ids": torch.arange(negatives),
    }
    sight = Preprocessing(image_size=config.vision.image_size, channels=config.vision.channels)
    save_checkpoint(root / "checkpoint" / "model", KnowLIP(config), tokenizer, sight, {}, queue=queue)
    work = Pass(
        kind="screened",
        round=1,
        workspace=workspace,
        run="runs/scaling",
        checkpoint=Checkpoint(str(root / "checkpoint"), workspace.filesystem),
        revision=Revision.from_verdicts(VERDICTS.empty_table(), round_=1, phase=1, rejected="drop"),
        settings=ScioSettings(unit_rows=8, batch_size=8),
    )
    scaling = ScalingSettings(workers=workers, cpus_per_worker=1)
    return _seconds(lambda: run_pass(work, scaling, gpu=False))


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
