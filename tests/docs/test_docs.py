"""The documentation names what exists: the paper's map, flags, settings, and links; and the site needs no network."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from knowlip.settings import read_settings
from scripts import docs_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCKS = {page: re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE) for page in PAGES}
COMMANDS = [
    (page.relative_to(DOCS).as_posix(), line)
    for page, blocks in BLOCKS.items()
    for block in blocks
    for line in block.splitlines()
    if line.startswith("python -m jobs.")
]
MAP = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (DOCS / "paper.md").read_text().splitlines()
    if re.match(r"\| (Eq|Algorithm|Table|Fig|\d\.\d)", line)
]
CODE = sorted({name for row in MAP for name in re.findall(r"`((?:knowlip|models|jobs|serve_apps)\.[\w.]+)`", row[2])})
TESTS = sorted({name for row in MAP for name in re.findall(r"`(tests/[^`]+)`", row[3])})


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return hasattr(importlib.import_module(module), attribute)
    return True


@cache
def names_in(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def test_the_map_has_every_equation_table_and_figure_of_the_paper():
    places = [row[0] for row in MAP]
    wanted = [f"Eq. {number}" for number in range(1, 16)] + ["Algorithm 1"]
    wanted += [f"Table {number}" for number in range(1, 9)] + [f"Fig. {number}" for number in range(1, 17)]
    assert [place for place in places if not place[0].isdigit()] == wanted
    assert all(row[3] or "not" in row[2] for row in MAP), "a row without a test says why"


@pytest.mark.parametrize("name", CODE)
def test_what_the_map_names_is_code(name):
    assert exists(name)


@pytest.mark.parametrize("name", TESTS)
def test_what_the_map_names_is_a_test(name):
    path, _, test = name.partition("::")
    assert test in names_in(path)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_every_command_is_one_that_its_job_takes(page, command):
    words = shlex.split(command.replace("…", "x"))
    kind = docs_pages.settings_of(words[2])
    read_settings(kind, [str(ROOT / word) if word.startswith("jobs/configs/") else word for word in words[3:]], prog="")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page):
    named = re.findall(
        r"`((?:tests|docs|jobs|models|platform|serve_apps|benchmarks|deploy)/[\w./-]+)`", page.read_text()
    )
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_flag_of_every_job_is_described():
    for job in docs_pages.jobs():
        page = docs_pages.job_page(job)
        for flag, field in docs_pages.flags(docs_pages.settings_of(job)):
            assert f"| `{flag}`" in page
            assert field.description, f"{job} {flag} says nothing"


def test_the_written_pages_say_what_the_code_says():
    tile = docs_pages.job_page("jobs.tile")
    assert (
        "| `--tiling.extent-m` | `1024.0` | `float`, > 0 | Ground side of a small tile, metres on the ellipsoid. |"
        in tile
    )
    assert "`--scenes.paths` or `--scenes`" in tile
    tables = docs_pages.tables_page()
    assert "| `tile_id` | `string` | no | content address: scene digest, scale, window |" in tables
    assert "`disk_full` | `knowlip.workspace`" in docs_pages.errors_page()


@pytest.mark.slow
def test_the_site_is_built_strictly_and_needs_no_network(tmp_path):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    fetched = re.compile(r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+rel=\"?stylesheet[^>]+href=\"?https?:")
    assert not [page for page in pages if fetched.search(page.read_text())]
    styles = [path for path in (tmp_path / "site").rglob("*.css") if re.search(r"url\(['\"]?https?:", path.read_text())]
    assert not styles
