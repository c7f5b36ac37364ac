"""How a network is to run on a chip, and under which accounting it is priced."""

from dataclasses import dataclass, field

from edgewise._core.errors import UsageError, unknown_name
from edgewise.cost.chip.activity import MECHANISMS
from edgewise.cost.chip.mapping import MappingRules

ACCOUNTINGS = ("gating", "reload", "static", "static-both")
"""What pruning is taken to save. ``gating``: every weight stays programmed, work is skipped. ``reload``: one layer at a time,
the kept rows of each image written anew. ``static``: the same channels for all images, their rows removed. ``static-both``:
the columns that computed them removed too."""
SCHEDULES = ("serial", "pipelined")
"""``serial``: layers one after another. ``pipelined``: all layers at once on successive images; latency is the slowest layer's."""
ADC_RULES = ("none", "exact", "puma")
"""Fewer ADC bits where fewer rows are active: never, as few as lossless, or by puma-simulator's steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChipSettings:
    """Choices beside the chip itself.

    Attributes:
        accounting: See :data:`ACCOUNTINGS`; ``dense`` prices the unpruned network.
        schedule: See :data:`SCHEDULES`.
        replication: Copies of every layer (``1``), ``balanced`` (as many as the chip holds, where they help most) or
            ``freed`` (as many as fit the arrays of the dense network).
        rules: How weights are laid out.
        mechanisms: What masks may save: rows, blocks, positions.
        adc_rule: See :data:`ADC_RULES`.
        sort_channels: Lay out often-kept channels first (gating only).
        shared_imas: Layers may share an IMA.
        convolutions_only: Leave linear layers out.
        skip_unsupported: Price what runs on arrays where other layers do not.
    """

    accounting: str = "gating"
    schedule: str = "serial"
    replication: str = "1"
    rules: MappingRules = field(default_factory=MappingRules)
    mechanisms: frozenset[str] = MECHANISMS
    adc_rule: str = "none"
    sort_channels: bool = False
    shared_imas: bool = True
    convolutions_only: bool = False
    skip_unsupported: bool = False

    def __post_init__(self) -> None:
        """Checks every name."""
        for kind, name, known in (
            ("accounting", self.accounting, (*ACCOUNTINGS, "dense")),
            ("schedule", self.schedule, SCHEDULES),
            ("ADC rule", self.adc_rule, ADC_RULES),
            ("row order", self.rules.row_order, ("channels", "taps")),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        strange = sorted(self.mechanisms - MECHANISMS)
        if strange:
            raise unknown_name("mechanism", strange[0], MECHANISMS)
        if self.replication not in ("balanced", "freed") and not (
            self.replication.isascii() and self.replication.isdigit() and int(self.replication) >= 1
        ):
            raise UsageError(f"--replication must be a number of at least 1, balanced or freed, got {self.replication!r}")
