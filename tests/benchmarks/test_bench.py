"""`make bench`: what it runs, and what becomes of a benchmark that fails or lacks what it measures."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def bench(tmp_path):
    """Function that runs `make bench` over some files in a folder of its own."""

    def run(**benchmarks: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(ROOT / "Makefile", tmp_path)
        for folder in ("benchmarks", "scripts"):
            (tmp_path / folder).mkdir()
        for name, text in benchmarks.items():
            (tmp_path / "benchmarks" / f"{name}.py").write_text(text)
        (tmp_path / "scripts" / "measured.py").write_text('print("written")\n')
        install = tmp_path / "scripts" / "install.sh"
        install.write_text("#!/bin/sh\n")
        install.chmod(0o755)
        python = tmp_path / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        # Of its own: `make test` tells what it starts to be a part of it.
        alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        return subprocess.run(["make", "bench"], cwd=tmp_path, env=alone, capture_output=True, text=True)

    return run


MAIN = '\nif __name__ == "__main__":\n    '
WORKS = f'{MAIN}print("measured")\n'


def test_a_benchmark_that_fails_stops_no_other_and_is_told(bench):
    done = bench(broken=f'{MAIN}raise SystemExit("no luck")\n', helper='print("never")\n', works=WORKS)
    assert done.returncode != 0
    assert done.stdout.splitlines() == [
        "== benchmarks/broken.py",
        "== benchmarks/broken.py failed",
        "== benchmarks/works.py",
        "measured",
        "written",
    ]
    assert "no luck" in done.stderr


def test_all_is_well_where_none_fails(bench):
    done = bench(helper='print("never")\n', works=WORKS)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["== benchmarks/works.py", "measured", "written"])


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("sar_acd", [], "holds no sar_acd: set KNOWLIP_DATA"),
        ("retrieval_truth", ["--workspace", "nowhere"], "run `make demo` first"),
        ("mfu", ["--workspace", "nowhere"], "holds no corpus: run `make demo`"),
    ],
)
def test_what_lacks_its_input_says_so_in_a_line(name, arguments, reason, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KNOWLIP_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", Path(ROOT, "benchmarks", f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    module.main()
    line = capsys.readouterr().out.splitlines()[-1]  # what it imports may say more
    assert reason in line
