"""The manifests are what their source says, fit what reads them, and name only commands that exist."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from knowlip.settings import JobSettings, read_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERAY = sorted(path.name for path in (DEPLOY / "kuberay").glob("*.yaml"))


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load(DEPLOY / "generate.py", "deploy_generate")
kuberay_schema = load(Path(__file__).with_name("kuberay_schema.py"), "kuberay_schema")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    return read("site.yaml")


def test_what_is_there_is_what_the_source_makes(site):
    made = generate.manifests(site)
    assert {f"kuberay/{name}" for name in KUBERAY} == {name for name in made if name.startswith("kuberay/")}
    for name, manifest in made.items():
        assert read(name) == manifest, f"{name} is stale: run `make deploy`"


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_knows_every_field(name):
    manifest = read(f"kuberay/{name}")
    jsonschema.validate(manifest, kuberay_schema.schema(manifest["kind"]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda manifest: manifest["spec"].update(rayClusterSpce={}),
        lambda manifest: manifest["spec"]["rayClusterSpec"]["authOptions"].update(mode="open"),
        lambda manifest: manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda manifest: manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].pop("groupName"),
    ],
)
def test_the_check_can_fail(spoil):
    manifest = copy.deepcopy(read("kuberay/tile.yaml"))
    spoil(manifest)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, kuberay_schema.schema("RayJob"))


@pytest.mark.parametrize("name", [name for name in KUBERAY if name != "serve.yaml"])
def test_every_entrypoint_is_a_job_with_settings_it_takes(name):
    words = shlex.split(read(f"kuberay/{name}")["spec"]["entrypoint"])
    assert words[:2] == ["python", "-m"]
    job = importlib.import_module(words[2])
    kinds = [
        kind
        for kind in vars(job).values()
        if isinstance(kind, type) and issubclass(kind, JobSettings) and kind.__module__ == job.__name__
    ]
    settings = read_settings(kinds[0], _from_root(words[3:]), prog=words[2])
    assert settings.workspace.startswith("s3://")


def _from_root(words: list[str]) -> list[str]:
    return [str(ROOT / word) if word.startswith("jobs/configs/") else word for word in words]


def test_the_served_application_takes_its_arguments():
    from serve_apps.archive import ArchiveSettings

    config = yaml.safe_load(read("kuberay/serve.yaml")["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    module, name = application["import_path"].split(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert ArchiveSettings(**application["args"]).replicas == 2


def test_serve_accepts_the_configuration():
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(yaml.safe_load(read("kuberay/serve.yaml")["spec"]["serveConfigV2"]))


@pytest.mark.parametrize("name", KUBERAY)
def test_every_pod_asks_for_a_token_and_may_little(name):
    spec = read(f"kuberay/{name}")["spec"]
    cluster = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for container in (container for pod in pods for container in pod["spec"]["containers"]):
        assert container["securityContext"]["runAsNonRoot"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert "env" not in container, "a manifest holds no secret: they come from a Kubernetes secret"


def test_the_launcher_accepts_the_on_premises_cluster():
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = read("on-premises.yaml")
    validate_config(prepare_config(copy.deepcopy(cluster)))
    assert cluster["provider"]["type"] == "local"
    assert all("RAY_AUTH_MODE=token" in cluster[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config(copy.deepcopy(cluster) | {"max_wrokers": 2}))


@pytest.mark.parametrize("place", ["cluster.yaml", "deploy/on-premises.yaml"])
def test_every_flag_of_ray_start_exists(place):
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    cluster = yaml.safe_load((ROOT / place).read_text())
    for command in cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]:
        words = [word.partition("=")[0] for word in command.split() if word.startswith("--")]
        assert set(words) <= known, command


def test_the_image_copies_what_is_there():
    lines = [line.split() for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    sources = [word for words in lines for word in words[1:-1]]
    assert {"constraints.txt", "platform", "models", "jobs", "serve_apps"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)
