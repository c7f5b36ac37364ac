"""Everything that the command line does, as functions; :mod:`edgewise` gives them all.

Importing this costs nothing: torch and the runtimes are imported by the function that needs them.
"""

from edgewise.api.adapting import fit, profile, search
from edgewise.api.devices import calibrate, devices, predict, simulate, tables
from edgewise.api.exploring import explore
from edgewise.api.networks import bench, export, inspect, load, report
from edgewise.api.pruning import crossbar, sparsify

__all__ = [
    "bench",
    "calibrate",
    "crossbar",
    "devices",
    "explore",
    "export",
    "fit",
    "inspect",
    "load",
    "predict",
    "profile",
    "report",
    "search",
    "simulate",
    "sparsify",
    "tables",
]
