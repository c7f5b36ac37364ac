"""What ``edgewise sparsify`` is asked for, as frozen data. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from pathlib import Path

from edgewise._core.errors import PlanError, UsageError
from edgewise._core.units import LatencyTarget
from edgewise.recipes.requests import LEARNING_RATE, DataRequest, DeviceRequest, ModelRequest, check_rate

RAMP = 0.2
"""Share of training in which ratios rise to their targets: that of ``edgewise.dynamic.training``, known here without torch."""
CHANGING = 0.3
"""Share of the kept channels that may be others for every image: that of ``edgewise.dynamic.balancing``."""
DENSE_DEVICES = ("openvino-cpu", "onnxruntime-cpu")
"""Runtimes that the dense network is timed in; the fastest counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RatioRequest:
    """How much of each block is pruned: given, or to be chosen for a target.

    Attributes:
        channels: Pruned share of channels, one for all blocks or one for each; empty for 0 or for choosing.
        positions: The same for positions.
        macs_at_most: Largest share of the convolutions' multiply-accumulates, as the tutorial counts them, or with removal as executed;
            none for no such target.
        latency: Latency to reach; none for no such target.
        block_outputs: Prune also what convolutions read of sums.
        remove: Remove for good what no image is to keep, so that the layers before have less to do, too.
        changing: Share of the kept channels that may be others for every image, in [0, 1]; one for all blocks or one for each.
        images: Validation images that each block's sensitivity is judged by; at least 1.
    """

    channels: tuple[float, ...] = ()
    positions: tuple[float, ...] = ()
    macs_at_most: float | None = None
    latency: LatencyTarget | None = None
    block_outputs: bool = False
    remove: bool = False
    changing: tuple[float, ...] = (CHANGING,)
    images: int = 1000

    def __post_init__(self) -> None:
        """Checks the ratios, and that they are either given or to be chosen."""
        for flag, ratios in (("--channel-ratios", self.channels), ("--spatial-ratios", self.positions)):
            wrong = [ratio for ratio in ratios if not 0 <= ratio < 1]
            if wrong:
                raise PlanError(f"{flag} must lie in [0, 1), got {wrong[0]:g}")
        if not self.changing or any(not 0 <= share <= 1 for share in self.changing):
            raise PlanError(f"--changing must be shares in [0, 1], got {', '.join(f'{share:g}' for share in self.changing) or 'none'}")
        given = bool(self.channels or self.positions)
        ways = given + (self.macs_at_most is not None) + (self.latency is not None)
        if ways != 1:
            raise UsageError(
                "give either ratios (--channel-ratios, --spatial-ratios) or one target to choose them for (--macs-at-most, --latency), "
                + ("got none of them" if ways == 0 else "got several")
            )
        if given and not any((*self.channels, *self.positions)):
            raise UsageError("--channel-ratios and --spatial-ratios prune nothing, got only 0")
        if self.macs_at_most is not None and not 0 < self.macs_at_most < 1:
            raise UsageError(f"--macs-at-most must lie between 0x and 1x, got {self.macs_at_most:g}x")
        if self.images < 1:
            raise UsageError(f"--images must be at least 1, got {self.images}")

    @property
    def chosen(self) -> bool:
        """Whether the ratios are to be chosen."""
        return self.macs_at_most is not None or self.latency is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class SparsifyRequest:
    """A network to prune for each input.

    Attributes:
        model: The network.
        ratios: How much of each block.
        device: Threads, batch and database; its ``device`` is not read.
        dense_devices: Runtimes that the dense network is timed in.
        data: Data to train and judge with; none to train nothing.
        ramp: Share of the steps over which ratios rise to their targets, in [0, 1].
        lr: Largest learning rate.
        distill: Learn from the dense network's outputs and maps, too.
        one_for_all: Train one set of weights for all ratios up to these, and keep statistics for several budgets.
        measure: Time dense and dynamic network side by side.
        seed: Seed of everything drawn.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
    """

    model: ModelRequest
    ratios: RatioRequest
    device: DeviceRequest = field(default_factory=lambda: DeviceRequest(device="openvino-cpu"))
    dense_devices: tuple[str, ...] = DENSE_DEVICES
    data: DataRequest | None = None
    ramp: float = RAMP
    lr: float = LEARNING_RATE
    distill: bool = False
    one_for_all: bool = False
    measure: bool = True
    seed: int = 0
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Checks what needs what."""
        for flag, wanted in (
            ("--distill", self.distill),
            ("--one-for-all", self.one_for_all),
            ("--macs-at-most and --latency", self.ratios.chosen),
        ):
            if wanted and self.data is None:
                raise UsageError(f"{flag} needs images, and so --data, got none; add --data digits or imagefolder:PATH")
        if self.one_for_all and self.ratios.remove:
            raise UsageError("--remove needs settled ratios, and --one-for-all keeps a range of them; leave one of the two out")
        if not 0 <= self.ramp <= 1:
            raise UsageError(f"--ramp must lie in [0, 1], got {self.ramp:g}")
        check_rate(self.lr)
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.resume and self.out is None:
            raise UsageError("--resume needs --out RUN, the folder of the run to go on with, got none")
        if self.device.precision != "fp32":
            raise UsageError(f"the kernels of dynamic networks compute in fp32, got --precision {self.device.precision}")
        if not self.dense_devices:
            raise UsageError("--device must name at least one runtime to compare with, got none")
