"""The cluster files fit what reads them: Ray's launcher, and `ray job submit`."""

from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cluster() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture
def runtime_env() -> dict:
    return yaml.safe_load((ROOT / "runtime_env.yaml").read_text())


def test_the_launcher_accepts_the_cluster(cluster):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_the_launchers_check_can_fail(cluster):
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config(cluster | {"max_wrokers": 2}))


def test_the_cluster_has_a_head_that_works_not_and_both_kinds_of_worker(cluster):
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert set(types) == {"head", "cpu", "gpu"}
    assert sum(kind.get("max_workers", 0) for kind in types.values()) <= cluster["max_workers"]


def test_nodes_install_what_is_pinned_and_the_dashboard_stays_on_loopback(cluster):
    mounted = {local: remote for remote, local in cluster["file_mounts"].items()}
    name = Path(mounted["./constraints.txt"]).name
    assert (ROOT / "constraints.txt").is_file()
    assert any(f"-r ~/{name}" in command for command in cluster["setup_commands"])
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])


def test_only_who_holds_the_token_may_use_the_cluster(cluster):
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    starts = [cluster[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
    assert all("RAY_AUTH_MODE=token ~/env/bin/ray start" in command for command in starts)


def test_a_job_takes_its_own_code_along(runtime_env):
    from ray.runtime_env import RuntimeEnv

    assert RuntimeEnv(**runtime_env)["env_vars"] == {"PYTHONPATH": "platform"}
    assert (ROOT / runtime_env["env_vars"]["PYTHONPATH"] / "knowlip").is_dir()


def test_what_a_job_takes_along_is_the_code_and_small(runtime_env, tmp_path):
    from ray._private.runtime_env.packaging import create_package

    package = tmp_path / "package.zip"
    create_package(str(ROOT), package, include_gitignore=True, excludes=runtime_env["excludes"])
    taken = set(ZipFile(package).namelist())
    assert {"jobs/command.py", "models/__init__.py", "platform/knowlip/workspace.py", "serve_apps/__init__.py"} <= taken
    assert not {name for name in taken if name.startswith((".venv/", ".git/", ".mypy_cache/", "workspace"))}
    assert package.stat().st_size < 20e6


def test_every_pin_is_exact_and_portable():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.partition("==")[0].lower() for line in lines]
    assert len(set(names)) == len(names) > 100
    for line in lines:
        assert line.count("==") == 1, line
        assert not any(mark in line for mark in ("+", "@", "/", ";", " ")), line


def test_everything_the_project_asks_for_is_pinned():
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [each for extra in project["optional-dependencies"].values() for each in extra]
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"run `make pins`: {requirement} is not pinned"
        assert requirement.specifier.contains(pins[name]), f"run `make pins`: {requirement} against {pins[name]}"
