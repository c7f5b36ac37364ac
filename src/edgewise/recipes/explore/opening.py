"""What a study begins with: the network, the data, the device, and what makes the study what it is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from edgewise._core.errors import DeviceError, UsageError
from edgewise._core.progress import Progress
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.measure.host import usable_cores
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.dynamic_sessions import OPENVINO
from edgewise.recipes.explore.measuring import DYNAMIC_DEVICES
from edgewise.recipes.explore.point import Point, read_points
from edgewise.recipes.explore.request import ExploreRequest
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import FitRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.simulated.opening import is_chip, is_simulated
from edgewise.recipes.solving import channel_scores
from edgewise.recipes.timing import runtime_settings
from edgewise.recipes.training import Lessons, lessons_of, open_named
from edgewise.space import Space, load_space
from edgewise.trace import Traced, trace
from edgewise.train.checkpoint import fingerprint
from edgewise.train.data import Dataset

Scores = Mapping[str, np.ndarray]
"""Importance of each unit of each tie."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What a study begins with.

    Attributes:
        request: What was asked for.
        loaded: The given network.
        traced: Its trace.
        data: The data.
        threads: Threads that train a network.
        gates: Where maps of the given network can be pruned, at ratios of 0; no gates where nowhere.
        no_dynamic: Why dynamic networks are left out, in words; none where they are not.
        space: The space to search, with the data's images and classes; none to search nothing.
        given_points: The points of ``--points``; none where points are chosen.
    """

    request: ExploreRequest
    loaded: LoadedModel
    traced: Traced
    data: Dataset
    threads: int
    gates: GatePlan
    no_dynamic: str | None
    space: Space | None
    given_points: tuple[Point, ...] | None

    @property
    def net(self) -> NetSpec:
        """The given network as hardware sees it."""
        return self.traced.net

    @property
    def teacher_macs(self) -> int:
        """Multiply-accumulates of the network that trials learn from; 0 where they learn from the classes alone."""
        return self.net.macs if self.request.distill else 0

    @property
    def epochs(self) -> float:
        """Passes over the training data of one network in full."""
        assert self.request.data is not None
        return self.request.data.epochs

    @property
    def simulated(self) -> bool:
        """Whether the device is simulated."""
        return is_simulated(self.request.device.device)

    @property
    def halved(self) -> bool:
        """Whether candidates may be stopped early: not where a person listed them."""
        return self.given_points is None

    def fit_request(self) -> FitRequest:
        """The widths' side of the study, as the solvers take it."""
        request = self.request
        return FitRequest(
            model=request.model, latency=request.latencies[0], device=request.device, data=request.data, seed=request.seed, out=None
        )

    def lessons(self) -> Lessons:
        """What channels are judged by."""
        return lessons_of(self.data)

    def scores(self) -> dict[str, np.ndarray]:
        """Importance of each unit of each tie, judged by the first training batches."""
        return channel_scores(self.fit_request(), self.loaded.model, self.traced, trained=True, lessons=self.lessons())

    def settings(self) -> dict[str, Any]:
        """What makes the study what it is, as JSON values; going on needs the same. Its ends (budget, trials) may move."""
        request, device = self.request, self.request.device
        value = {
            "model": self.loaded.source.label,
            "tensors": fingerprint(self.loaded.model)[:16],
            "input": list(self.loaded.input_shape),
            "device": device.device,
            "threads": device.threads,
            "batch": device.batch,
            "precision": device.precision,
            "data": asdict(request.data) if request.data else None,
            "latencies": [str(target) for target in request.latencies],
            "strengths": list(request.strengths),
            "space": None if self.space is None else self.space.to_json(),
            "search epochs": None if self.space is None else request.search_epochs,
            "points": None if self.given_points is None else _digest([point.key for point in self.given_points]),
            "sampler": request.sampler,
            "distill": request.distill,
            "lr": request.lr,
            "trial threads": self.threads,
            "seed": request.seed,
        }
        return dict(json.loads(json.dumps(value)))


def open_study(request: ExploreRequest, *, progress: Progress) -> Opened:
    """Loads everything, and checks what can be checked before anything is written.

    Raises:
        UsageError: The network was never trained, or the points do not fit it.
        DeviceError: The device is not here.
        EdgewiseError: Something else in the request is wrong.
    """
    points = None
    assert request.data is not None
    if request.points is not None:
        points = read_points(request.points, epochs=request.data.epochs, seed=request.seed)
    simulated = is_simulated(request.device.device)
    if not simulated and request.ray is None:
        open_runtime(runtime_settings(request.device))
    loaded = load_request(request.model)
    if not loaded.trained:
        raise UsageError(
            f"{loaded.name} was never trained, and explore starts from what a network has learnt; "
            "give --weights, --pretrained or a run folder"
        )
    assert request.data is not None
    data = open_named(request.data, loaded, progress=progress)
    traced = trace(loaded.model, loaded.inputs(), name=loaded.name)
    from edgewise.dynamic import place_gates

    gates = place_gates(traced.net)
    opened = Opened(
        request=request,
        loaded=loaded,
        traced=traced,
        data=data,
        threads=request.trial_threads or usable_cores(),
        gates=gates,
        no_dynamic=_why_no_dynamic(request, gates),
        space=_space(request, data),
        given_points=points,
    )
    for point in points or ():
        _check_point(point, opened)
    return opened


def _space(request: ExploreRequest, data: Dataset) -> Space | None:
    if request.space is None:
        return None
    return replace(load_space(request.space), input_shape=tuple(data.input_shape), n_classes=data.n_classes)


def _why_no_dynamic(request: ExploreRequest, gates: GatePlan) -> str | None:
    """Why networks that prune their maps while they run cannot be tried here."""
    name = request.device.device.strip().lower()
    if not gates.gates:
        return "no map of the network is written by one convolution and read by one other alone"
    if is_chip(name):
        return None
    if is_simulated(name):
        return f"{request.device.device} is simulated, and its model knows dense convolutions only"
    if name not in DYNAMIC_DEVICES:
        return f"the kernels of dynamic networks run on this machine's processor, not on {request.device.device}"
    if request.device.precision != "fp32":
        return f"the kernels of dynamic networks compute in fp32, not in {request.device.precision}"
    if request.ray is not None:
        return None
    try:
        open_runtime(RuntimeSettings(device=OPENVINO, threads=request.device.threads, batch=request.device.batch))
    except DeviceError as error:
        return str(error)
    return None


def _check_point(point: Point, opened: Opened) -> None:
    """Refuses a listed point that does not fit the network.

    Raises:
        UsageError: It does not; the text names the point's key and what is wrong.
    """
    ties = {tie.name: tie for tie in opened.net.ties}
    strange = [name for name, _ in point.widths if name not in ties]
    if strange:
        raise UsageError(f"--points: {opened.loaded.name} has no tie {strange[0]!r}; `edgewise inspect {opened.loaded.name}` lists them")
    if point.base == "searched":
        raise UsageError("--points: searched networks come from the search of this very study, so they cannot be listed")
    if point.dynamic and opened.no_dynamic is not None:
        raise UsageError(f"--points: a point has ratios, but dynamic networks cannot be tried here: {opened.no_dynamic}")
    for name, ratios in (("channel_ratios", point.channel_ratios), ("spatial_ratios", point.spatial_ratios)):
        if ratios and len(ratios) not in (1, opened.gates.n_blocks):
            raise UsageError(f"--points: {name} needs 1 ratio or {opened.gates.n_blocks} (one for each block), got {len(ratios)}")


def _digest(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
