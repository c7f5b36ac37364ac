"""What ``edgewise crossbar`` is asked for, as frozen data. Nothing heavy is imported here."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from edgewise._core.errors import UsageError
from edgewise.recipes.requests import DataRequest, ModelRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class PruningRequest:
    """What is pruned.

    Attributes:
        channel_ratios: Pruned share of channels, one for all blocks or one for each; empty for 0.
        spatial_ratios: The same for positions.
        masks: ``recorded`` from images, or ``random:R``, ``random:R:positions``, ``random:R:both``, ``random``
            (drawn, at the ratios given).
        channel_group: Channels pruned together: a number, or ``array`` for as many as one row block holds.
        spatial_block: Side of the blocks of positions pruned together; at least 1.
    """

    channel_ratios: tuple[float, ...] = ()
    spatial_ratios: tuple[float, ...] = ()
    masks: str = "recorded"
    channel_group: str = "1"
    spatial_block: int = 1

    def __post_init__(self) -> None:
        """Reads ``masks`` and checks the sizes."""
        self.drawn()
        if self.channel_group != "array" and not (self.channel_group.isdigit() and int(self.channel_group) >= 1):
            raise UsageError(f"--channel-group must be a number of at least 1 or array, got {self.channel_group!r}")
        if self.spatial_block < 1:
            raise UsageError(f"--spatial-block must be at least 1, got {self.spatial_block}")

    def drawn(self) -> tuple[float, str] | None:
        """Ratio and target (channels, positions, both) of drawn masks; none for recorded ones; NaN for the ratios given."""
        kind, _, rest = self.masks.partition(":")
        if self.masks == "recorded":
            return None
        ratio, _, target = rest.partition(":")
        try:
            value = float(ratio) if rest else math.nan
        except ValueError:
            value = 2.0
        if kind != "random" or (target or "channels") not in ("channels", "positions", "both") or not (math.isnan(value) or 0 <= value < 1):
            raise UsageError(f"--masks must be recorded, random or random:R[:channels|positions|both] with R in [0, 1), got {self.masks!r}")
        if rest and (self.channel_ratios or self.spatial_ratios):
            raise UsageError(
                "--masks random:R brings its own ratio; leave out --channel-ratios and --spatial-ratios, or give --masks random"
            )
        return value, target or "channels"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutRequest:
    """How the network lies on the chip; see :class:`edgewise.cost.chip.settings.ChipSettings`."""

    row_order: str = "channels"
    aligned: bool = False
    sort_channels: bool = False
    replication: str = "1"
    schedule: str = "serial"
    mechanisms: tuple[str, ...] = ("rows", "blocks", "positions")
    adc_rule: str = "none"
    convolutions_only: bool = False
    skip_unsupported: bool = False
    bits: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalogRequest:
    """How accuracy on the chip is judged.

    Attributes:
        mode: ``folded`` or ``bitwise``.
        noise: Programming noise to judge at; the last one is the figure reported, the others are a curve.
        cells: Further fields of :class:`edgewise.crossbar.CellNoise`.
        adc_range: ``max``, ``granular`` or ``calibrated``.
        chips: Chips to draw; at least 1.
        images: Images to record masks from, and test images to judge on; at least 1.
        noise_aware: Steps of fine-tuning under noise; 0 for none.
    """

    mode: str = "folded"
    noise: tuple[float, ...] = (0.0,)
    cells: tuple[tuple[str, float | str], ...] = ()
    adc_range: str = "max"
    chips: int = 5
    images: int = 1000
    noise_aware: int = 0

    def __post_init__(self) -> None:
        """Checks the counts and the noise."""
        for flag, value, least in (("--chips", self.chips, 1), ("--images", self.images, 1), ("--noise-aware", self.noise_aware, 0)):
            if value < least:
                raise UsageError(f"{flag} must be at least {least}, got {value}")
        if not self.noise or not all(math.isfinite(value) and value >= 0 for value in self.noise):
            raise UsageError(f"--noise must hold numbers of 0 or more, got {','.join(f'{value:g}' for value in self.noise)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossbarRequest:
    """A network to put on a crossbar chip.

    Attributes:
        model: The network.
        chip: ``isaac``, ``puma``, ``prime`` or a TOML file.
        accounting: ``gating``, ``reload``, ``static`` or ``static-both``.
        pruning: What is pruned.
        layout: How the network lies on the chip.
        analog: How accuracy is judged.
        data: Images to record masks from and to judge on; none for neither.
        seed: Seed of everything drawn.
        out: Run folder to write; none to write none.
        neurosim: Folder for NeuroSim's files; none to write none.
        resume: Go on with the unfinished run in ``out``.
    """

    model: ModelRequest
    chip: str = "isaac"
    accounting: str = "gating"
    pruning: PruningRequest = field(default_factory=PruningRequest)
    layout: LayoutRequest = field(default_factory=LayoutRequest)
    analog: AnalogRequest = field(default_factory=AnalogRequest)
    data: DataRequest | None = None
    seed: int = 0
    out: Path | None = None
    neurosim: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        """Checks the seed, and what needs data."""
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.resume and self.out is None:
            raise UsageError("--resume goes on with the run in --out, got no --out")
        if self.analog.noise_aware and self.data is None:
            raise UsageError("--noise-aware trains, and so needs --data, got none; add --data imagefolder:PATH")
        if self.neurosim is not None and self.data is None:
            raise UsageError("--neurosim writes traces of real inputs, and so needs --data, got none")
