"""Layers that compute as a crossbar chip does: torch modules over the mapping that the cost model prices."""

from edgewise.crossbar.deploy import Deployed, deploy
from edgewise.crossbar.noise import CellNoise
from edgewise.crossbar.settings import AnalogSettings

__all__ = ["AnalogSettings", "CellNoise", "Deployed", "deploy"]
