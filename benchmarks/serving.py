"""What a search over HTTP costs beyond the model and the index, and what batching gives back.

``python benchmarks/serving.py`` asks the same questions of the same model (the `small` preset, untrained) and the same
archive of 2,000 tiles in four ways, each in processes of its own, one after the other:

* floor: bare calls in one process, one at a time, and 32 texts at once;
* plain: a FastAPI application under uvicorn that does one request at a time;
* served: `serve_apps.retrieval` as ``serve run`` starts it;
* tuned: the same with ``RAY_SERVE_THROUGHPUT_OPTIMIZED=1`` (docs/how-to/serve.md).

Clients wait for an answer before they ask again. With 256 of them, every 200 is held against the bare call's answer,
and everything else must be a 503. The recorded figures are those of `served`, and of `tuned` where the name says so.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import numpy as np
import pyarrow as pa
from fastapi import FastAPI, Response
from PIL import Image
from pydantic import BaseModel
from record import record
from rich.console import Console
from rich.table import Table

from knowlip.archive import Archive, Version, checkpoint_digest, load_units
from knowlip.records import TILES, conform
from knowlip.workspace import Workspace

TILE_COUNT, K, BATCH = 2_000, 10, 32
RUN = "runs/pretrain/checkpoint"
WORDS = ("airport", "runway", "ships", "harbour", "oil tanks", "dense buildings", "river", "fields", "bridge", "forest")
TEXTS = [f"{one} beside {other} near the coast" for one, other in itertools.permutations(WORDS, 2)][:64]
ARMS = ("floor", "plain", "served", "tuned")


def build(workspace: Workspace) -> None:
    """Make a checkpoint of the small preset and an index of tiles, as the jobs leave them."""
    import torch

    import models
    from models import KnowLIP, Preprocessing, Tokenizer, presets, save_checkpoint

    torch.manual_seed(0)
    tokenizer = Tokenizer.train(TEXTS, vocab_size=300)
    config = presets["small"]
    config = config.model_copy(update={"text": config.text.model_copy(update={"vocab_size": tokenizer.vocab_size})})
    preprocessing = Preprocessing(image_size=config.vision.image_size, channels=config.vision.channels)
    save_checkpoint(workspace.local(RUN), KnowLIP(config), tokenizer, preprocessing, {"made_by": "a benchmark"})
    workspace.write_table(_tiles(), "tiles", "scene.parquet")
    version = Version(digest=checkpoint_digest(workspace, RUN), checkpoint=RUN, width=config.projection)
    # Vectors spread around those of the texts, so that each has near and far tiles.
    near = models.load(workspace.local(RUN)).encode_query(TEXTS)
    random = np.random.default_rng(0)
    vectors = near[random.integers(len(near), size=TILE_COUNT)]
    vectors = (vectors + random.normal(scale=0.05, size=vectors.shape)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), version.width)
    table = pa.table({"tile_id": [f"tile-{number:04d}" for number in range(TILE_COUNT)], "vector": column})
    workspace.write_table(table, version.vectors, "scene.parquet")
    load_units(workspace, version)
    version.publish(workspace)


def _tiles() -> pa.Table:
    import io

    import shapely

    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(1, 256, (64, 64), dtype=np.uint8)).save(stream, "PNG")
    rows = []
    for number in range(TILE_COUNT):
        west, south = -120 + 0.01 * (number % 50), 30 + 0.01 * (number // 50)
        box = shapely.box(west, south, west + 0.01, south + 0.01)
        rows.append(
            {
                **dict.fromkeys(TILES.names),
                "tile_id": f"tile-{number:04d}",
                "scene_id": "scene",
                "scene_name": "scene.tif",
                "scale": "S",
                "gsd_m": 1.0,
                "extent_m": 1024.0,
                "crs": "EPSG:4326",
                "georeference": "affine",
                "affine": [0.01 / 64, 0.0, west, 0.0, -0.01 / 64, south + 0.01],
                "geometry": shapely.to_wkb(box),
                "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), box.bounds, strict=True)),
                "lon": west + 0.005,
                "lat": south + 0.005,
                "city": "Long Beach",
                "admin": "CA",
                "country": "US",
                "airports": [],
                "ports": [],
                "image": stream.getvalue(),
                "view": stream.getvalue(),
            }
        )
    return conform(pa.Table.from_pylist(rows, TILES), TILES, where="tiles of a benchmark")


class Bare:
    """The model and the index, called directly."""

    def __init__(self, workspace: Workspace) -> None:
        import models

        self.model, self.archive = models.load(workspace.local(RUN)), Archive.open(workspace)

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Return the features found for each text."""
        found = self.archive.search_each(self.model.encode_query(texts), K)
        return [[hit.entry.feature() for hit in hits] for hits in found]


def floor(workspace: Workspace, seconds: float) -> dict[str, Any]:
    """Measure the bare calls."""
    bare = Bare(workspace)
    truth = [[feature["id"] for feature in found] for found in bare(TEXTS)]
    spent = []
    for text in TEXTS * 2:
        started = time.perf_counter()
        bare([text])
        spent.append(1000 * (time.perf_counter() - started))
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        bare([TEXTS[(done + place) % len(TEXTS)] for place in range(BATCH)])
        done += BATCH
    rate = done / (time.perf_counter() - started)
    return {"1": {"p50": np.percentile(spent, 50), "p99": np.percentile(spent, 99)}, "32": {"rate": rate}, "ids": truth}


class Query(BaseModel):
    """What to look for."""

    text: str
    k: int = K


def plain_app(workspace: Workspace) -> FastAPI:
    """Return the application that one writes first: a route that computes, while nothing else happens."""
    app, bare = FastAPI(), Bare(workspace)

    @app.post("/v1/search")
    async def search(query: Query) -> Response:
        features = bare([query.text])[0]
        return Response(json.dumps({"type": "FeatureCollection", "features": features}), media_type="application/json")

    return app


async def load(url: str, clients: int, seconds: float, truth: list[list[str]]) -> dict[str, Any]:
    """Let clients ask for a while, and sum up what they got."""
    spent: list[float] = []
    seen: Counter[str] = Counter()
    until = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        for turn in itertools.count(number):
            if time.perf_counter() >= until:
                return
            place = turn % len(TEXTS)
            started = time.perf_counter()
            try:
                async with session.post(url, json={"text": TEXTS[place], "k": K}) as reply:
                    body = await reply.json(content_type=None)
                    status = reply.status
            except (aiohttp.ClientError, TimeoutError) as error:
                seen[type(error).__name__] += 1
                continue
            spent.append(1000 * (time.perf_counter() - started))
            if status == 200:
                right = [feature["id"] for feature in body["features"]] == truth[place]
                seen["right" if right else "wrong"] += 1
            else:
                seen[str(status)] += 1
                await asyncio.sleep(0.1)

    timeout, connector = aiohttp.ClientTimeout(total=120), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session, 7 * number) for number in range(clients)))
        took = time.perf_counter() - started
    p50, p99 = np.percentile(spent, [50, 99])
    return {"p50": p50, "p99": p99, "rate": seen["right"] / took, "seen": dict(seen)}


def over_http(url: str, seconds: float, truth: list[list[str]], crowds: tuple[int, ...]) -> dict[str, Any]:
    """Measure a running service with one client, then with crowds."""
    asyncio.run(load(url, 4, min(3.0, seconds), truth))
    return {str(crowd): asyncio.run(load(url, crowd, seconds, truth)) for crowd in crowds}


@contextmanager
def plain(workspace: Workspace) -> Iterator[str]:
    """Run the plain application."""
    port = _free_port()
    server = subprocess.Popen([sys.executable, __file__, "--serve-plain", str(port), "--workspace", workspace.root])
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}/v1/search"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def served(workspace: Workspace) -> Iterator[str]:
    """Run this project's application on a Ray cluster of its own."""
    import ray
    from ray import serve

    from serve_apps.retrieval import app
    from serve_apps.settings import RetrievalSettings

    # Ray's processes are forked and replaced at once, which is safe whatever lancedb's threads are doing.
    warnings.filterwarnings("ignore", message="lancedb fork support", category=RuntimeWarning)
    ray.init(address="local", num_cpus=4, logging_level="ERROR", log_to_driver=False)
    port = _free_port()
    quiet = {"log_level": "ERROR", "enable_access_log": False}
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    serve.run(app(RetrievalSettings(workspace=workspace.root)), logging_config=quiet)
    try:
        yield f"http://127.0.0.1:{port}/v1/search"
    finally:
        serve.shutdown()
        ray.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the plain application did not come up")


def measure(arm: str, workspace: Workspace, seconds: float, truth: list[list[str]]) -> dict[str, Any]:
    """Measure one way of answering, in this process and its children."""
    if arm == "floor":
        return floor(workspace, seconds)
    crowds = (1, 32) if arm == "plain" else (1, 32, 256)
    with (plain if arm == "plain" else served)(workspace) as url:
        return over_http(url, seconds, truth, crowds)


def in_its_own_process(arm: str, workspace: Workspace, seconds: float, truth: list[list[str]]) -> dict[str, Any]:
    """Run an arm in a fresh process, so that none profits from another's state."""
    environment = os.environ | ({"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"} if arm == "tuned" else {})
    argv = [sys.executable, __file__, "--arm", arm, "--workspace", workspace.root, "--seconds", str(seconds)]
    done = subprocess.run(argv, input=json.dumps(truth), stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    rates = {
        crowd: f"{figures['rate']:.1f}/s" for crowd, figures in found.items() if crowd != "ids" and "rate" in figures
    }
    print(arm, rates, flush=True)
    return found


def report(found: dict[str, dict[str, Any]]) -> None:
    """Print the table and record the figures."""
    table = Table("who", "clients", "p50 ms", "p99 ms", "right answers a second", "answers", title="Search over HTTP")
    for arm, crowds in found.items():
        for crowd, figures in crowds.items():
            texts = [f"{figures[name]:.1f}" if name in figures else "" for name in ("p50", "p99", "rate")]
            table.add_row(arm, crowd, *texts, ", ".join(f"{n} {what}" for what, n in figures.get("seen", {}).items()))
    Console().print(table)
    ours, bare, other = found["served"], found["floor"], found["plain"]
    bad = sum(n for what, n in ours["256"]["seen"].items() if what not in {"right", "503"})
    over = ours["1"]["p50"] - bare["1"]["p50"]
    record("serving", "p50_over_floor_ms", over, target=12.0, better="lower", detail=found)
    for arm, suffix in (("served", ""), ("tuned", "_tuned")):
        rate = found[arm]["32"]["rate"]
        record("serving", f"throughput_vs_plain_fastapi{suffix}", rate / other["32"]["rate"], target=1.5, detail=found)
        record("serving", f"throughput_vs_floor{suffix}", rate / bare["32"]["rate"], target=0.8, detail=found)
    record("serving", "bad_answers_at_256_clients", bad, target=0, better="lower", detail=found)


def main() -> None:
    """Measure all ways, or be one of the processes that this takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each crowd asks")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--serve-plain", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--workspace", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_plain:
        import uvicorn

        uvicorn.run(plain_app(Workspace(args.workspace)), port=args.serve_plain, log_level="error")
    elif args.arm:
        print(json.dumps(measure(args.arm, Workspace(args.workspace), args.seconds, json.loads(sys.stdin.read()))))
    else:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(folder)
            build(workspace)
            found = {"floor": in_its_own_process("floor", workspace, args.seconds, [])}
            truth = found["floor"].pop("ids")
            for arm in ARMS[1:]:
                found[arm] = in_its_own_process(arm, workspace, args.seconds, truth)
        report(found)


if __name__ == "__main__":
    main()
