"""VGG-16 and ResNet-56 as plain specs, and the tutorial's gates."""

from functools import cache

from edgewise.dynamic.placement import place_gates
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.recipes.runs import load_model
from edgewise.trace import trace

TUTORIAL = (0.2, 0.2, 0.6, 0.9, 0.9)


@cache
def net(name: str) -> NetSpec:
    loaded = load_model(name)
    return trace(loaded.model, loaded.inputs(), name=name, verify=False).net


def plan(name: str = "vgg16", *, channels: tuple[float, ...] = (), spatial: tuple[float, ...] = ()) -> GatePlan:
    return place_gates(net(name), channel_ratios=channels, spatial_ratios=spatial)
