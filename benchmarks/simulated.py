"""All eleven tasks on a simulated archive with exact truth: ours beside scratch and MAE, over seeds (Tables 4 and 6).

``python benchmarks/simulated.py`` is `jobs.benchmark` with three rows and three seeds, so one that was stopped goes on
when ``--workspace`` names the same folder. Figures are per cent of the test split, means over seeds; the target of ours
is what the best other row or floor reached. Nothing here says how the rows compare on real images: the archive is
small, and so are the models.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pyarrow as pa
from record import record

from jobs.benchmark import BenchmarkSettings, benchmark
from knowlip.benchmark.results import FIGURES, FLOORS, matrix
from knowlip.workspace import Workspace

ROWS = ("scratch", "mae", "ours")


def main() -> None:
    """Run the matrix, and record what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="where the runs lie; a temporary folder by default")
    parser.add_argument("--seeds", type=int, default=3, help="runs a cell")
    parser.add_argument("--tasks", nargs="+", default=["all"], help="which of the eleven")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = str(given.workspace or Path(folder) / "workspace")
        summary = benchmark(
            BenchmarkSettings(workspace=root, rows=ROWS, seeds=given.seeds, tasks=tuple(given.tasks), preset="tiny")
        )
        print(summary.counts)
        keep(Workspace(root).read_table("benchmark", "results.parquet"))


def keep(results: pa.Table) -> None:
    """Record the cells of `knowlip.records.RESULTS`."""
    kinds = {row["name"]: row for row in results.to_pylist()}
    for name, cells in matrix(results).items():
        for row, cell in cells.items():
            others = [other.mean for label, other in cells.items() if label != row]
            detail = {
                "figure": FIGURES[kinds[name]["task"]],
                "seeds": cell.runs,
                "spread": 100 * cell.spread,
                "held_out": kinds[name]["held_out"],
                "floor": row in FLOORS.values(),
            }
            target = 100 * max(others) if row == "ours" else None
            record("simulated", f"{name}_{row.replace(' ', '_')}", 100 * cell.mean, target=target, detail=detail)


if __name__ == "__main__":
    main()
