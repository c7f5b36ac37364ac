"""Latency of one kind of layer as a function of its two widths, from a few timings.

A kernel works on blocks of channels, so its latency depends on the widths rounded up to
the step of each side, with a little extra where the last block is part full::

    L(c, n) = c0 + a*C + b*N + d*C*N + tail(n) * (e + f*C)        C, N: widths rounded up to their steps

(Blackthorn's step model in two dimensions.) The coefficients are not negative and fitted
to relative errors; what they leave is interpolated between the timed pairs, so that a
timed pair is given back nearly as timed.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``c``      input channels of the layer                 1
``n``      output channels of the layer                1
``L``      latency of the layer                        s
=========  ==========================================  ======
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from edgewise._core.errors import SpecError

_SMOOTHING = 0.02
_SHARPNESS = 3.0
_TAILS = {False: 4, True: 2}
"""Place of the first term of a part-full block, by ``one_width``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """One timed pair of widths."""

    in_channels: int
    out_channels: int
    latency_s: float


@dataclass(frozen=True, kw_only=True)
class LatencySurface:
    """Latency over input and output width.

    Attributes:
        in_step: Channels in a step of the input width; 1 where latency is smooth.
        out_step: Channels in a step of the output width; 1 where latency is smooth.
        one_width: Input and output width are the same (depthwise, pooling): only ``out_channels`` counts.
        timings: The pairs it was fitted to.
        coefficients: Weights of the features, in the order of :meth:`features`, in seconds.
    """

    in_step: int
    out_step: int
    one_width: bool
    timings: tuple[Timing, ...]
    coefficients: tuple[float, ...]

    def latency_s(self, in_channels: int, out_channels: int) -> float:
        """Seconds at these widths; positive.

        Example:
            >>> pairs = [(c, n) for c in (16, 32, 64) for n in (16, 32, 64)]
            >>> timings = [Timing(in_channels=c, out_channels=n, latency_s=1e-6 * c * n) for c, n in pairs]
            >>> surface = fit_surface(timings, in_step=1, out_step=16, one_width=False)
            >>> round(surface.latency_s(48, 33) / 48e-6)
            48
        """
        base = self._base(in_channels, out_channels)
        return max(base * math.exp(self._left_over(in_channels, out_channels)), 1e-9)

    def features(self, in_channels: int, out_channels: int) -> tuple[float, ...]:
        """Terms of the step model at these widths."""
        return _features(in_channels, out_channels, in_step=self.in_step, out_step=self.out_step, one_width=self.one_width)

    @cached_property
    def _residuals(self) -> tuple[Float[np.ndarray, "pairs 3"], Float[np.ndarray, " pairs"]]:
        places = np.array([self._place(timing.in_channels, timing.out_channels) for timing in self.timings])
        ratios = [timing.latency_s / self._base(timing.in_channels, timing.out_channels) for timing in self.timings]
        return places, np.log(np.array(ratios))

    def _base(self, in_channels: int, out_channels: int) -> float:
        return max(float(np.dot(self.coefficients, self.features(in_channels, out_channels))), 1e-9)

    def _place(self, in_channels: int, out_channels: int) -> tuple[float, float, float]:
        wide_in, wide_out = _up(in_channels, self.in_step), _up(out_channels, self.out_step)
        tail = 0.0 if out_channels % self.out_step == 0 else 1.0
        return (0.0 if self.one_width else math.log(wide_in), math.log(wide_out), tail)

    def _left_over(self, in_channels: int, out_channels: int) -> float:
        """What the step model leaves, in log, weighted by nearness to the timed pairs (Shepard's method)."""
        places, left = self._residuals
        distance = np.sqrt(((places - np.array(self._place(in_channels, out_channels))) ** 2).sum(axis=1)) + _SMOOTHING
        weight = distance**-_SHARPNESS
        return float((weight * left).sum() / weight.sum())


def fit_surface(timings: Sequence[Timing], *, in_step: int, out_step: int, one_width: bool) -> LatencySurface:
    """Fits the step model to timed pairs.

    Args:
        timings: Timed pairs, at least one; latencies are positive.
        in_step: Step of the input width.
        out_step: Step of the output width.
        one_width: Input and output width are the same.

    Raises:
        SpecError: No timings, or one that is not positive.
    """
    if not timings or min(timing.latency_s for timing in timings) <= 0:
        raise SpecError(f"`timings` must hold at least one pair, all with positive latency, got {list(timings)[:3]}")
    rows = np.array(
        [_features(timing.in_channels, timing.out_channels, in_step=in_step, out_step=out_step, one_width=one_width) for timing in timings]
    )
    latencies = np.array([timing.latency_s for timing in timings])
    if all(timing.out_channels % out_step for timing in timings):
        rows[:, _TAILS[one_width] :] = 0.0  # with no width on an edge, nothing tells a part-full block from the constant
    scale = rows.max(axis=0)
    scale[scale == 0] = 1.0
    relative = rows / scale / latencies[:, None]
    solution, _ = nnls(relative, np.ones(len(latencies)))
    coefficients = tuple(float(value) for value in solution / scale)
    return LatencySurface(in_step=in_step, out_step=out_step, one_width=one_width, timings=tuple(timings), coefficients=coefficients)


def held_out_error(timings: Sequence[Timing], held_out: Sequence[Timing], *, in_step: int, out_step: int, one_width: bool) -> float:
    """Median relative error on pairs that were timed but not fitted to; 0 where there are none."""
    if not held_out:
        return 0.0
    surface = fit_surface(timings, in_step=in_step, out_step=out_step, one_width=one_width)
    errors = [abs(surface.latency_s(pair.in_channels, pair.out_channels) / pair.latency_s - 1) for pair in held_out]
    return float(np.median(errors))


def _features(in_channels: int, out_channels: int, *, in_step: int, out_step: int, one_width: bool) -> tuple[float, ...]:
    wide_out = float(_up(out_channels, out_step))
    tail = 0.0 if out_channels % out_step == 0 else 1.0
    if one_width:
        return (1.0, wide_out, tail)
    wide_in = float(_up(in_channels, in_step))
    return (1.0, wide_in, wide_out, wide_in * wide_out, tail, tail * wide_in)


def _up(width: int, step: int) -> int:
    return -(-width // step) * step
