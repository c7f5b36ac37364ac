"""What each capability is asked for, as frozen data that the command line and Python callers share.

Nothing heavy is imported here: a request is checked for form when it is made, and for
meaning (does the model exist, is the runtime installed) by the recipe that carries it out.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewise._core.errors import UsageError, unknown_name
from edgewise._core.units import LatencyTarget

PRECISIONS = ("fp32", "bf16")
"""Precisions that a runtime may be asked for."""
SOLVERS = ("exact", "algorithm2", "round")
"""Solvers of ``fit``."""
OBJECTIVES = ("loss", "importance", "params")
"""What ``fit`` keeps as large as possible."""
IMPORTANCES = ("l2", "batch_norm", "taylor", "obs")
"""How the importance of a channel is judged."""
LEARNING_RATE = 0.05
"""Largest learning rate of trainings that start from trained weights: half of what such networks are trained with from scratch."""
FORMATS = ("onnx", "openvino")
"""File formats of ``export``."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _check_count(flag: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{flag} must be at least 1, got {value}")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {seed}")


def check_rate(lr: float) -> None:
    """Refuses a learning rate that is not positive and finite.

    Raises:
        UsageError: It is not.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise UsageError(f"--lr must be positive, got {lr:g}")


def _check_share(flag: str, share: float | None) -> None:
    if share is not None and not (math.isfinite(share) and share > 0):
        raise UsageError(f"{flag} must be a positive share such as 1.0x, got {share:g}x")


def _check_widths(floor: float | None, keep: tuple[str, ...], only: tuple[str, ...]) -> None:
    if floor is not None and not 0 < floor <= 1:
        raise UsageError(f"--width-floor must lie in (0x, 1x], got {floor:g}x")
    both = sorted(set(keep) & set(only))
    if both:
        raise UsageError(f"a layer cannot stand in both --keep and --only, got {', '.join(both)}")


def _known(kind: str, name: str, known: tuple[str, ...]) -> str:
    """The name as it is written here; case does not matter."""
    usual = name.strip().lower()
    if usual not in known:
        raise unknown_name(kind, name, known)
    return usual


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """A network to load.

    Attributes:
        model: Built-in name, ``timm:NAME``, ``torchvision:NAME``, ``file.py:factory`` or a run folder.
        weights: File of weights to load into it, or none for those its source gives.
        pretrained: Let timm or torchvision download the weights that they publish.
        input: Input shape such as ``1x3x224x224``; none for the one known for the model.
    """

    model: str
    weights: Path | None = None
    pretrained: bool = False
    input: str | None = None

    def __post_init__(self) -> None:
        """Checks that the model has a name and that only one source gives the weights."""
        if not self.model.strip():
            raise UsageError("MODEL must name a network, got an empty text; try `resnet56` or `timm:resnet18`")
        if self.weights is not None and self.pretrained:
            raise UsageError(f"--weights and --pretrained exclude each other, got both (--weights {self.weights})")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRequest:
    """A device and how it is to be used.

    Attributes:
        device: Name of a device, such as ``onnxruntime-cpu`` or ``exec:CMD``.
        threads: Threads the runtime may use; at least 1.
        batch: Inputs at once; at least 1.
        precision: ``fp32`` or ``bf16``.
        db: Latency database; none for the one in the cache folder.
    """

    device: str = "onnxruntime-cpu"
    threads: int = 1
    batch: int = 1
    precision: str = "fp32"
    db: Path | None = None

    def __post_init__(self) -> None:
        """Checks the counts and the precision."""
        if not self.device.strip():
            raise UsageError("--device must name a device, got an empty text; `edgewise devices` lists them")
        _check_count("--threads", self.threads)
        _check_count("--batch", self.batch)
        if self.precision.strip().lower() == "int8":
            raise UsageError("--precision int8 does not exist yet; use fp32 or bf16")
        object.__setattr__(self, "precision", _known("precision", self.precision, PRECISIONS))


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRequest:
    """Data to train and judge with.

    Attributes:
        data: ``digits``, ``imagefolder:PATH``, ``npz:FILE`` or ``torchvision:NAME:ROOT``.
        epochs: Passes over the training part; 0 only recalibrates batch norm. Not negative.
        mean: Mean of each channel of images in [0, 1].
        std: Standard deviation of each channel; positive.
        seed: Seed of the validation split, the order and the augmentation.
    """

    data: str
    epochs: float = 10.0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks epochs, statistics and seed."""
        if not (math.isfinite(self.epochs) and self.epochs >= 0):
            raise UsageError(f"--epochs must be 0 or more, got {self.epochs:g}")
        if not all(math.isfinite(value) for value in self.mean):
            raise UsageError(f"--mean must hold finite numbers, got {self.mean}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise UsageError(f"--std must hold positive numbers, got {self.std}")
        _check_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRequest:
    """Staircases of one network on one device.

    Attributes:
        model: The network.
        device: The device.
        width_floor: Smallest share of the present width, in (0, 1]; none for the default.
        keep: Layers whose widths stay.
        only: Layers whose widths alone may change; empty for all.
        seed: Seed of everything drawn.
        calibrate: Get to know the device first where it is new (once, about twenty seconds);
            without, predictions leave out what a network costs beyond its layers.
    """

    model: ModelRequest
    device: DeviceRequest = DeviceRequest()
    width_floor: float | None = None
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seed: int = 0
    calibrate: bool = True

    def __post_init__(self) -> None:
        """Checks the floor, the layers and the seed."""
        _check_widths(self.width_floor, self.keep, self.only)
        _check_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """A network to bring to a latency.

    Attributes:
        model: The network.
        latency: The target.
        device: Where the latency counts.
        width_floor: Smallest share of the present width, in (0, 1]; none for the objective's default.
        keep: Layers whose widths stay.
        only: Layers whose widths alone may change; empty for all.
        keep_blocks: Leave no residual block out.
        solver: ``exact``, ``algorithm2`` or ``round``.
        objective: ``loss``, ``importance`` or ``params``; none for the loss where weights are trained and there is data, importance
            with one of both, and params without.
        importance: ``l2``, ``batch_norm``, ``taylor`` or ``obs``; none for obs with trained weights and data, taylor with data, l2 without.
        params_at_least: Smallest share of the baseline's parameters; none for no such rule.
        macs_at_most: Largest share of the baseline's multiply-accumulates; none for no such rule.
        data: Data for fine-tuning; none to train nothing.
        lr: Largest learning rate of the fine-tuning; positive.
        distill: Learn from the original network's outputs too; needs data.
        seed: Seed of everything drawn.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
        calibrate: As for a profile.
    """

    model: ModelRequest
    latency: LatencyTarget
    device: DeviceRequest = DeviceRequest()
    width_floor: float | None = None
    keep: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    keep_blocks: bool = False
    solver: str = "exact"
    objective: str | None = None
    importance: str | None = None
    params_at_least: float | None = None
    macs_at_most: float | None = None
    data: DataRequest | None = None
    lr: float = LEARNING_RATE
    distill: bool = False
    seed: int = 0
    out: Path | None = None
    resume: bool = False
    calibrate: bool = True

    def __post_init__(self) -> None:
        """Checks names, shares, and what needs what."""
        _check_widths(self.width_floor, self.keep, self.only)
        object.__setattr__(self, "solver", _known("solver", self.solver, SOLVERS))
        if self.objective is not None:
            object.__setattr__(self, "objective", _known("objective", self.objective, OBJECTIVES))
        if self.importance is not None:
            object.__setattr__(self, "importance", _known("importance", self.importance, IMPORTANCES))
        _check_share("--params-at-least", self.params_at_least)
        _check_share("--macs-at-most", self.macs_at_most)
        check_rate(self.lr)
        _check_seed(self.seed)
        if self.importance == "taylor" and self.data is None:
            raise UsageError("--importance taylor needs gradients, and so --data; without data use l2 or batch_norm")
        if self.importance == "obs" and self.data is None:
            raise UsageError("--importance obs looks at what layers read, and so needs --data; without data use l2 or batch_norm")
        if self.objective == "loss" and self.data is None:
            raise UsageError("--objective loss judges layers on images, and so needs --data; without data use importance or params")
        if self.distill and self.data is None:
            raise UsageError("--distill trains, and so needs --data, got none; add --data digits or imagefolder:PATH")
        if self.resume and self.out is None:
            raise UsageError("--resume needs --out RUN, the folder of the run to go on with, got none")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """Networks and devices to measure in one interleaved run.

    Attributes:
        models: The networks, at least one.
        devices: The devices, at least one.
        why: Compare the first two networks layer by layer and explain the difference.
    """

    models: tuple[ModelRequest, ...]
    devices: tuple[DeviceRequest, ...] = (DeviceRequest(),)
    why: bool = False

    def __post_init__(self) -> None:
        """Checks that there is something to measure."""
        if not self.models or not self.devices:
            raise UsageError(f"bench needs at least one model and one device, got {len(self.models)} and {len(self.devices)}")
        if self.why and len(self.models) != 2:
            raise UsageError(f"--why compares exactly two models, got {len(self.models)}; name the baseline first")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """A network to write as a file for a runtime.

    Attributes:
        model: The network.
        format: ``onnx`` or ``openvino``.
        out: File to write; none for the model's name with the format's suffix, here.
        device: Settings for measuring the file again; its ``device`` follows the format.
    """

    model: ModelRequest
    format: str = "onnx"
    out: Path | None = None
    device: DeviceRequest = DeviceRequest()

    def __post_init__(self) -> None:
        """Checks the format."""
        object.__setattr__(self, "format", _known("format", self.format, FORMATS))


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRequest:
    """Runs to describe in one HTML file.

    Attributes:
        runs: Run folders, at least one.
        out: File to write; none for ``report.html`` in the first run's folder.
    """

    runs: tuple[Path, ...]
    out: Path | None = None

    def __post_init__(self) -> None:
        """Checks that there is a run."""
        if not self.runs:
            raise UsageError("report needs at least one RUN folder, got none")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoRequest:
    """The main job on embedded data.

    Attributes:
        out: Run folder to write.
        device: Where the latency counts.
        seed: Seed of everything drawn.
        size: ``full``, about two minutes on two cores, or ``smoke``, the same path as short as possible.
        resume: Go on with the unfinished run in ``out``.
    """

    out: Path = Path("runs/demo")
    device: DeviceRequest = DeviceRequest()
    seed: int = 0
    size: Literal["full", "smoke"] = "full"
    resume: bool = False

    def __post_init__(self) -> None:
        """Checks the seed."""
        _check_seed(self.seed)
