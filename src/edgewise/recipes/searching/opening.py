"""What a search begins with: the space as the data needs it, the reference, the prices."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import DataError, UsageError
from edgewise._core.progress import Progress
from edgewise.cost.blocks import is_lut
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.models.shapes import format_input_shape
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.search_request import SearchRequest
from edgewise.recipes.searching.aiming import Bench, calibrated, network_of
from edgewise.recipes.searching.prices import prices_on
from edgewise.recipes.simulated.lut import open_table, price_by_table
from edgewise.recipes.simulated.opening import is_simulated, open_simulated
from edgewise.recipes.timing import runtime_settings
from edgewise.space import Space, load_space
from edgewise.space.prices import Prices
from edgewise.trace import trace
from edgewise.train.data import Dataset, DataSpec, open_data

_PROJECT = re.compile(r"^blocks\.(\d+)\.project$")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a search begins with.

    Attributes:
        space: The space, with the data's images and classes.
        data: The data.
        prices: What choices take; calibrated by two measured networks where the device is measured.
        predicted: The prices before that.
        reference_s: Latency of the network that targets are shares of.
        bench: Measures; none where nothing can be measured.
        runtime: Where it measures; none likewise.
    """

    space: Space
    data: Dataset
    prices: Prices
    predicted: Prices
    reference_s: float
    bench: Bench | None = None
    runtime: Runtime | None = None


def open_space(request: SearchRequest, *, given: Dataset | None = None, progress: Progress) -> tuple[Space, Dataset]:
    """The space and the data, made to fit each other.

    Args:
        request: The space and the data.
        given: The data where it is in memory already.
        progress: Is told of long work.

    Raises:
        SpecError: The images are smaller than the space's total stride, or the space breaks a rule.
        DataError: The data cannot be opened.
    """
    assert request.data is not None
    space = load_space(request.space)
    if request.widths_from is not None:
        space = space.snapped(stage_candidates(space, request.widths_from))
    wanted = request.data
    side = space.input_shape[-1]
    spec = DataSpec(
        text=wanted.data,
        mean=wanted.mean,
        std=wanted.std,
        seed=wanted.seed,
        image_size=side if side > 64 else None,
        batch_size=request.batch_size,
    )
    data = given or open_data(spec, progress=progress)
    if tuple(data.input_shape) != space.input_shape:
        progress.note(f"space {space.name!r} takes the data's images: {format_input_shape(data.input_shape)}")
    if data.n_classes < 2:
        raise DataError(f"a search needs at least 2 classes to tell apart, got {data.n_classes} in {wanted.data}")
    return replace(space, input_shape=tuple(data.input_shape), n_classes=data.n_classes), data


def open_search(request: SearchRequest, space: Space, data: Dataset, *, database: LatencyDatabase, progress: Progress) -> Opened:
    """The prices of a space on the device, and the reference's latency there.

    Raises:
        TargetError: The target lies outside what the space reaches; the text says the range.
        EdgewiseError: The device or the reference is wrong.
    """
    reference = None if request.reference is None else load_request(ModelRequest(model=request.reference))
    opened = open_beside(space, data, reference, request.device, database=database, progress=progress)
    for target in (request.latency, *request.front):
        opened.prices.check_target(target.seconds(opened.reference_s), asked=str(target))
    return opened


def open_beside(
    space: Space, data: Dataset, reference: LoadedModel | None, device: DeviceRequest, *, database: LatencyDatabase, progress: Progress
) -> Opened:
    """The prices of a space on a device, and the latency there of the network that targets are shares of.

    Args:
        space: The space, with the data's images and classes.
        data: The data.
        reference: That network; none for the space's largest.
        device: Where the latency counts.
        database: Keeps all samples; a simulated device does not read it.
        progress: Is told how far it is.

    Raises:
        EdgewiseError: The device or the reference is wrong.
    """
    predicted = prices_on(space, device, database=database, progress=progress)
    if is_lut(device.device) or is_simulated(device.device):
        reference_s = predicted.latency_s(space.largest) if reference is None else _priced_s(reference, device)
        return Opened(space=space, data=data, prices=predicted, predicted=predicted, reference_s=reference_s)
    runtime = open_runtime(runtime_settings(device))
    bench = Bench(space, reference or network_of(space, space.largest), runtime=runtime, database=database, progress=progress)
    plans = (space.smallest, space.largest)
    first, samples = bench.measure(plans)
    pairs = [(predicted.latency_s(plan), sample.min_s) for plan, sample in zip(plans, samples, strict=True)]
    return Opened(
        space=space,
        data=data,
        prices=calibrated(predicted, pairs),
        predicted=predicted,
        reference_s=first.min_s,
        bench=bench,
        runtime=runtime,
    )


def stage_candidates(space: Space, path: Path) -> dict[int, tuple[int, ...]]:
    """Widths worth having for each stage, from what ``profile --json`` wrote for ``space:NAME``.

    Args:
        space: The space that was profiled.
        path: The file.

    Raises:
        UsageError: It is no such file, or of another network.
    """
    try:
        value = json.loads(path.read_bytes())
        rows: list[Mapping[str, Any]] = list(value["layers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--widths-from needs a file that `edgewise profile --json` wrote, got {path} ({error})") from error
    found: dict[int, tuple[int, ...]] = {}
    for row in rows:
        match = _PROJECT.match(str(row.get("tie", "")))
        if match and row.get("candidates") and int(match.group(1)) < len(space.blocks):
            found.setdefault(space.blocks[int(match.group(1))].stage, tuple(int(width) for width in row["candidates"]))
    if not found:
        raise UsageError(
            f"--widths-from {path} holds no widths of space {space.name!r}; write it by `edgewise profile space:{space.name} --json FILE`"
        )
    return found


def _priced_s(reference: LoadedModel, device: DeviceRequest) -> float:
    net = trace(reference.model, reference.inputs(), name=reference.name).net
    if is_lut(device.device):
        return price_by_table(net, open_table(device)).latency_s
    return open_simulated(device).predict_s(net)
