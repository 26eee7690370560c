"""SAR scenes whose truth is known exactly, drawn and imaged from a seed."""

from knowlip.scenes.simulate.aircraft import AIRCRAFT, AircraftType
from knowlip.scenes.simulate.appearance import Appearance, appearances
from knowlip.scenes.simulate.files import SUFFIXES, ScenePaths, encode_scene, write_scene
from knowlip.scenes.simulate.scene import SimulatedScene, simulate
from knowlip.scenes.simulate.settings import DEMO_KINDS, Acquisition, Kind, SimulationSettings, demo_scenes
from knowlip.scenes.simulate.ships import SHIPS, ShipType, length_class
from knowlip.scenes.simulate.surfaces import LANDCOVER

__all__ = [
    "AIRCRAFT",
    "DEMO_KINDS",
    "LANDCOVER",
    "SHIPS",
    "SUFFIXES",
    "Acquisition",
    "AircraftType",
    "Appearance",
    "Kind",
    "ScenePaths",
    "ShipType",
    "SimulatedScene",
    "SimulationSettings",
    "appearances",
    "demo_scenes",
    "encode_scene",
    "length_class",
    "simulate",
    "write_scene",
]
