"""Fitting and profiling any module from Python: own inputs and outputs, own loss, own training.

A module made in Python cannot be built again from a file, so no run folder is written:
keep the result by :meth:`FittedModule.save` and read it with :func:`load_module`, or export it.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgewise._core.errors import PlanError, RunError, SpecError, UsageError
from edgewise._core.files import write_json, write_text
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.units import LatencyTarget, parse_latency
from edgewise.deploy.onnx_export import export_onnx
from edgewise.deploy.openvino_export import export_openvino
from edgewise.deploy.parity import Parity, check_parity
from edgewise.ir import WidthPlan
from edgewise.measure.database import LatencyDatabase
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.fit import fit_network
from edgewise.recipes.own_training import OwnCourse, Training
from edgewise.recipes.profile import Profiled, profile_model
from edgewise.recipes.records import LoadedModel, in_memory
from edgewise.recipes.requests import DeviceRequest, FitRequest, ModelRequest, ProfileRequest
from edgewise.recipes.simulated.opening import is_simulated
from edgewise.recipes.simulated.profile import SimulatedProfile, profile_simulated
from edgewise.recipes.training import Course, NoCourse
from edgewise.report import from_json, render_run
from edgewise.trace import apply_plan, trace
from edgewise.train.loop import FineTune, Loaders

__all__ = ["DeviceRequest", "FineTune", "FittedModule", "Loaders", "Options", "Training", "fit_module", "load_module", "profile_module"]

_WEIGHTS_FILE = "model.safetensors"
_PLAN_FILE = "plan.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What widths may be, and how they are found; as the flags of ``edgewise fit``.

    Attributes:
        solver: ``exact``, ``algorithm2`` or ``round``.
        objective: ``importance`` or ``params``; none for importance where the weights are trained.
        importance: ``l2``, ``batch_norm`` or ``taylor``; none for taylor with batches and l2 without.
        width_floor: Smallest share of the present width, in (0, 1]; none for the objective's default.
        keep: Layers whose widths stay.
        only: Layers whose widths alone may change; empty for all.
        params_at_least: Smallest share of the parameters; none for no such rule.
        macs_at_most: Largest share of the multiply-accumulates; none for no such rule.
        trained: Whether the weights are more than initial draws.
        calibrate: Get to know the device first where it is new (once, about twenty seconds).
        seed: Seed of everything drawn.
        progress: Is told how far it is.
    """

    solver: str = "exact"
    objective: str | None = None
    importance: str | None = None
    width_floor: float | None = None
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    params_at_least: float | None = None
    macs_at_most: float | None = None
    trained: bool = True
    calibrate: bool = True
    seed: int = 0
    progress: Progress = field(default_factory=SilentProgress)


@dataclass(frozen=True, kw_only=True)
class FittedModule:
    """A network brought to a latency.

    Attributes:
        model: The network: a plain module, in evaluation mode.
        plan: What was done to the original.
        inputs: What it is called with.
        figures: All figures as JSON values, as ``edgewise fit --json`` writes them.
    """

    model: nn.Module
    plan: WidthPlan
    inputs: tuple[Tensor, ...]
    figures: Mapping[str, Any]

    @property
    def met(self) -> bool:
        """Whether the target was met, as measured."""
        return bool(self.figures["met"])

    @property
    def speed_ratio(self) -> float:
        """Measured latency over that of the original: minima of one interleaved run."""
        return float(self.figures["result"]["min_s"] / self.figures["baseline"]["min_s"])

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return dict(self.figures)

    def save(self, folder: Path) -> None:
        """Writes weights and plan; :func:`load_module` makes the network again from them and the original's code.

        Raises:
            StorageError: The disk is full or not writable.
        """
        save_weights(self.model, folder / _WEIGHTS_FILE)
        write_json(folder / _PLAN_FILE, {"plan": self.plan.to_json(), "figures": dict(self.figures)})

    def export(self, file: Path) -> Parity:
        """Writes an ``.onnx`` or (OpenVINO) ``.xml`` file, and checks that it computes the same.

        Raises:
            UsageError: Another suffix.
            ExportError: The network cannot be written so, or the file computes something else.
        """
        writers = {".onnx": export_onnx, ".xml": export_openvino}
        if file.suffix.lower() not in writers:
            raise UsageError(f"`file` must end with {' or '.join(writers)}, got {file}")
        writers[file.suffix.lower()](self.model, self.inputs, file)
        return check_parity(self.model, file, self.inputs)

    def write_report(self, file: Path) -> None:
        """Writes the self-contained HTML report."""
        write_text(file, render_run(from_json(self.figures, name=str(self.figures["model"]))))


def fit_module(
    model: nn.Module,
    inputs: Tensor | tuple[Tensor, ...],
    *,
    latency: str | LatencyTarget,
    device: str | DeviceRequest = "onnxruntime-cpu",
    options: Options | None = None,
    training: Training | None = None,
) -> FittedModule:
    """Finds the widths with which a network meets a latency on a device, applies them, trains, measures.

    Args:
        model: Any network of convolutions; it is not changed.
        inputs: What it is called with, one or several tensors, each with a batch of one. Outputs
            may be anything made of tensors.
        latency: The target: ``"0.7x"`` of what it takes now, or a time such as ``"2ms"``.
        device: Where the latency counts.
        options: What widths may be.
        training: How it gets its accuracy back; none to train nothing.

    Returns:
        The network and all figures.

    Raises:
        TargetError: The target is out of reach; says the fastest that is not.
        EdgewiseError: Something else is wrong; the text says what would be right.
    """
    options, training = options or Options(), training or Training()
    if options.importance == "taylor" and training.data is None:
        raise UsageError("`importance` 'taylor' needs gradients, and so `data`; without use l2 or batch_norm")
    request = FitRequest(
        model=ModelRequest(model=type(model).__name__),
        latency=parse_latency(latency, flag="`latency`") if isinstance(latency, str) else latency,
        device=DeviceRequest(device=device) if isinstance(device, str) else device,
        width_floor=options.width_floor,
        keep=options.keep,
        only=options.only,
        solver=options.solver,
        objective=options.objective,
        # Taylor is the default where there are batches; the request itself knows of files only.
        importance=None if options.importance == "taylor" else options.importance,
        params_at_least=options.params_at_least,
        macs_at_most=options.macs_at_most,
        seed=options.seed,
        calibrate=options.calibrate,
    )
    loaded = _loaded(model, inputs, options)
    result = fit_network(request, loaded, _course(training), progress=options.progress)
    return FittedModule(model=result.model.model, plan=result.plan, inputs=loaded.inputs(), figures=result.value)


def profile_module(
    model: nn.Module,
    inputs: Tensor | tuple[Tensor, ...],
    *,
    device: str | DeviceRequest = "onnxruntime-cpu",
    options: Options | None = None,
) -> Profiled | SimulatedProfile:
    """The latency staircases of a network on a device, and the widths worth considering.

    Args:
        model: Any network of convolutions; it is not changed.
        inputs: What it is called with, each tensor with a batch of one.
        device: Where to measure.
        options: Which widths may change; the solver's options are not read.

    Raises:
        EdgewiseError: The network cannot be traced, or the device refuses it.
    """
    options = options or Options()
    request = ProfileRequest(
        model=ModelRequest(model=type(model).__name__),
        device=DeviceRequest(device=device) if isinstance(device, str) else device,
        width_floor=options.width_floor,
        keep=options.keep,
        only=options.only,
        seed=options.seed,
        calibrate=options.calibrate,
    )
    if is_simulated(request.device.device):
        return profile_simulated(_loaded(model, inputs, options), request, progress=options.progress)
    with LatencyDatabase(request.device.db, progress=options.progress) as database:
        return profile_model(_loaded(model, inputs, options), request, database=database, progress=options.progress)


def load_module(model: nn.Module, inputs: Tensor | tuple[Tensor, ...], folder: Path) -> nn.Module:
    """The network that :meth:`FittedModule.save` kept, made from the original's code.

    Args:
        model: The original network, with any weights; it is not changed.
        inputs: What it is called with.
        folder: Where the result was saved.

    Raises:
        RunError: The folder lacks a file, or its plan does not fit this network.
        WeightsError: The weights do not fit.
    """
    path = folder / _PLAN_FILE
    try:
        plan = WidthPlan.from_json(json.loads(path.read_bytes())["plan"])
        fitted = apply_plan(model, plan, trace(model, inputs if isinstance(inputs, tuple) else (inputs,)))
    except FileNotFoundError:
        raise RunError(f"no {path}; give the folder that a fitted module was saved to") from None
    except (OSError, ValueError, KeyError, TypeError, PlanError) as error:
        raise RunError(f"{path} is damaged, or not of this network: {' '.join(str(error).split())}") from error
    load_weights(fitted, folder / _WEIGHTS_FILE)
    return fitted.eval()


def _loaded(model: nn.Module, inputs: Tensor | tuple[Tensor, ...], options: Options) -> LoadedModel:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    if not given or any(tensor.ndim == 0 or tensor.shape[0] != 1 for tensor in given):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in given) or "none"
        raise UsageError(f"`inputs` must be tensors with a batch of one, got {shapes}; more is for DeviceRequest(batch=...)")
    try:
        # The network that was given stays as it is, its modes included.
        subject = copy.deepcopy(model).eval()
    except Exception as error:  # a user's module may refuse in any way
        raise SpecError(f"`model` must allow copy.deepcopy, got {' '.join(str(error).split())}") from error
    return in_memory(subject, given, name=type(model).__name__, trained=options.trained)


def _course(training: Training) -> Course:
    empty = training.train is None and training.data is None and training.evaluate is None
    return NoCourse() if empty else OwnCourse(training)
