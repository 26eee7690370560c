"""Simulate SAR scenes whose truth is known exactly: ``python -m jobs.simulate --workspace W --kinds airport port``.

Reads nothing; writes ``scenes/``: of each scene the image, its truth and its land cover.
"""

from __future__ import annotations

import time
from typing import Self

from pydantic import Field, ValidationError, model_validator

from jobs.command import Summary, run
from knowlip.manifest import Manifest
from knowlip.scenes import simulate as simulator
from knowlip.scenes.simulate import DEMO_KINDS, SUFFIXES, Acquisition, Kind, SimulationSettings
from knowlip.settings import JobSettings
from knowlip.workspace import Workspace

SCENES = "scenes"


class SimulateSettings(JobSettings):
    """Simulate SAR scenes with exact truth: an airport, a port and a city of two kilometres at one metre by default."""

    kinds: tuple[Kind, ...] = DEMO_KINDS
    """What to simulate: airport, port, city, sea, countryside."""

    count: int = Field(default=1, ge=1, le=10_000)
    """Scenes of each kind."""

    seed: int = Field(default=0, ge=0)
    """Seed of the first scene; the others follow."""

    scene: Acquisition = Acquisition()
    """How and where all of them are taken (--scene.sensor, --scene.gsd-m …)."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        try:
            self.wanted()
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise ValueError(problem["msg"].removeprefix("Value error, ")) from error
        return self

    def wanted(self) -> list[SimulationSettings]:
        """Return the settings of every scene."""
        common = self.scene.model_dump(exclude_unset=True)
        kinds = [kind for _ in range(self.count) for kind in self.kinds]
        return [
            SimulationSettings.model_validate({**common, "kind": kind, "seed": self.seed + number})
            for number, kind in enumerate(kinds)
        ]


def simulate(settings: SimulateSettings) -> Summary:
    """Run the job: simulate the scenes that are not there yet."""
    started = time.monotonic()
    workspace, wanted = settings.opened(), settings.wanted()
    missing = [one for one in wanted if not workspace.exists(SCENES, f"{one.name}.tif")]
    if settings.dry_run:
        megapixels = sum(one.size_px[0] * one.size_px[1] for one in missing) / 1e6
        return Summary(
            "Would simulate", {"scenes": len(missing), "megapixels": megapixels}, where=workspace.uri(SCENES)
        )
    with workspace.lock(SCENES):
        if settings.overwrite:
            _remove_others(workspace, {one.name for one in wanted})
        objects = sum(_simulate_one(one, workspace) for one in missing)
        counts = {"scenes": len(wanted), "made now": len(missing), "objects drawn now": objects}
        Manifest(
            artefact=SCENES,
            job="jobs.simulate",
            settings=settings.shaping(),
            counts=counts,
            seconds=time.monotonic() - started,
        ).write(workspace)
    return Summary("Simulated scenes", counts, where=workspace.uri(SCENES))


def _simulate_one(settings: SimulationSettings, workspace: Workspace) -> int:
    """Simulate and publish a scene, the image last: it is there when all is. Return how many objects it holds."""
    scene = simulator.simulate(settings)
    for name, data in simulator.encode_scene(scene).items():
        workspace.write_bytes(data, SCENES, name)
    print(f"{scene.name}: {len(scene.features)} objects", flush=True)
    return len(scene.features)


def _remove_others(workspace: Workspace, keep: set[str]) -> None:
    """Remove simulated scenes (they have a truth beside them) that were not asked for; never a person's own rasters."""
    for truth in workspace.files(SCENES, suffix=SUFFIXES[0]):
        name = truth.removesuffix(SUFFIXES[0])
        if name not in keep:
            for suffix in reversed(SUFFIXES):
                workspace.delete(SCENES, f"{name}{suffix}")


if __name__ == "__main__":
    run(SimulateSettings, simulate)
