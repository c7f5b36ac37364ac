"""Which operation every block of a network is, as frozen data that a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise._core.errors import PlanError
from edgewise._core.showing import Card, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockChoice:
    """What one block of inverted residuals is.

    Attributes:
        block: Its position in the space; equal shapes at other positions are other blocks.
        kernel: Side of its depthwise kernel: odd.
        expansion: Inner channels for each input channel; at least 1.
        se: Channels of squeeze-and-excitation for each input channel; 0 for none.
        skip: The block is left out; the other fields then say what it would have been.

    Example:
        >>> BlockChoice(block=5, kernel=5, expansion=6).label
        '5x5-6'
    """

    block: int
    kernel: int
    expansion: int
    se: float = 0.0
    skip: bool = False

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.block < 0 or self.kernel < 1 or self.kernel % 2 == 0 or self.expansion < 1 or not 0 <= self.se <= 1:
            raise PlanError(
                "a block needs block >= 0, an odd kernel, expansion >= 1 and se in [0, 1], "
                f"got block {self.block}, kernel {self.kernel}, expansion {self.expansion}, se {self.se:g}"
            )

    @property
    def label(self) -> str:
        """The operation as the tables write it: ``5x5-6``, ``3x3-3-se0.25`` or ``skip``."""
        if self.skip:
            return "skip"
        return f"{self.kernel}x{self.kernel}-{self.expansion}" + (f"-se{self.se:g}" if self.se else "")

    def to_json(self) -> dict[str, Any]:
        """The choice as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchPlan:
    """The operation of every block of a space, in running order.

    Example:
        >>> plan = ArchPlan(blocks=(BlockChoice(block=0, kernel=3, expansion=3), BlockChoice(block=1, kernel=3, expansion=3, skip=True)))
        >>> plan.labels
        ('3x3-3', 'skip')
        >>> plan
        ArchPlan: 1 of 2 blocks
        block  kernel  expansion  SE
            0  3x3             3   —
            1  skip            —   —
    """

    blocks: tuple[BlockChoice, ...]

    def __post_init__(self) -> None:
        """Checks that positions ascend."""
        positions = [choice.block for choice in self.blocks]
        if positions != sorted(set(positions)):
            raise PlanError(f"blocks of an architecture must ascend, each once, got {positions}")

    def __repr__(self) -> str:
        """The plan as people read it."""
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()

    def _card(self) -> Card:
        rows = tuple(
            (
                one.block,
                "skip" if one.skip else f"{one.kernel}x{one.kernel}",
                *((None, None) if one.skip else (one.expansion, one.se or None)),
            )
            for one in self.blocks
        )
        left = sum(not one.skip for one in self.blocks)
        table = Table(header=("block", "kernel", "expansion", "SE"), rows=rows, numeric=(0, 2, 3))
        return Card(title=f"ArchPlan: {left} of {len(rows)} blocks", tables=(table,))

    @property
    def labels(self) -> tuple[str, ...]:
        """The operations, in running order."""
        return tuple(choice.label for choice in self.blocks)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {"kind": "architecture", "blocks": [choice.to_json() for choice in self.blocks]}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "ArchPlan":
        """The plan that :meth:`to_json` wrote.

        Raises:
            PlanError: The value is not such a plan.
        """
        try:
            if value["kind"] != "architecture":
                raise PlanError(f"`kind` of an architecture must be 'architecture', got {value['kind']!r}")
            blocks = tuple(
                BlockChoice(
                    block=int(block["block"]),
                    kernel=int(block["kernel"]),
                    expansion=int(block["expansion"]),
                    se=float(block["se"]),
                    skip=bool(block["skip"]),
                )
                for block in value["blocks"]
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"not an architecture: {error!r}") from error
        return ArchPlan(blocks=blocks)
