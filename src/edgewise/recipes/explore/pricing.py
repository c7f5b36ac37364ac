"""Networks of a study on a device that is not here: simulated in place of timed."""

from collections.abc import Sequence
from pathlib import Path

from edgewise._core.errors import DeviceError
from edgewise._core.progress import Progress
from edgewise.cost.chip import ChipSettings, CrossbarDevice, price_network
from edgewise.cost.gpu.device import GpuDevice
from edgewise.dynamic import record_masks
from edgewise.ir import NetSpec
from edgewise.recipes.explore.executor import Measurement
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.simulated.opening import open_simulated
from edgewise.recipes.simulated.simulate import simulate_net
from edgewise.trace import trace
from edgewise.train.data import Dataset

MASK_IMAGES = 200
"""Validation images that the masks of a dynamic network are recorded from on a chip."""


def price_runs(device: DeviceRequest, given: Path, folders: Sequence[Path], *, data: Dataset, progress: Progress) -> list[Measurement]:
    """Prices run folders and the given network's on a simulated device.

    A chip is priced as ``edgewise crossbar`` prices it: layers one after another, and dynamic networks by masks recorded from
    validation images, their work skipped while every weight stays programmed.

    Args:
        device: The simulated device.
        given: Run folder of the given network.
        folders: Run folders, in the order of the result.
        data: Gives the images for masks.
        progress: Is told how far it is.

    Raises:
        DeviceError: The chip's times are unpublished, or the network does not fit on it.
    """
    opened = open_simulated(device)
    price = _Chip(opened, data, progress) if isinstance(opened, CrossbarDevice) else _Gpu(opened)
    base_s, base_j = price(load_run(given).loaded)
    found = []
    for folder in folders:
        latency_s, energy_j = price(load_run(folder).loaded)
        found.append(
            Measurement(
                latency_s=latency_s,
                min_s=latency_s,
                baseline_latency_s=base_s,
                baseline_min_s=base_s,
                ratio=latency_s / base_s,
                kind="simulated",
                runtime=price.runtime,
                energy_j=energy_j,
                baseline_energy_j=base_j,
            )
        )
    return found


class _Gpu:
    """A GPU knows dense networks only."""

    def __init__(self, gpu: GpuDevice) -> None:
        self._gpu, self.runtime = gpu, gpu.name

    def __call__(self, loaded: LoadedModel) -> tuple[float, float | None]:
        simulation = simulate_net(_net(loaded), self._gpu)
        return simulation.latency_s, simulation.energy_j


class _Chip:
    def __init__(self, device: CrossbarDevice, data: Dataset, progress: Progress) -> None:
        self._device, self._data, self._progress = device, data, progress
        self.runtime = f"{device.name}, layer after layer"

    def __call__(self, loaded: LoadedModel) -> tuple[float, float | None]:
        dense, plan, chip = loaded.without_gates(), loaded.gates, self._device.chip
        net = _net(dense)
        if plan is None:
            cost = price_network(net, chip, ChipSettings(accounting="dense"))
        else:
            masks = record_masks(dense.model, plan, self._data.validation.first(MASK_IMAGES), progress=self._progress)
            cost = price_network(net, chip, ChipSettings(accounting="gating"), plan=plan, masks=masks)
        if cost.latency_s is None:
            raise DeviceError(f"times of {chip.name} are unpublished, so that no latency can be explored on it; use isaac, or a chip file")
        return cost.latency_s * self._device.batch, cost.energy_j


def _net(loaded: LoadedModel) -> NetSpec:
    return trace(loaded.model, loaded.inputs(), name=loaded.name, verify=False).net
