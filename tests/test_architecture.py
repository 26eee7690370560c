"""The house's rules, read from the code itself: who imports whom, how large a room is, what every job offers."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from jobs.command import run
from knowlip.settings import JobSettings

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"knowlip": ROOT / "platform" / "knowlip", **{name: ROOT / name for name in ("models", "jobs", "serve_apps")}}
MODULES = {
    ".".join(path.relative_to(folder.parent).with_suffix("").parts): path
    for folder in FOLDERS.values()
    for path in sorted(folder.rglob("*.py"))
}

FORBIDDEN = {
    "knowlip": {"models", "jobs", "serve_apps", "ray", "torch", "torchvision", "timm", "transformers", "deepspeed"},
    "models": {"jobs", "serve_apps", "ray", "deepspeed"},
    "jobs": {"serve_apps"},
    "serve_apps": {"jobs"},
}
ALLOWED = {"knowlip.benchmark.metrics": {"torch", "torchvision"}}

GUARD = 'if __name__ == "__main__":'
JOBS = sorted(name for name, path in MODULES.items() if path.parent == FOLDERS["jobs"] and GUARD in path.read_text())


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module's top-level name, at any depth of the file, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; name the package"
            assert all(alias.name != "*" for alias in node.names), f"{path}:{node.lineno}: import *"
            yield (node.module or "").partition(".")[0], node.lineno


def allowed(module: str) -> set[str]:
    return next((names for prefix, names in ALLOWED.items() if f"{module}.".startswith(f"{prefix}.")), set())


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    forbidden = FORBIDDEN[module.partition(".")[0]] - allowed(module)
    broken = [
        f"{MODULES[module]}:{line}: imports {name}" for name, line in imported(MODULES[module]) if name in forbidden
    ]
    assert not broken, "\n".join(broken)


def spelling(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@cache
def declared() -> set[str]:
    """The distributions that `pyproject.toml` asks for, at their one spelling; an extra may carry an optional part."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [wanted for name, wanted in project["optional-dependencies"].items() if name != "dev"]
    asked = [requirement for group in [project["dependencies"], *extras] for requirement in group]
    return {spelling(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in asked}


@cache
def homes() -> Mapping[str, list[str]]:
    """Which distributions each importable name comes from."""
    return packages_distributions()


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_is_declared(module):
    """What comes along with another package today may leave it tomorrow."""
    for name, line in imported(MODULES[module]):
        if name in sys.stdlib_module_names or name in FOLDERS:
            continue
        found = {spelling(home) for home in homes().get(name, [name])}
        assert found & declared(), f"{MODULES[module]}:{line}: {name} is not among pyproject.toml's dependencies"


def test_the_rule_sees_an_import_wherever_it_stands(tmp_path):
    path = tmp_path / "hidden.py"
    path.write_text("def f():\n    if True:\n        from ray.data import Dataset\n        import torch.nn as nn\n")
    assert set(imported(path)) == {("ray", 3), ("torch", 4)}


def test_every_folder_has_modules():
    for folder in FOLDERS:
        assert any(module.startswith(folder) for module in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_holds_one_thing(module):
    limit = 140 if module in JOBS else 400
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= limit, f"{module} has {lines} lines, {limit} are allowed: split it"


@pytest.mark.parametrize("module", MODULES)
def test_public_things_say_what_they_are(module):
    tree = ast.parse(MODULES[module].read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"{module} says nothing"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    silent = [
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not silent, f"{module}: {silent} have no docstring"


def test_what_is_exported_exists():
    exporting = [name for name, path in MODULES.items() if "__all__" in path.read_text()]
    assert exporting
    for name in exporting:
        module = importlib.import_module(name.removesuffix(".__init__"))
        missing = [each for each in module.__all__ if not hasattr(module, each)]
        assert not missing, f"{name}: {missing}"


class TestPlatform:
    def test_the_folder_is_no_package(self):
        assert not (ROOT / "platform" / "__init__.py").exists()

    @pytest.mark.parametrize("path", ["platform", ".:platform", "."])
    def test_the_standard_librarys_platform_is_found(self, path):
        script = "import platform, sysconfig; print(platform.python_version()); print(platform.__file__)"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        version, where = done.stdout.split()
        assert version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
        assert not where.startswith(str(ROOT / "platform"))


class TestJobs:
    """Each job can be met by a newcomer: frozen settings, and a help that names every flag."""

    @staticmethod
    def settings_of(module: str) -> type[JobSettings]:
        job = importlib.import_module(module)
        kinds = [
            kind
            for _, kind in inspect.getmembers(job, inspect.isclass)
            if issubclass(kind, JobSettings) and kind.__module__ == module
        ]
        assert len(kinds) == 1, f"{module} has {len(kinds)} settings models"
        return kinds[0]

    def test_every_stage_of_the_road_is_a_job(self):
        road = ("simulate", "tile", "caption", "corpus", "pretrain", "examples", "finetune", "index", "report", "demo")
        assert {f"jobs.{stage}" for stage in road} <= set(JOBS)

    @pytest.mark.parametrize("module", JOBS)
    def test_settings_are_frozen_and_documented(self, module):
        kind = self.settings_of(module)
        assert kind.model_config["frozen"]
        assert kind.model_config["extra"] == "forbid"
        assert kind.__doc__
        silent = [name for name, field in kind.model_fields.items() if not (field.description or _section(field))]
        assert not silent, f"{module}: {silent} say nothing in --help"

    @pytest.mark.parametrize("module", JOBS)
    def test_help(self, module, capsys):
        with pytest.raises(SystemExit) as caught:
            run(self.settings_of(module), _unreachable, ["--help"])
        text = capsys.readouterr().out
        assert caught.value.code == 0
        assert "--workspace" in text
        assert "--dry-run" in text

    @pytest.mark.parametrize("module", JOBS)
    def test_a_job_runs_from_its_file_and_from_its_settings(self, module):
        job = importlib.import_module(module)
        kind = self.settings_of(module)
        functions = [
            function
            for _, function in inspect.getmembers(job, inspect.isfunction)
            if function.__module__ == module
            and [each.annotation for each in inspect.signature(function, eval_str=True).parameters.values()] == [kind]
            and inspect.signature(function, eval_str=True).return_annotation.__name__ == "Summary"
        ]
        assert len(functions) == 1, f"{module} has {len(functions)} functions from settings to Summary"
        assert f"{GUARD}\n    run({kind.__name__}, {functions[0].__name__})" in MODULES[module].read_text()


def _section(field) -> bool:
    """Whether the field is a section, which documents itself and its fields."""
    kind = field.annotation
    return inspect.isclass(kind) and bool(getattr(kind, "model_fields", None)) and bool(kind.__doc__)


def _unreachable(settings):
    raise AssertionError("--help ran the job")
