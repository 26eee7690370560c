"""The simulation job: makes what is missing, leaves what is there, and never touches a person's own rasters."""

from __future__ import annotations

import pytest

from jobs.command import run
from jobs.simulate import SimulateSettings, simulate
from knowlip.manifest import Manifest
from knowlip.scenes.simulate import Acquisition
from knowlip.workspace import Workspace

SMALL = Acquisition(size_px=(128, 96), gsd_m=3.0)


def _settings(root: str, **more: object) -> SimulateSettings:
    return SimulateSettings(workspace=root, **{"kinds": ("airport", "sea"), "scene": SMALL, **more})


def _contents(root: str) -> dict[str, bytes]:
    folder = Workspace(root).local("scenes")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_it_makes_three_files_a_scene_and_says_how(workspace_root: str) -> None:
    summary = simulate(_settings(workspace_root, count=2))
    assert summary.counts["scenes"] == summary.counts["made now"] == 4
    names = sorted(_contents(workspace_root))
    assert len(names) == 12
    assert sum(name.endswith(".truth.geojson") for name in names) == 4
    manifest = Manifest.read(Workspace(workspace_root), "scenes")
    assert manifest is not None
    assert manifest.settings["scene"]["gsd_m"] == 3.0


def test_a_second_run_does_nothing_and_a_lost_image_comes_back_the_same(workspace_root: str) -> None:
    simulate(_settings(workspace_root))
    before = _contents(workspace_root)
    assert simulate(_settings(workspace_root)).counts["made now"] == 0
    lost = next(name for name in before if name.endswith(".tif") and not name.endswith(".landcover.tif"))
    Workspace(workspace_root).delete("scenes", lost)  # what a kill leaves: the image is written last
    assert simulate(_settings(workspace_root)).counts["made now"] == 1
    assert _contents(workspace_root) == before


def test_other_settings_add_scenes_and_overwrite_replaces_them(workspace_root: str) -> None:
    simulate(_settings(workspace_root))
    own = Workspace(workspace_root)
    own.write_bytes(b"mine", "scenes", "mine.tif")
    simulate(_settings(workspace_root, seed=5))
    assert len(own.files("scenes", suffix=".truth.geojson")) == 4
    simulate(_settings(workspace_root, seed=5, overwrite=True))
    assert len(own.files("scenes", suffix=".truth.geojson")) == 2
    assert own.exists("scenes", "mine.tif")


def test_a_dry_run_writes_nothing(workspace_root: str) -> None:
    summary = simulate(_settings(workspace_root, dry_run=True))
    assert summary.counts["scenes"] == 2
    assert not Workspace(workspace_root).exists("scenes")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kinds", "boat"], "boat"),
        (["--scene.location", "Nowhereville"], "Nowhereville"),
        (["--scene.sensor", "Landsat"], "use one of Qilu-1"),
        (["--scene.looks", "0"], "scene.looks"),
    ],
)
def test_wrong_flags_end_with_one_line(
    workspace_root: str, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(SimulateSettings, simulate, ["--workspace", workspace_root, *flags])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert not Workspace(workspace_root).exists("scenes")
