"""Whether words find what the simulator put there: a checkpoint of the demo's road, on scenes that it has never seen.

``python benchmarks/retrieval_truth.py`` takes the checkpoint that `make demo` left, simulates airports, ports and
cities with other seeds, tiles them as the demo does, and embeds the small tiles. Searching for aircraft should rank
tiles that hold one above those that hold none: the area under the curve, over a whole archive, within the airport's
scene, and within the least box that holds all aircraft, where nearly all that looks like one is near one; means over
archives. How many there are is asked of the demo's answerer and held against the truth.

``--scenes N`` pretrains on N scenes of each kind first, by the demo's settings, and tells what more data gives; its
figures are recorded with the number of scenes in their names.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record import record
from sklearn.metrics import roc_auc_score

import models
from jobs.cluster import connected
from jobs.index import IndexSettings, index
from jobs.road import road
from jobs.simulate import SimulateSettings, simulate
from jobs.tile import TileSettings, tile
from knowlip.archive import Archive, Entry, Filters, Hit
from knowlip.benchmark.annotations import targets_of
from knowlip.benchmark.content import read_truth
from knowlip.scenes.simulate import DEMO_KINDS
from knowlip.settings import read_settings
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
PROG = "benchmarks/retrieval_truth.py"
QUERY = "tiles with aircraft"
QUESTION = "How many aircraft are there?"
COUNTS = tuple(str(number) for number in range(10))
COLUMNS = ["tile_id", "scale", "scene_name", "affine", "crs", "height", "width", "view"]


def held_out(folder: str, checkpoint: Path, seed: int) -> Workspace:
    """Simulate, tile and index scenes of another seed with the demo's own settings and checkpoint."""
    configs = ROOT / "jobs" / "configs"
    at = ["--workspace", folder]
    shutil.copytree(checkpoint, Path(folder) / "runs" / "pretrain" / "checkpoint")
    scenes = ["--config", str(configs / "simulate-demo.yaml"), "--seed", str(seed)]
    tiling = ["--config", str(configs / "tile-demo.yaml")]
    simulate(read_settings(SimulateSettings, [*at, *scenes], prog=PROG))
    tile(read_settings(TileSettings, [*at, *tiling], prog=PROG))
    index(read_settings(IndexSettings, at, prog=PROG))
    return Workspace(folder)


def aircraft_in(workspace: Workspace, rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many aircraft each tile holds, by the simulator's truth."""
    truths = {name: read_truth(workspace, "scenes", name) for name in {row["scene_name"] for row in rows}}
    found = {}
    for row in rows:
        truth = truths[row["scene_name"]]
        shape = row["height"], row["width"]
        held = targets_of({**row, "shape": shape}, truth, shape) if truth else []
        found[row["tile_id"]] = sum(target["category"] == "aircraft" for target in held)
    return found


def box_around(entries: list[Entry]) -> tuple[float, float, float, float]:
    """Return the least box that holds some tiles: west, south, east, north, degrees."""
    edges = np.array([entry.bounds for entry in entries])
    west, south, east, north = (*edges.min(axis=0)[:2].tolist(), *edges.max(axis=0)[2:].tolist())
    return west, south, east, north


def area_under_curve(hits: list[Hit], aircraft: dict[str, int]) -> float:
    """Return how likely a tile with aircraft stands above one without."""
    return float(roc_auc_score([aircraft[hit.entry.tile_id] > 0 for hit in hits], [hit.score for hit in hits]))


def walked(folder: str, scenes: int) -> Workspace:
    """Walk the demo's road up to its pretrained checkpoint, on so many scenes of each kind."""
    configs = Path(folder, "configs")
    shutil.copytree(ROOT / "jobs" / "configs", configs)
    with (configs / "simulate-demo.yaml").open("a") as file:
        file.write(f"count: {scenes}\n")
    workspace = Workspace(str(Path(folder, "workspace")))
    with connected():
        for stage in road(workspace.root, (), configs):
            stage.job(stage.settings)
            if stage.name == "pretrain":
                break
    return workspace


def counted(answerer: Path, rows: list[dict[str, Any]], aircraft: dict[str, int]) -> list[tuple[int, int]]:
    """Return how many aircraft each tile holds, and how many an answerer counts; nothing where there is none."""
    if not answerer.exists():
        return []
    answers = models.load(answerer).answer([row["view"] for row in rows], [QUESTION] * len(rows), COUNTS)
    return [(aircraft[row["tile_id"]], int(said.answer)) for row, said in zip(rows, answers, strict=True)]


def searched(trained: Path, seed: int) -> dict[str, Any]:
    """Search an archive of another seed for aircraft; return the areas under the curve, and counts told and true."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = held_out(folder, trained / "pretrain" / "checkpoint", seed)
        table: pa.Table = workspace.read_table("tiles", columns=COLUMNS)
        rows = [row for row in table.to_pylist() if row["scale"] == "S"]
        aircraft = aircraft_in(workspace, rows)
        archive = Archive.open(workspace)
        query = models.load(trained / "pretrain" / "checkpoint").encode_query([QUERY])[0]
        everywhere = archive.search(query, len(archive), Filters(scales=("S",)))
        with_aircraft = [hit.entry for hit in everywhere if aircraft[hit.entry.tile_id]]
        airports = {entry.facts["scene_name"] for entry in with_aircraft}
        at_airports = [hit.entry for hit in everywhere if hit.entry.facts["scene_name"] in airports]
        found = {"": everywhere}
        for place, entries in {"_in_scene": at_airports, "_in_box": with_aircraft}.items():
            found[place] = archive.search(query, len(archive), Filters(scales=("S",), bbox=box_around(entries)))
        counts = counted(trained / "vqa" / "checkpoint", rows[:: max(1, len(rows) // 200)], aircraft)
    return {
        "areas": {place: area_under_curve(hits, aircraft) for place, hits in found.items()},
        "tiles": {place: len(hits) for place, hits in found.items()},
        "with_aircraft": len(with_aircraft),
        "counts": counts,
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=ROOT / "workspace" / "demo", help="what `make demo` made")
    parser.add_argument("--scenes", type=int, default=0, help="of each kind, on which the demo's road is walked first")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104], help="of the held-out scenes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = (walked(folder, given.scenes).local() if given.scenes else given.workspace.resolve()) / "runs"
        if not (runs / "pretrain" / "checkpoint").exists():
            print(f"retrieval_truth: no checkpoint in {runs}: run `make demo` first, or give --scenes. Not measured.")
            return
        archives = [searched(runs, seed) for seed in given.seeds]
    pairs = [pair for archive in archives for pair in archive.pop("counts")]
    detail: dict[str, Any] = {
        "query": QUERY,
        "archives": dict(zip(given.seeds, archives, strict=True)),
    }
    if pairs:
        detail |= {
            "counts_asked": len(pairs),
            "counts_right": sum(true == said for true, said in pairs) / len(pairs),
            "counts_right_by_most_frequent": Counter(true for true, _ in pairs).most_common(1)[0][1] / len(pairs),
            "truth_said_times": sorted([true, said, times] for (true, said), times in Counter(pairs).items()),
        }
    print(detail)
    trained_on = f"_{len(DEMO_KINDS) * given.scenes}_scenes" if given.scenes else ""
    for place in ("", "_in_scene", "_in_box"):
        mean = float(np.mean([archive["areas"][place] for archive in archives]))
        record("retrieval_truth", f"auc_aircraft{place}{trained_on}", mean, target=0.9, detail=detail)


if __name__ == "__main__":
    main()
