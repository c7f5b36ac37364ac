"""A made-up GPU whose coefficients are known, and a trace drawn from it."""

import pytest

from cost.gpu.made_up import drawn_shapes, fit_of
from edgewise.cost.gpu.fitting import Traced
from edgewise.cost.gpu.model import GpuModel
from edgewise.cost.gpu.terms import Machine


@pytest.fixture
def machine() -> Machine:
    return Machine(multiprocessors=80, flops_per_s=14e12, bytes_per_s=900e9, cache_bytes=6e6)


@pytest.fixture
def model() -> GpuModel:
    """Two families, so that one is cheapest for some shapes and the other for the rest."""
    fits = (
        fit_of("ig", (128, 64), launch=1.2, waves=1.1, activations=0.5),
        fit_of("nf", (64, 64), launch=1.5, waves=1.0, weights=20.0, transform_in=2.0, transform_out=1.0),
    )
    return GpuModel(families=fits, launch_s=7e-5)


@pytest.fixture
def trace(model: GpuModel, machine: Machine) -> Traced:
    """Noise-free times of the made-up GPU, each row with its family."""
    shapes = drawn_shapes(400)
    choice = model.choose(shapes, machine)
    families = tuple(model.families[place].family for place in choice.place)
    return Traced(shapes=shapes, latency_s=choice.latency_s, families=families, machine=machine)
