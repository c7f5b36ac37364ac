"""From any convolutional module to a :class:`~edgewise.ir.NetSpec`, and back: exact surgery on widths."""

from edgewise.trace.scores import choose_channels, score_channels
from edgewise.trace.surgery import apply_plan
from edgewise.trace.traced import Traced
from edgewise.trace.tracing import trace

__all__ = ["Traced", "apply_plan", "choose_channels", "score_channels", "trace"]
