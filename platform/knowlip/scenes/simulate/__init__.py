"""SAR scenes whose truth is known exactly, drawn and imaged from a seed."""

from knowlip.scenes.simulate.aircraft import AIRCRAFT, AircraftType
from knowlip.scenes.simulate.scene import ScenePaths, SimulatedScene, simulate, write_scene
from knowlip.scenes.simulate.settings import SimulationSettings, demo_scenes
from knowlip.scenes.simulate.ships import SHIPS, ShipType, length_class
from knowlip.scenes.simulate.surfaces import LANDCOVER

__all__ = [
    "AIRCRAFT",
    "LANDCOVER",
    "SHIPS",
    "AircraftType",
    "ScenePaths",
    "ShipType",
    "SimulatedScene",
    "SimulationSettings",
    "demo_scenes",
    "length_class",
    "simulate",
    "write_scene",
]
