"""How applications are put together; nothing is deployed here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build
from ray.serve.schema import ServeDeploySchema

from knowlip.errors import CheckpointError, WorkspaceError
from serve_apps import archive, retrieval, vqa
from serve_apps.gateway import build_gateway
from serve_apps.services import Services

CONFIG = Path(archive.__file__).with_name("config.yaml")
APPS = pytest.mark.parametrize("module", [retrieval, vqa, archive], ids=lambda module: module.__name__)


@APPS
def test_arguments_are_typed_and_the_environment_stands_for_none(module, served_workspace, monkeypatch):
    """As ``serve run serve_apps.retrieval:app workspace=W`` gives them: texts, by name."""
    assert isinstance(build(module.app, {"workspace": served_workspace.root, "batch_size": "8"}), Application)
    monkeypatch.setenv("KNOWLIP_WORKSPACE", served_workspace.root)
    assert isinstance(build(module.app, {}), Application)


@APPS
@pytest.mark.parametrize("args", [{"batch_size": "none"}, {"replicas": "0"}, {"colour": "red"}])
def test_wrong_arguments_are_refused(module, served_workspace, args):
    with pytest.raises(ValidationError, match=next(iter(args))):
        build(module.app, {"workspace": served_workspace.root, **args})


@pytest.mark.parametrize(
    ("module", "args"),
    [
        (vqa, {"follow_s": "1"}),
        (vqa, {"run": "../x"}),
        (retrieval, {"run": "a b"}),
        (archive, {"vqa_run": "a/b"}),
        (archive, {"search_run": ""}),
    ],
)
def test_what_would_do_nothing_or_lead_elsewhere_is_refused(module, served_workspace, args):
    """Nothing is followed where nothing is searched, and a run is named by its folder alone."""
    with pytest.raises(ValidationError, match=next(iter(args))):
        build(module.app, {"workspace": served_workspace.root, **args})


def test_what_is_missing_is_refused_before_anything_starts(served_workspace, tmp_path):
    empty = {"workspace": str(tmp_path)}
    with pytest.raises(WorkspaceError, match="run the index job first"):
        build(retrieval.app, empty)
    with pytest.raises(CheckpointError, match="holds no checkpoint; train one"):
        build(vqa.app, empty)
    with pytest.raises(CheckpointError, match="runs/nobody/checkpoint: holds no checkpoint"):
        build(vqa.app, {"workspace": served_workspace.root, "run": "nobody"})


def test_an_index_of_another_checkpoint_is_refused(served_workspace, tmp_path):
    import shutil

    root = tmp_path / "copy"
    shutil.copytree(served_workspace.root, root)
    changed = root / "runs/pretrain/checkpoint/preprocessing.json"
    changed.write_text(changed.read_text().replace('"mean": 0.35', '"mean": 0.4'))
    with pytest.raises(CheckpointError, match=r"was made by checkpoint .* not by .*; serve that checkpoint"):
        build(retrieval.app, {"workspace": str(root)})


def test_the_routes_follow_from_the_deployments():
    search = {"/v1/search", "/v1/embeddings"}
    tiles = {f"/v1/tiles/{{tile_id}}{what}" for what in ("", ".png", ".tif", "/family")}
    ask = {"/v1/vqa", "/v1/captions", "/v1/chat/completions"}
    status = {"/v1/info", "/healthz", "/readyz", "/metrics", "/v1/models", "/v1/models/{name}"}
    handle = object()
    for services, expected in [
        (Services(encoder=handle, index=handle), search | tiles | status),
        (Services(answerer=handle), ask | status),
        (Services(answerer=handle, index=handle), ask | tiles | status),
        (Services(encoder=handle, index=handle, answerer=handle), search | tiles | ask | status),
    ]:
        assert set(build_gateway(services).openapi()["paths"]) == expected


def test_answers_in_geojson_are_described_by_their_models():
    document = build_gateway(Services(encoder=object(), index=object())).openapi()
    for path, method, model in (("/v1/search", "post", "FeatureCollection"), ("/v1/tiles/{tile_id}", "get", "Feature")):
        content = document["paths"][path][method]["responses"]["200"]["content"]
        assert content == {"application/geo+json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}


def test_the_shipped_configuration_is_valid():
    config = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text()))
    assert config.http_options.host == "127.0.0.1"
    (application,) = config.applications
    assert application.import_path == "serve_apps.archive:app"
    assert archive.ArchiveSettings(**application.args).workspace == "workspace/demo"
