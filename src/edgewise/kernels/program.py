"""A chain as plain data: what the kernels compute, step by step."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from edgewise._core.errors import SpecError

_FORMAT = 1
_HEAD = 6
_STEP = 18
CONV, SHORTCUT = 0, 1
"""Kinds of steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a chain, which writes one map. The order of fields is that of the C interface.

    Attributes:
        kind: :data:`CONV`, or :data:`SHORTCUT` (rows, columns and channels picked or padded, no weights).
        source: Map read: 0 is the input, ``i + 1`` what step ``i`` wrote.
        residual: Map added before the activation; -1 for none.
        out_channels: Channels written.
        kernel: Height and width.
        stride: Down and across.
        padding: Above and left; as much below and right.
        dilation: Down and across.
        relu: 1 for a ReLU behind the sum.
        pool: 1 for 2x2 max pooling of stride 2 behind the activation.
        kept_channels: Of the source; all its channels where nothing is pruned.
        kept_positions: Of the source; all its pixels where nothing is pruned.
        path: How it is computed, see :data:`edgewise.kernels.library.PATHS`; 0 to measure and choose.
        before: Of a shortcut: zero channels put in front, negative for channels dropped there.
    """

    kind: int = CONV
    source: int
    residual: int = -1
    out_channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    relu: int = 0
    pool: int = 0
    kept_channels: int = 1
    kept_positions: int = 1
    path: int = 0
    before: int = 0

    def __post_init__(self) -> None:
        """Checks what shapes are worked out from."""
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.padding) < 0:
            raise SpecError(
                "kernel, stride and dilation of a step must be at least 1 and padding not negative, "
                f"got {self.kernel}, {self.stride}, {self.dilation} and {self.padding}"
            )

    def ints(self) -> list[int]:
        """The step as the C interface reads it."""
        flat: list[int] = []
        for value in astuple(self):
            flat.extend(value if isinstance(value, tuple) else (value,))
        return flat


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A chain: the shape of its input, and its steps.

    Attributes:
        channels: Of the input.
        height: Of the input.
        width: Of the input.
        layout: 0 where input and output are NCHW, 1 where both are NHWC.
        steps: In running order; the last one's map is the output.

    Example:
        >>> step = Step(source=0, out_channels=8, kernel=(3, 3), padding=(1, 1), pool=1, kept_channels=4, kept_positions=16)
        >>> Program(channels=4, height=4, width=4, steps=(step,)).shapes()
        [(4, 4, 4), (8, 2, 2)]
    """

    channels: int
    height: int
    width: int
    layout: int = 0
    steps: tuple[Step, ...]

    def ints(self) -> list[int]:
        """The chain as the C interface reads it."""
        head = [_FORMAT, self.channels, self.height, self.width, self.layout, len(self.steps)]
        return head + [value for step in self.steps for value in step.ints()]

    @classmethod
    def from_ints(cls, ints: Sequence[int]) -> "Program":
        """The chain that :meth:`ints` described.

        Raises:
            SpecError: Another format, or a wrong count.
        """
        if len(ints) < _HEAD or ints[0] != _FORMAT or len(ints) != _HEAD + _STEP * ints[5]:
            raise SpecError(f"a chain must be described in format {_FORMAT} by {_HEAD} + {_STEP} * steps integers, got {len(ints)}")
        steps = tuple(_step(ints[start : start + _STEP]) for start in range(_HEAD, len(ints), _STEP))
        return cls(channels=ints[1], height=ints[2], width=ints[3], layout=ints[4], steps=steps)

    def shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of every map, the input first.

        Raises:
            SpecError: A step reads a map that is not there yet.
        """
        shapes = [(self.channels, self.height, self.width)]
        for step in self.steps:
            if not 0 <= step.source < len(shapes):
                raise SpecError(f"a step must read an earlier map, 0 to {len(shapes) - 1}, got {step.source}")
            _, height, width = shapes[step.source]
            sizes = [
                (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
                for size, pad, dilation, kernel, stride in zip(
                    (height, width), step.padding, step.dilation, step.kernel, step.stride, strict=True
                )
            ]
            shapes.append((step.out_channels, *(size // 2 if step.pool else size for size in sizes)))  # type: ignore[arg-type]
        return shapes

    def gated(self, number: int) -> bool:
        """Whether the input of a step is pruned."""
        step = self.steps[number]
        channels, height, width = self.shapes()[step.source]
        return step.kind == CONV and (step.kept_channels < channels or step.kept_positions < height * width)


def _step(ints: Sequence[int]) -> Step:
    kind, source, residual, out_channels, *sizes = ints
    pairs = [(sizes[place], sizes[place + 1]) for place in range(0, 8, 2)]
    relu, pool, kept_channels, kept_positions, path, before = sizes[8:]
    kernel, stride, padding, dilation = pairs
    return Step(
        kind=kind,
        source=source,
        residual=residual,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        relu=relu,
        pool=pool,
        kept_channels=kept_channels,
        kept_positions=kept_positions,
        path=path,
        before=before,
    )
