"""How fast scenes become tiles, held against plain loops and other tools, and how much memory a large one takes.

``python benchmarks/tiling.py`` cuts the same scenes (float32 of 8192² pixels: plain, deflated, as COG; and the real
8-bit scene where `KNOWLIP_DATA` has it) into the same small tiles on one core, by turns and the best of three, counted
in processor seconds (so that a busy machine spoils little): the job's whole pipeline; a loop of read, clip and the same
encoder (the floor); that loop with scikit-image's texture; ``gdal_retile.py -of PNG``; rio-tiler. Then the job, as Ray
runs it on one core and on two, on a float32 scene of 40,000² pixels, in seconds of the wall: what two gain, the median
over the turns, and how much memory a worker takes for it. Tools that are not installed are said to be missing.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import logging
import multiprocessing
import os
import pstats
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from record import record
from tilers import CONTENDERS, Case, Reader, pipeline

ROOT = Path(__file__).resolve().parents[1]
SIDE, TILE, BIG_SIDE = 8192, 1024, 40_000
ROUNDS, JOB_ROUNDS = 3, 3
PROFILES: dict[str, dict[str, Any]] = {
    "plain": {"driver": "GTiff"},
    "deflate": {"driver": "GTiff", "compress": "deflate", "predictor": 3},
    "cog": {"driver": "COG", "compress": "deflate", "predictor": "yes"},
}
STEPS = {
    "survey": ("survey.py", "survey_scene"),
    "read": ("reader.py", "rows"),
    "8 bit": ("radiometry.py", "to_8bit"),
    "view": ("tile.py", "view"),
    "texture": ("texture.py", "measure_quality"),
    "screening": ("screening.py", "screen"),
    "PNG": ("encoding.py", "encode_png"),
    "footprint and places": ("table.py", "_place"),
    "Parquet": ("workspace.py", "write_table"),
}
"""What is done for a tile: module and function."""


def ground(rows: int, cols: int, seed: int) -> NDArray[np.float32]:
    """Return fields of 64 pixels of different brightness under four-look amplitude speckle, mostly within 8 bits."""
    rng = np.random.default_rng(seed)
    fields = rng.uniform(20.0, 80.0, (-(-rows // 64), -(-cols // 64))).astype(np.float32)
    mean = np.kron(fields, np.ones((64, 64), np.float32))[:rows, :cols]
    return mean * np.sqrt(rng.standard_gamma(4.0, (rows, cols), dtype=np.float32) / 4.0)


def write_scene(path: Path, pixels: NDArray[np.float32], profile: dict[str, Any]) -> Path:
    """Write a scene of 1 m pixels."""
    height, width = pixels.shape
    place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390_000, 0, -1, 3_740_000)}
    with rasterio.open(path, "w", height=height, width=width, count=1, dtype="float32", **place, **profile) as sink:
        sink.write(pixels, 1)
        sink.update_tags(quantity="amplitude")
    return path


def write_large_scene(path: Path) -> Path:
    """Write a plain float32 scene of 40,000² pixels (6.4 GB): one band of ground, turned again and again."""
    band = ground(1000, BIG_SIDE, seed=1)
    place = {"crs": "EPSG:32611", "transform": Affine(1, 0, 390_000, 0, -1, 3_740_000)}
    shape = {"height": BIG_SIDE, "width": BIG_SIDE, "count": 1, "dtype": "float32", "bigtiff": "yes"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as sink:
        for number, row in enumerate(range(0, BIG_SIDE, 1000)):
            sink.write(np.roll(band, 997 * number, axis=1), 1, window=Window(0, row, BIG_SIDE, 1000))
        sink.update_tags(quantity="amplitude")
    return path


def spent_s() -> float:
    """Return the processor's seconds that this process and its ended children took: waiting for others is not in it."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def timed(work: Callable[[Case, Path], int], case: Case) -> float:
    """Return processor seconds a small tile."""
    with tempfile.TemporaryDirectory() as folder:
        started = spent_s()
        tiles = work(case, Path(folder))
        return (spent_s() - started) / tiles


def side_by_side(cases: dict[str, Case]) -> dict[str, dict[str, float]]:
    """Return tiles a second of every contender on every scene, by turns, the best of a few."""
    missing = {"gdal_retile PNG"} if shutil.which("gdal_retile.py") is None else set()
    missing |= {"rio-tiler"} if Reader is None else set()
    for name in sorted(missing):
        print(f"{name} is not installed, so it is left out")
    working = {name: work for name, work in CONTENDERS.items() if name not in missing}
    found: dict[str, dict[str, float]] = {}
    for label, case in cases.items():
        seconds: dict[str, list[float]] = {name: [] for name in working}
        for _ in range(ROUNDS):
            for name, work in working.items():
                seconds[name].append(timed(work, case))
        found[label] = {name: 1.0 / min(values) for name, values in seconds.items()}
    return found


def shares(case: Case) -> dict[str, float]:
    """Return which share of the pipeline's time each step takes, as the profiler sees it."""
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        profile.runcall(pipeline, case, Path(folder))
    stats = pstats.Stats(profile)
    spent = dict.fromkeys(STEPS, 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in stats.stats.items():
        for step, (module, name) in STEPS.items():
            if function == name and file.endswith(f"/{module}"):
                spent[step] += cumulative / stats.total_tt
    return spent | {"the rest": 1.0 - sum(spent.values())}


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print figures side by side, a scene a column."""
    names = list(next(iter(rows.values())))
    print(f"\n{title:24s}" + "".join(f"{label:>16s}" for label in rows))
    for name in names:
        print(f"{name:24s}" + "".join(f"{row[name]:16.3g}" for row in rows.values()))


def small_cases(folder: Path) -> dict[str, Case]:
    """Write the scenes, and take the real one: with its tiles of 1024 m, and with tiles of some 1024 pixels."""
    pixels = ground(SIDE, SIDE, seed=0)
    cases = {
        label: Case(write_scene(folder / f"{label}.tif", pixels, profile), TILE, float(TILE))
        for label, profile in PROFILES.items()
    }
    real = Path(os.environ.get("KNOWLIP_DATA", ROOT.parent / "shared" / "data")) / "scenes" / "los_angeles_s1_vh.tif"
    if real.is_file():
        cases |= {"real": Case(real, TILE, 8518.0), "real, 1024 m": Case(real, 123, 1024.0)}
    return cases


def one_core(folder: Path) -> None:
    """Measure and keep what one core does."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cases = small_cases(folder)
    figures = side_by_side(cases)
    steps = {label: shares(case) for label, case in cases.items()}
    show("tiles a second, one core", figures)
    show("share of the pipeline", steps)
    detail = {"tiles_a_second": figures, "share_of_pipeline": steps, "tile_px": TILE, "rounds": ROUNDS}
    ratios = {
        "vs_gdal_retile_png": ("gdal_retile PNG", lambda row, other: row["pipeline"] / row[other], 3.0, "higher", min),
        "vs_floor_with_texture": (
            "floor with texture",
            lambda row, other: row[other] / row["pipeline"],
            1.6,
            "lower",
            max,
        ),
    }
    for metric, (other, ratio, target, better, worst) in ratios.items():
        if other not in figures["plain"]:
            continue
        by_scene = {label: ratio(row, other) for label, row in figures.items()}
        kept = {**detail, "by_scene": by_scene}
        value = worst(by_scene[label] for label in by_scene if cases[label].side_px == TILE)
        record("tiling", metric, value, target=target, better=better, detail=kept)
        record("tiling", f"{metric}_plain", by_scene["plain"], target=target, better=better, detail=kept)


def whole_job(cpus: int, scene: Path) -> dict[str, float]:
    """Run the job on a cluster of so many CPUs, its workers warm: seconds, tiles, a worker's peak memory.

    All of the cluster lives on as many cores, Ray's own processes too, which would else take a second one beside one
    worker and a part of both beside two.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    import ray

    from jobs.tile import TileSettings, tile

    ray.init(address="local", num_cpus=cpus, logging_level=logging.WARNING)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        small = write_scene(Path(folder) / "warm.tif", ground(4096, 4096, seed=2), PROFILES["plain"])
        strips = {"extent_m": 256.0, "strip_mpx": 0.5}  # many, so that every worker gets some
        tile(TileSettings(workspace=f"{folder}/warm", scenes={"paths": (str(small),)}, tiling=strips))
        with WorkersMemory() as memory:
            started = time.perf_counter()
            counts = tile(TileSettings(workspace=f"{folder}/big", scenes={"paths": (str(scene),)})).counts
            seconds = time.perf_counter() - started
    ray.shutdown()
    return {"seconds": seconds, "kept S": counts["kept S"], "peak_rss_gb": memory.peak / 1e9}


class WorkersMemory:
    """Learns how much memory the largest worker of this process's cluster ever held, shared memory included."""

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> WorkersMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._look()
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        # Seldom, lest the watching takes a part of a core: the kernel keeps the peak.
        while not self._ended.wait(2.0):
            self._look()

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if process.name().startswith("ray::"):
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    self.peak = max(self.peak, int(status.partition("VmHWM:")[2].split()[0]) * 1024)


def all_cores(folder: Path) -> None:
    """Measure and keep what the job does of a large scene on one CPU and on two, by turns."""
    scene = write_large_scene(folder / "large.tif")
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(JOB_ROUNDS):
        for cpus, made in runs.items():
            command = [sys.executable, __file__, "--job", str(cpus), str(scene)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            made.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{cpus} CPU: {made[-1]}")
    # One CPU against two within a turn: a machine that others use is not as fast in the next.
    turns = [one["seconds"] / two["seconds"] for one, two in zip(runs[1], runs[2], strict=True)]
    detail = {"scene_px": BIG_SIDE, "runs": {str(cpus): made for cpus, made in runs.items()}}
    peak = max(run["peak_rss_gb"] for made in runs.values() for run in made)
    record("tiling", "scaling_2_cores", statistics.median(turns), target=1.7, detail={**detail, "turns": turns})
    record("tiling", "peak_rss_gb_40k_scene", peak, target=1.5, better="lower", detail=detail)


def main() -> None:
    """Measure one core, then the cluster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["one-core", "all-cores"], help="leave the other half out")
    parser.add_argument(
        "--job", nargs=2, metavar=("CPUS", "SCENE"), help="run the job once and print its figures as JSON"
    )
    asked = parser.parse_args()
    if asked.job:
        print(json.dumps(whole_job(int(asked.job[0]), Path(asked.job[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        if asked.only != "all-cores":
            # In a process of its own, because it is pinned to its core.
            worker = multiprocessing.get_context("spawn").Process(target=one_core, args=(Path(folder),))
            worker.start()
            worker.join()
            if worker.exitcode:
                raise SystemExit(worker.exitcode)
        if asked.only != "one-core":
            all_cores(Path(folder))


if __name__ == "__main__":
    main()
