"""How fast captions are asked for, and how well a limit is held.

``python benchmarks/fanout.py`` asks a server of our own, which answers in 200 ms, for captions of tiles with images of
100 KB: by a bare loop of `asyncio` and the `openai` client that does nothing else, and by the caption job's actors on
Ray Data, with journal and limiter at work. By turns, the best of three; both have 64 calls in flight, of which
320 a second are the ideal; what is to be reached is 0.9 of that or of the bare loop, whichever is less. Tiles are not
measured here, so what is timed is the asking. Then four actors ask under a limit of 600 requests a minute.

The rate is that of arrivals at the server, without the first and the last twentieth.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pyarrow as pa
import ray
import ray.data
from record import record

from jobs.captioning.streaming import Access, ask_all
from jobs.cluster import connected
from knowlip.captioning import OK
from knowlip.captioning.asking import Prompt
from knowlip.captioning.chain import Observation, Observer
from knowlip.captioning.dialect import Dialect
from knowlip.captioning.endpoint import EndpointSettings
from knowlip.captioning.facts import TileFacts
from knowlip.captioning.secret import Key
from knowlip.captioning.units import CaptionUnit, index, plan
from knowlip.records import TILES
from knowlip.tiling.encoding import encode_png
from knowlip.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
LATENCY_S, IN_FLIGHT = 0.2, 64
IDEAL_A_SECOND = IN_FLIGHT / LATENCY_S
TREES, LIMITED_TREES = 12, 3
BARE_CALLS = 3000
LIMIT_A_MINUTE = 600
ROUNDS = 3
SIDE_PX = 316
"""Noise of this size makes a PNG of 100 KB."""


@contextmanager
def serving() -> Iterator[str]:
    """Start the server in a process of its own; yields its address."""
    command = [sys.executable, "-m", "tests.llm_server", "--light", "--latency-s", str(LATENCY_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def arrivals(address: str) -> np.ndarray:
    """When requests came, seconds."""
    return np.array(httpx.get(f"{address}/state", timeout=30).json()["arrivals"])


def tiles(workspace: Workspace, trees: int) -> list[dict[str, Any]]:
    """Write trees of 1 large, 16 medium and 256 small tiles, with a few images of noise among them."""
    rng = np.random.default_rng(0)
    images = [encode_png(rng.integers(1, 256, (SIDE_PX, SIDE_PX), dtype=np.uint8)) for _ in range(16)]
    listed = []
    for tree in range(trees):
        ids = [("L", f"{tree}-L", None)]
        ids += [("M", f"{tree}-M{one}", f"{tree}-L") for one in range(16)]
        ids += [("S", f"{tree}-S{one}", f"{tree}-M{one // 16}") for one in range(256)]
        rows = [
            dict.fromkeys(TILES.names)
            | {"tile_id": name, "scene_id": f"scene{tree}", "scale": scale, "parent_id": parent, "gsd_m": 10.0}
            | {"extent_m": 3160.0, "image": images[place % len(images)], "view": b""}
            for place, (scale, name, parent) in enumerate(ids)
        ]
        workspace.write_table(pa.Table.from_pylist(rows, TILES), "tiles", f"scene{tree}.parquet", row_group_size=32)
        listed += [{name: value for name, value in row.items() if name not in ("image", "view")} for row in rows]
    print(f"{len(listed):,} tiles, images of {len(images[0]) / 1000:.0f} KB")
    return listed


def seen(rows: list[dict[str, Any]], units: list[CaptionUnit], measured: Observation) -> ray.data.Dataset:
    """Observe without measuring: all tiles show what one of them shows."""
    facts = {row["tile_id"]: TileFacts.from_row(row) for row in rows}
    made = []
    for place, unit in enumerate(units):
        ids = [tile_id for scale in "LMS" for tile_id in unit.tiles[scale]]
        observed = [Observation(facts[one], measured.measured, "terrain", (), OK) for one in ids]
        made.append({"unit": place, "seen": pickle.dumps(observed)})
    return ray.data.from_items(made, override_num_blocks=len(made)).materialize()


def fan_out(address: str, trees: int, **settings: Any) -> np.ndarray:
    """Ask for all tiles of some trees as the job does; returns the arrivals of its requests."""
    before = len(arrivals(address))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        rows, units = tiles(workspace, trees), plan(index(workspace))
        measured = Observer("terrain").observe(first_row(workspace))
        endpoint = EndpointSettings(base_url=f"{address}/v1", model="stub", in_flight=IN_FLIGHT, **settings)
        access = Access(endpoint, Key("none"), None)
        options = {"recipe": "bench", "access": access, "retry": "none", "budget": (None, None)}
        stopped = ask_all(workspace, units, seen(rows, units, measured), **options)
        kept = workspace.read_table("captions", columns=["status"])["status"].to_pylist()
        if stopped or kept.count(OK) != len(rows):
            raise SystemExit(f"{kept.count(OK)} of {len(rows)} tiles were captioned: {stopped}")
    return arrivals(address)[before:]


def first_row(workspace: Workspace) -> dict[str, Any]:
    """One tile with its image."""
    return workspace.read_table("tiles", workspace.files("tiles")[0]).slice(0, 1).to_pylist()[0]


def bare(address: str) -> np.ndarray:
    """Ask in a bare loop, in this process; returns the arrivals of its requests."""
    before = len(arrivals(address))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        tiles(workspace, 1)
        row = first_row(workspace)
    request = Observer("terrain").observe(row).request(row["image"], None)
    settings = EndpointSettings(base_url=f"{address}/v1", model="stub")
    body = Dialect(settings).body(Prompt(request, settings).messages)

    async def run() -> None:
        client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key="none",
            timeout=settings.timeout_s,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        )
        left = iter(range(BARE_CALLS))

        async def work() -> None:
            for _ in left:
                await client.chat.completions.create(**body)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        await client.close()

    asyncio.run(run())
    return arrivals(address)[before:]


def a_second(came: np.ndarray) -> float:
    """Arrivals a second, without the first and the last twentieth."""
    edge = len(came) // 20
    middle = np.sort(came)[edge : len(came) - edge]
    return float((len(middle) - 1) / (middle[-1] - middle[0]))


def main() -> None:
    """Measure both, and the limiter."""
    with serving() as address, connected():
        turns = [(bare(address), fan_out(address, TREES, actors=2)) for _ in range(ROUNDS)]
        limited = fan_out(address, LIMITED_TREES, actors=4, requests_per_minute=LIMIT_A_MINUTE)
    alone, ours = (max(runs, key=a_second) for runs in zip(*turns, strict=True))
    rates = {"ideal": IDEAL_A_SECOND, "bare asyncio + openai": a_second(alone), "jobs.caption": a_second(ours)}
    for name, rate in rates.items():
        print(f"{name:24s} {rate:6.1f} requests a second")
    whole = float((len(ours) - 1) / (ours.max() - ours.min()))
    detail = {"a_second": rates, "whole_run_a_second": whole, "in_flight": IN_FLIGHT, "actors": 2, "rounds": ROUNDS}
    of_ideal = 0.9 * min(1.0, a_second(alone) / IDEAL_A_SECOND)
    record("fanout", "of_ideal_64", a_second(ours) / IDEAL_A_SECOND, target=round(of_ideal, 3), detail=detail)
    record("fanout", "of_bare_client_64", a_second(ours) / a_second(alone), target=0.9, detail=detail)
    a_minute = 60.0 * a_second(limited)
    held = {"a_minute": a_minute, "limit": LIMIT_A_MINUTE, "actors": 4, "calls": len(limited)}
    error = abs(a_minute / LIMIT_A_MINUTE - 1.0)
    record("fanout", "limiter_error", error, target=0.05, better="lower", detail=held)


if __name__ == "__main__":
    main()
