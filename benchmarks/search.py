"""How well and how fast the archive finds, beside numpy and faiss.

``python benchmarks/search.py`` fills an archive with clustered unit vectors, 120,000 and then 1,000,000 of them, and
asks for the ten nearest to queries from the same clusters: all over, within a broad and a selective box, and within a
scale. Recall is counted against numpy over every vector that passes the filter. `recall` is the worst of the cases,
`p99_ms` the 99th percentile over the queries of the slowest case. faiss (HNSW, which filters after searching) answers
the same queries. ``--rows 120000`` measures one size only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from record import record
from rich.console import Console
from rich.table import Table

from knowlip.archive import Archive, Filters, Version, entry_schema
from knowlip.workspace import Workspace

WIDTH, K, QUERIES, CLUSTERS = 256, 10, 200, 400
TARGETS: dict[int, tuple[str, float, float]] = {120_000: ("120k", 0.99, 30.0), 1_000_000: ("1m", 0.98, 100.0)}
CASES: dict[str, Filters] = {
    "all": Filters(),
    "broad box": Filters(bbox=(-90.0, -45.0, 90.0, 45.0)),
    "selective box": Filters(bbox=(10.0, 10.0, 20.0, 15.2)),
    "one scale": Filters(scales=("M",)),
}
"""The boxes let about 25 % and 0.08 % of the places through."""
_BATCH = 50_000
_OPEN = """
import sys, time
import numpy as np
from knowlip.archive import Archive
from knowlip.workspace import Workspace
started = time.perf_counter()
archive = Archive.open(Workspace(sys.argv[1]))
archive.search(np.ones(archive.version.width, np.float32), 10)
print(time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Data:
    """Vectors (N, WIDTH) of unit length, queries (QUERIES, WIDTH), and where and what the tiles are."""

    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    scale: NDArray[np.str_]

    def passing(self, filters: Filters) -> NDArray[np.bool_]:
        """Say which tiles pass, worked out anew."""
        kept = np.ones(len(self.lon), dtype=bool)
        if filters.bbox:
            west, south, east, north = filters.bbox
            kept &= (self.lon >= west) & (self.lon <= east) & (self.lat >= south) & (self.lat <= north)
        if filters.scales:
            kept &= np.isin(self.scale, filters.scales)
        return kept


def make(rows: int, seed: int = 0) -> Data:
    """Draw tiles in clusters."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)

    def drawn(count: int) -> NDArray[np.float32]:
        vectors = centres[random.integers(CLUSTERS, size=count)]
        vectors = vectors + random.normal(scale=0.7, size=(count, WIDTH)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    scale = random.choice(["L", "M", "S"], rows, p=[0.02, 0.18, 0.8])
    return Data(drawn(rows), drawn(QUERIES), random.uniform(-180, 180, rows), random.uniform(-90, 90, rows), scale)


def fill(workspace: Workspace, data: Data) -> tuple[Archive, float]:
    """Write the archive as the index job does, and return it with the seconds it took."""
    started = time.perf_counter()
    version = Version(digest="0" * 16, checkpoint="runs/none/checkpoint", width=WIDTH)
    archive = Archive.of_version(workspace, version)
    for start in range(0, len(data.lon), _BATCH):
        archive.add(_rows(data, slice(start, min(start + _BATCH, len(data.lon)))))
    archive.optimise()
    version.publish(workspace)
    return archive, time.perf_counter() - started


def _rows(data: Data, part: slice) -> pa.Table:
    lon, lat = data.lon[part], data.lat[part]
    count = len(lon)
    ids = [f"tile-{number:08d}" for number in range(part.start, part.stop)]
    values: dict[str, Any] = {
        "tile_id": ids,
        "geometry": shapely.to_wkb(shapely.points(lon, lat)),
        "scale": data.scale[part],
        "gsd_m": np.full(count, 1.0),
        "xmin": lon,
        "xmax": lon,
        "ymin": lat,
        "ymax": lat,
        "file": ["tiles.parquet"] * count,
        "row": np.arange(part.start, part.stop),
        "revision": ["0"] * count,
        "target_category": ["Visible targets include buildings and aircraft."] * count,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(data.vectors[part].ravel()), WIDTH),
    }
    columns = [
        pa.array(values[field.name], field.type) if field.name in values else _nothing(field, count)
        for field in entry_schema(WIDTH)
    ]
    return pa.Table.from_arrays(columns, schema=entry_schema(WIDTH))


def _nothing(field: pa.Field, count: int) -> pa.Array:
    if field.nullable:
        return pa.nulls(count, field.type)
    empty: Any = [] if pa.types.is_list(field.type) else 0.0 if pa.types.is_floating(field.type) else ""
    return pa.array([empty] * count, field.type)


def exactly(kept: NDArray[np.intp], query: NDArray[np.float32], within: NDArray[np.float32]) -> list[int]:
    """Return the numbers of the nearest by comparing every vector that passes."""
    scores = within @ query
    few = min(K, len(kept))
    best = np.argpartition(-scores, few - 1)[:few]
    return [int(number) for number in kept[best[np.argsort(-scores[best])]]]


def timed(ask: Callable[[NDArray[np.float32]], list[int]], data: Data) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Return the answers to all queries and the milliseconds of each."""
    for query in data.queries[:5]:
        ask(query)
    answers, spent = [], []
    for query in data.queries:
        started = time.perf_counter()
        answers.append(ask(query))
        spent.append(1000 * (time.perf_counter() - started))
    return answers, np.array(spent)


def compare(data: Data, archive: Archive) -> Iterator[tuple[str, str, float, NDArray[np.float64]]]:
    """Yield case, who answered, recall and milliseconds."""
    graph = faiss.IndexHNSWFlat(WIDTH, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 200
    graph.add(data.vectors)
    for case, filters in CASES.items():
        passes = data.passing(filters)
        kept = np.flatnonzero(passes)
        within = data.vectors[kept]
        answers: dict[str, Callable[[NDArray[np.float32]], list[int]]] = {
            "numpy, exact": lambda query, kept=kept, within=within: exactly(kept, query, within),
            "this archive": lambda query, filters=filters: [
                int(hit.entry.tile_id[5:]) for hit in archive.search(query, K, filters)
            ],
            "faiss HNSW": lambda query, passes=passes: [
                int(number) for number in graph.search(query[None], 4 * K)[1][0] if passes[number]
            ][:K],
        }
        truth: list[list[int]] = []
        for who, ask in answers.items():
            found, spent = timed(ask, data)
            truth = truth or found
            shared = [len(set(one) & set(right)) / len(right) for one, right in zip(found, truth, strict=True)]
            yield case, who, float(np.mean(shared)), spent


def measure(rows: int) -> None:
    """Fill an archive of a size, ask it, print the table and record the figures."""
    data = make(rows)
    table = Table("filter", "passing", "who", "recall@10", "p50 ms", "p90 ms", "p99 ms", title=f"{rows:,} × {WIDTH}")
    ours: list[tuple[float, float]] = []
    detail: dict[str, Any] = {"rows": rows, "width": WIDTH, "queries": QUERIES, "cases": {}}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        archive, detail["fill_s"] = fill(workspace, data)
        for case, who, recall, spent in compare(data, archive):
            p50, p90, p99 = np.percentile(spent, [50, 90, 99])
            share = f"{data.passing(CASES[case]).mean():.2%}"
            table.add_row(case, share, who, f"{recall:.4f}", f"{p50:.1f}", f"{p90:.1f}", f"{p99:.1f}")
            detail["cases"].setdefault(case, {})[who] = [round(value, 4) for value in (recall, p50, p90, p99)]
            if who == "this archive":
                ours.append((recall, p99))
        ran = subprocess.run([sys.executable, "-c", _OPEN, folder], capture_output=True, text=True, check=True).stdout
    Console().print(table)
    name, enough, fast = TARGETS.get(rows, (f"{rows}", 0.98, 100.0))
    record("search", f"recall_{name}", min(recall for recall, _ in ours), target=enough, detail=detail)
    record("search", f"p99_ms_{name}", max(p99 for _, p99 in ours), target=fast, better="lower", detail=detail)
    record("search", f"open_s_{name}", float(json.loads(ran)), target=3.0, better="lower", detail=detail)


def main() -> None:
    """Measure the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(TARGETS), help="sizes of the archive")
    for rows in parser.parse_args().rows:
        measure(rows)


if __name__ == "__main__":
    main()
