"""What an archive of so many tiles costs in hours, storage and money, from a file of rates.

``python benchmarks/plan.py`` prints the table that stands in ``docs/scale.md``; ``--rates FILE`` takes your own rates,
``--write`` puts the table into the page, and ``--measure`` measures what can be measured here first.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RATES = Path(__file__).with_name("rates.yaml")
PAGE = ROOT / "docs" / "scale.md"
MARKS = ("<!-- written by benchmarks/plan.py -->", "<!-- end -->")
SIZES = {"SAR-GEOVL-1M": 120_000, "10 M tiles": 10_000_000, "100 M tiles": 100_000_000}


def plan(tiles: int, rates: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a stage: hours of work, hours on the cluster, gigabytes kept, and US dollars.

    Args:
        tiles: Tiles of the archive, all scales together.
        rates: As in ``rates.yaml``.
    """
    rate = {**rates["measured"], **rates["assumed"]}
    cpu, gpu = rates["cluster"]["cpu_node"], rates["cluster"]["gpu_node"]
    cores, gpus = cpu["cores"] * cpu["nodes"], gpu["gpus"] * gpu["nodes"]
    pairs_per_s = rate["gpu_peak_tflops"] * rate["gpu_use"] / rate["train_tflop_per_pair"]
    screened_per_s = rate["gpu_peak_tflops"] * rate["gpu_use"] / rate["screen_tflop_per_tile"]
    tokens = rate["caption_tokens_read"] + rate["caption_tokens_written"]
    asked_usd = (
        rate["caption_tokens_read"] * rate["usd_per_million_read"]
        + rate["caption_tokens_written"] * rate["usd_per_million_written"]
    ) / 1e6

    index_gb = tiles * rate["vector_bytes"] * rate["index_overhead"] / 1e9

    def on_cores(stage: str, core_s: float, gb: float) -> dict[str, Any]:
        hours = tiles * core_s / 3600
        usd = hours / cpu["cores"] * cpu["usd_per_hour"]
        return {"stage": stage, "work": f"{hours:,.0f} core h", "hours": hours / cores, "gb": gb, "usd": usd}

    def on_gpus(stage: str, tiles_per_s: float, gb: float) -> dict[str, Any]:
        hours = tiles / tiles_per_s / 3600
        usd = hours / gpu["gpus"] * gpu["usd_per_hour"]
        return {"stage": stage, "work": f"{hours:,.0f} GPU h", "hours": hours / gpus, "gb": gb, "usd": usd}

    return [
        on_cores("tile", rate["tile_core_s"] / rate["tiles_per_small"], tiles * rate["tile_mb"] / 1e3),
        on_cores("caption, measured", rate["caption_core_s"], tiles * rate["caption_kb"] / 1e6),
        {
            "stage": "caption, endpoint",
            "work": f"{tiles * tokens / 1e9:,.1f} G tokens",
            "hours": tiles * tokens / rate["tokens_per_minute"] / 60,
            "gb": tiles * rate["caption_kb"] / 1e6,
            "usd": tiles * asked_usd,
        },
        on_gpus("pretrain", pairs_per_s / rate["epochs"], 0.0),
        on_gpus("screen and rewrite once", screened_per_s, 0.0),
        on_cores("index, without a GPU", rate["embed_core_s"], index_gb),
    ]


def table(rates: dict[str, Any]) -> str:
    """Return the plan of every size as Markdown."""
    storage = rates["cluster"]["storage_usd_per_gb_month"]
    lines = []
    for name, tiles in SIZES.items():
        rows = plan(tiles, rates)
        kept = sum(row["gb"] for row in rows if row["stage"] != "caption, endpoint")
        lines += [f"### {name}: {tiles:,} tiles, {8 * tiles / 1e6:,.2f} M texts", ""]
        lines += ["| stage | work | hours on the cluster | GB kept | USD |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['stage']} | {row['work']} | {row['hours']:,.2f} | {row['gb']:,.1f} | {row['usd']:,.0f} |"
            for row in rows
        ]
        lines += ["", f"Storage of all of it: {kept:,.0f} GB, {kept * storage:,.0f} USD a month.", ""]
    return "\n".join(lines)


def measure() -> dict[str, float]:
    """Measure what a core does, in seconds of processor time, and how large the rows are."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from knowlip.captioning import MeasuredCaptioner
    from knowlip.captioning.chain import Chain
    from knowlip.records import CAPTIONS
    from models import presets
    from models.towers import make_vision_tower

    tables, tile_s = _cut_a_scene()
    tiles = tables.tiles_table()
    captions, caption_s = _timed(lambda: list(Chain(MeasuredCaptioner()).run(tables.kept)))
    rows = pa.Table.from_pylist([caption.to_row() for caption in captions], schema=CAPTIONS)
    torch.set_num_threads(1)
    tower = make_vision_tower(presets["base"].vision).eval()
    with torch.no_grad():
        views = torch.rand(4, presets["base"].vision.channels, 224, 224)
        _, embed_s = _timed(lambda: tower(views))

    def size(table: pa.Table) -> int:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=False)
        return int(sink.getvalue().size)

    cut = len(tables.kept) + len(tables.rejected)
    return {
        "tile_core_s": tile_s / cut,
        "caption_core_s": caption_s / len(captions),
        "tile_mb": size(tiles) / len(tiles) / 1e6,
        "caption_kb": size(rows) / len(captions) / 1e3,
        "embed_core_s": embed_s / len(views),
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Do work and return its result and its processor time: other work of the machine counts little."""
    started = time.process_time()
    done = work()
    return done, time.process_time() - started


def _cut_a_scene() -> tuple[Any, float]:
    """Cut a simulated airport of 1 m into tiles of 1024 px; return them and the seconds, without the simulation's."""
    from knowlip.scenes.simulate import SimulationSettings, simulate, write_scene
    from knowlip.tiling.grid import GridSettings
    from knowlip.tiling.screening import ScreeningSettings
    from knowlip.tiling.survey import SceneSettings, survey_scene
    from knowlip.tiling.table import tile_strip

    with tempfile.TemporaryDirectory() as folder:
        path = write_scene(simulate(SimulationSettings(kind="airport", size_px=(3072, 3072))), folder).image
        grid = GridSettings(medium=0, large=0, strip_mpx=64)

        def cut() -> Any:
            survey = survey_scene(str(path), SceneSettings(), grid)
            (strip,) = survey.strips
            with survey.scene.reading() as reader:
                tables = tile_strip(reader, strip, survey.bands[1], grid=grid, screening=ScreeningSettings())
            tables.tiles_table()
            return tables

        return _timed(cut)


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, default=RATES)
    parser.add_argument("--measure", action="store_true", help="measure this machine's cores first, and keep the rates")
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    asked = parser.parse_args()
    text = asked.rates.read_text()
    if asked.measure:
        for name, value in measure().items():
            text = re.sub(
                rf"^(  {name}: )[\d.e-]+", lambda found, value=value: f"{found[1]}{value:.3g}", text, flags=re.MULTILINE
            )
        asked.rates.write_text(text)
    made = table(yaml.safe_load(text))
    print(made)
    if asked.write:
        before, _, rest = PAGE.read_text().partition(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n\n{made}\n{MARKS[1]}{rest.partition(MARKS[1])[2]}")


if __name__ == "__main__":
    main()
