"""A space of networks: stages of inverted-residual blocks, each with its choices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from edgewise._core.errors import PlanError, SpecError
from edgewise.ir.arch import ArchPlan, BlockChoice


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Blocks of one output width.

    Attributes:
        width: Output channels of its blocks; at least 1.
        depth: Blocks at most; at least 1.
        stride: Stride of the first block, 1 or 2; the others have 1.
        kernels: Sides of depthwise kernels to choose from: odd, ascending.
        expansions: Inner channels for each input channel to choose from: ascending; 1 stands alone.
        ses: Squeeze-and-excitation channels for each input channel to choose from: ascending; 0 is none.
        skip: All blocks but the first may be left out.

    Example:
        >>> Stage(width=40, depth=4, stride=2).n_choices
        4
    """

    width: int
    depth: int
    stride: int = 1
    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[int, ...] = (3, 6)
    ses: tuple[float, ...] = (0.0,)
    skip: bool = True

    def __post_init__(self) -> None:
        """Checks every number."""
        if self.width < 1 or self.depth < 1 or self.stride not in (1, 2):
            raise SpecError(
                f"a stage needs width >= 1, depth >= 1 and stride 1 or 2, got width {self.width}, depth {self.depth}, stride {self.stride}"
            )
        for name, values in (("kernels", self.kernels), ("expansions", self.expansions), ("ses", self.ses)):
            if not values or list(values) != sorted(set(values)):
                raise SpecError(f"`{name}` of a stage must ascend, each value once, got {list(values)}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise SpecError(f"`kernels` of a stage must be odd, got {list(self.kernels)}")
        if self.expansions[0] < 1 or (self.expansions[0] == 1 and len(self.expansions) > 1):
            raise SpecError(
                f"`expansions` must be at least 1, and 1 stands alone (it has no expanding convolution), got {list(self.expansions)}"
            )
        if not all(0 <= ratio <= 1 for ratio in self.ses):
            raise SpecError(f"`ses` of a stage must lie in [0, 1], got {list(self.ses)}")

    @property
    def n_choices(self) -> int:
        """Operations to choose from, skip apart."""
        return len(self.kernels) * len(self.expansions) * len(self.ses)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSpace:
    """One block and what it may be.

    Attributes:
        position: Its place in running order, from 0.
        stage: Place of its stage, from 0.
        place: Its place in the stage, from 0.
        in_channels: Channels read.
        out_channels: Channels written.
        stride: Its stride.
        in_hw: Height and width read.
        kernels: As of its stage.
        expansions: As of its stage.
        ses: As of its stage.
        skippable: It may be left out: not the first of its stage.
    """

    position: int
    stage: int
    place: int
    in_channels: int
    out_channels: int
    stride: int
    in_hw: tuple[int, int]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    ses: tuple[float, ...]
    skippable: bool

    @property
    def out_hw(self) -> tuple[int, int]:
        """Height and width written."""
        return -(-self.in_hw[0] // self.stride), -(-self.in_hw[1] // self.stride)

    @property
    def residual(self) -> bool:
        """Its input is added to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels

    @property
    def searchable(self) -> bool:
        """There is something to choose."""
        return len(self.choices) > 1

    @property
    def choices(self) -> tuple[BlockChoice, ...]:
        """What it may be: kernels, expansions and ratios in ascending order, the last varying fastest; skip at the end."""
        made = tuple(
            BlockChoice(block=self.position, kernel=kernel, expansion=expansion, se=se)
            for kernel, expansion, se in product(self.kernels, self.expansions, self.ses)
        )
        return (*made, replace(made[0], skip=True)) if self.skippable else made

    @property
    def largest(self) -> BlockChoice:
        """The largest of its choices."""
        return BlockChoice(block=self.position, kernel=self.kernels[-1], expansion=self.expansions[-1], se=self.ses[-1])

    @property
    def smallest(self) -> BlockChoice:
        """Left out where it may be, else the smallest of its choices."""
        return self.choices[-1] if self.skippable else self.choices[0]

    def reduced(self, se: float) -> int:
        """Channels inside its squeeze-and-excitation: the ratio of the input channels, rounded, at least 1; 0 without."""
        return max(1, int(self.in_channels * se + 0.5)) if se else 0


@dataclass(frozen=True, kw_only=True)
class Space:
    """Networks that differ in the operations of their blocks.

    Attributes:
        name: What people call it.
        input_shape: Shape of its input with a batch of one.
        stem: Channels of the first 3x3 convolution.
        stem_stride: Its stride.
        stages: The stages in running order, at least one.
        head: Channels of the last 1x1 convolution; 0 for none.
        n_classes: Outputs.
        activation: ``relu`` or ``relu6``.
        dropout: Share of the pooled features dropped in training, in [0, 1).
    """

    name: str
    input_shape: tuple[int, ...]
    stem: int
    stem_stride: int
    stages: tuple[Stage, ...]
    head: int
    n_classes: int
    activation: str = "relu"
    dropout: float = 0.0
    blocks: tuple[BlockSpace, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the numbers and lays the blocks out."""
        if not self.stages or self.stem < 1 or self.head < 0 or self.n_classes < 1 or self.stem_stride not in (1, 2):
            raise SpecError(
                f"space {self.name!r} needs stages, stem >= 1, stem_stride 1 or 2, head >= 0 and n_classes >= 1, got {len(self.stages)} "
                f"stages, stem {self.stem}, stem_stride {self.stem_stride}, head {self.head}, n_classes {self.n_classes}"
            )
        if self.activation not in ("relu", "relu6") or not 0 <= self.dropout < 1:
            raise SpecError(f"`activation` must be relu or relu6 and `dropout` in [0, 1), got {self.activation!r} and {self.dropout:g}")
        if len(self.input_shape) != 4 or self.input_shape[0] != 1 or min(self.input_shape) < 1:
            raise SpecError(f"`input_shape` must be 1, channels, height, width, got {self.input_shape}")
        if min(self.input_shape[2:]) < self.total_stride:
            raise SpecError(
                f"space {self.name!r} divides its images by {self.total_stride}, so they must be at least that large, got "
                f"{self.input_shape[2]}x{self.input_shape[3]}; use larger images, or stages of stride 1"
            )
        object.__setattr__(self, "blocks", _laid_out(self))

    @property
    def total_stride(self) -> int:
        """How many input pixels lie between two output positions."""
        return self.stem_stride * math.prod(stage.stride for stage in self.stages)

    @property
    def n_architectures(self) -> int:
        """How many networks it holds, exactly.

        Example:
            >>> from edgewise.space.catalog import SPACES
            >>> SPACES["imagenet"].n_architectures
            31250000000000
        """
        return math.prod(len(block.choices) for block in self.blocks)

    @property
    def searchable(self) -> tuple[BlockSpace, ...]:
        """Blocks with something to choose."""
        return tuple(block for block in self.blocks if block.searchable)

    @property
    def largest(self) -> ArchPlan:
        """The network with every block at its largest."""
        return ArchPlan(blocks=tuple(block.largest for block in self.blocks))

    @property
    def smallest(self) -> ArchPlan:
        """The network with every block left out, or at its smallest."""
        return ArchPlan(blocks=tuple(block.smallest for block in self.blocks))

    def homogeneous(self, kernel: int, expansion: int, se: float = 0.0) -> ArchPlan:
        """The network in which every block that has such a choice takes it; others take their largest."""
        wanted = [
            next(
                (
                    choice
                    for choice in block.choices
                    if not choice.skip and (choice.kernel, choice.expansion, choice.se) == (kernel, expansion, se)
                ),
                block.largest,
            )
            for block in self.blocks
        ]
        return ArchPlan(blocks=tuple(wanted))

    def check(self, plan: ArchPlan) -> None:
        """Makes sure that a plan is one of this space.

        Raises:
            PlanError: A block is missing, or is what it may not be.
        """
        positions, own = [choice.block for choice in plan.blocks], [block.position for block in self.blocks]
        if positions != own:
            raise PlanError(f"an architecture of space {self.name!r} needs blocks {own[0]} to {own[-1]}, got {positions}")
        for block, choice in zip(self.blocks, plan.blocks, strict=True):
            allowed = choice.kernel in block.kernels and choice.expansion in block.expansions and choice.se in block.ses
            if not allowed or (choice.skip and not block.skippable):
                labels = ", ".join(each.label for each in block.choices)
                raise PlanError(f"block {block.position} of space {self.name!r} may be {labels}, got {choice.label}")

    def with_widths(self, widths: Sequence[int]) -> "Space":
        """The same space with other stage widths.

        Args:
            widths: One for each stage.

        Raises:
            SpecError: Their number differs.
        """
        if len(widths) != len(self.stages):
            raise SpecError(f"space {self.name!r} has {len(self.stages)} stages, got {len(widths)} widths: {list(widths)}")
        return replace(self, stages=tuple(replace(stage, width=width) for stage, width in zip(self.stages, widths, strict=True)))

    def snapped(self, candidates: Mapping[int, Sequence[int]]) -> "Space":
        """The same space with each stage's width moved to the nearest candidate; the larger where two are as near.

        Args:
            candidates: Widths worth having by place of the stage, as ``profile`` finds them; stages not named keep theirs.

        Example:
            >>> from edgewise.space.catalog import SPACES
            >>> [stage.width for stage in SPACES["imagenet"].snapped({2: (32, 48), 5: (176, 208)}).stages]
            [16, 24, 48, 80, 96, 208, 320]
        """
        widths = [
            min(candidates.get(place) or (stage.width,), key=lambda width, now=stage.width: (abs(width - now), -width))  # type: ignore[misc]
            for place, stage in enumerate(self.stages)
        ]
        return self.with_widths(widths)

    def to_json(self) -> dict[str, Any]:
        """The space as JSON values."""
        own = {name: getattr(self, name) for name in ("name", "stem", "stem_stride", "head", "n_classes", "activation", "dropout")}
        stages = [
            {name: list(value) if isinstance(value := getattr(stage, name), tuple) else value for name in stage.__dataclass_fields__}
            for stage in self.stages
        ]
        return {**own, "input_shape": list(self.input_shape), "stages": stages}


def _laid_out(space: Space) -> tuple[BlockSpace, ...]:
    made: list[BlockSpace] = []
    channels = space.stem
    height, width = (-(-size // space.stem_stride) for size in space.input_shape[2:])
    for number, stage in enumerate(space.stages):
        for place in range(stage.depth):
            block = BlockSpace(
                position=len(made),
                stage=number,
                place=place,
                in_channels=channels,
                out_channels=stage.width,
                stride=stage.stride if place == 0 else 1,
                in_hw=(height, width),
                kernels=stage.kernels,
                expansions=stage.expansions,
                ses=stage.ses,
                skippable=stage.skip and place > 0,
            )
            made.append(block)
            channels, (height, width) = stage.width, block.out_hw
    return tuple(made)
