"""How an artefact was made is written beside it and read back; digests do not depend on the machine."""

import pyarrow as pa

from knowlip import __version__
from knowlip.manifest import Manifest, digest, inputs_digest
from knowlip.workspace import Workspace


def test_what_is_written_is_read_back(workspace_root):
    workspace = Workspace(workspace_root)
    assert Manifest.read(workspace, "tiles") is None
    manifest = Manifest(artefact="tiles", job="jobs.tile", settings={"extent_m": 1024.0}, counts={"kept": 3})
    manifest.write(workspace)
    assert Manifest.read(workspace, "tiles") == manifest
    assert manifest.code["knowlip"] == __version__
    assert manifest.libraries["pyarrow"] == pa.__version__
    assert workspace.files("tiles") == []


def test_the_recipe_is_settings_and_inputs():
    def manifest(**changes):
        given = {"artefact": "tiles", "job": "jobs.tile", "settings": {"a": 1, "b": 2}, "inputs": {"x": "1"}}
        return Manifest(**(given | changes))

    same = [manifest(), manifest(settings={"b": 2, "a": 1}), manifest(counts={"kept": 5}, seconds=2.0)]
    assert len({each.recipe for each in same}) == 1
    assert manifest(settings={"a": 1, "b": 3}).recipe != manifest().recipe
    assert manifest(inputs={"x": "2"}).recipe != manifest().recipe


def test_digests_are_the_same_on_every_machine():
    assert digest({"b": [1, 2.5], "a": None}) == digest({"a": None, "b": [1, 2.5]}) == "6b1d84977084473f"
    assert digest(b"") == "e3b0c44298fc1c14"


def test_inputs_digest_follows_units_not_manifests(workspace_root):
    workspace = Workspace(workspace_root)
    table = pa.table({"a": list(range(100))})
    workspace.write_table(table, "tiles", "one.parquet")
    before = inputs_digest(workspace, "tiles")
    workspace.write_bytes(b"{}", "tiles", "manifest.json")
    assert inputs_digest(workspace, "tiles") == before
    workspace.write_table(table, "tiles", "two.parquet")
    added = inputs_digest(workspace, "tiles")
    assert added != before
    workspace.delete("tiles", "two.parquet")
    assert inputs_digest(workspace, "tiles") == before
