"""A chain with packed weights, ready to run on arrays."""

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from edgewise._core.errors import DeviceError, SpecError, UsageError
from edgewise.kernels.library import PATHS, kernel_library
from edgewise.kernels.program import CONV, Program

Array = npt.NDArray[np.float32]
_REPEATS = 4


class CompiledChain:
    """A chain over the compiled kernels.

    Safe to run from several threads; the weights are copied.
    """

    def __init__(self, program: Program, weights: Sequence[Array], biases: Sequence[Array], *, variant: str | None = None) -> None:
        """Packs the weights.

        Args:
            program: What to compute.
            weights: ``(out, in, kh, kw)`` of every convolution in order.
            biases: ``(out,)`` of every convolution.
            variant: A name of :func:`edgewise.kernels.variants`; the best by default.

        Raises:
            DeviceError: There are no compiled kernels.
            SpecError: The description or the weights are wrong.
        """
        library = kernel_library()
        if library is None:
            raise DeviceError("the sparse kernels must be compiled, and there is no C++ compiler here; install g++")
        self._library, self._program, self._handle = library, program, 0
        self._shapes = program.shapes()
        _check_weights(program, self._shapes, weights, biases)
        ints = np.array(program.ints(), np.int32)
        kept = [np.ascontiguousarray(array, np.float32) for array in (*weights, *biases)]
        places = (ctypes.c_void_p * len(kept))(*[array.ctypes.data for array in kept])
        error = ctypes.create_string_buffer(256)
        start = ctypes.addressof(places)
        name = None if variant is None else variant.encode()
        middle = start + ctypes.sizeof(ctypes.c_void_p) * len(weights)
        self._handle = library.ew_chain_create(ints.ctypes.data, len(ints), start, middle, name, error, 256)
        if not self._handle:
            raise SpecError(error.value.decode())

    def __del__(self) -> None:
        if self._handle:
            self._library.ew_chain_destroy(self._handle)
            self._handle = 0

    @property
    def program(self) -> Program:
        """What it computes."""
        return self._program

    @property
    def paths(self) -> tuple[str, ...]:
        """How each step is computed, as chosen or measured."""
        return tuple(PATHS[self._library.ew_chain_path(self._handle, number)] for number in range(len(self._program.steps)))

    def tune(self, *, batch: int, threads: int, repeats: int = _REPEATS) -> None:
        """Measures the ways of computing every gated convolution left open, and keeps the fastest."""
        if self._library.ew_chain_tune(self._handle, batch, _host(threads), repeats):
            raise DeviceError("no memory left to measure the sparse kernels; use a smaller batch")

    def run(self, maps: Array, *, threads: int = 1, out: Array | None = None) -> Array:
        """The output for a batch of maps.

        Args:
            maps: ``(n, c, h, w)``, or ``(n, h, w, c)`` where the program says so.
            threads: In all, the caller's included; at least 1.
            out: Where to write, of the output's shape.

        Raises:
            UsageError: Another shape or type, or fewer than one thread.
        """
        maps = self._checked(maps)
        out = np.empty(self.shape(len(maps)), np.float32) if out is None else out
        if len(maps) and self._library.ew_chain_run(self._handle, maps.ctypes.data, out.ctypes.data, len(maps), _host(threads)):
            raise DeviceError("no memory left for the maps of a chain; use a smaller batch")
        return out

    def run_masks(self, maps: Array, *, threads: int = 1) -> tuple[Array, dict[int, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]]:
        """The output, and what every gated step kept: ``(n, c)`` channels and ``(n, h, w)`` positions by the step's number."""
        maps = self._checked(maps)
        out = np.empty(self.shape(len(maps)), np.float32)
        shapes = {number: self._shapes[step.source] for number, step in enumerate(self._program.steps) if self._program.gated(number)}
        found = {number: np.zeros((len(maps), c + h * w), np.uint8) for number, (c, h, w) in shapes.items()}
        places = (ctypes.c_void_p * len(self._program.steps))()
        for number, mask in found.items():
            places[number] = mask.ctypes.data
        if self._library.ew_chain_run_masks(
            self._handle, maps.ctypes.data, out.ctypes.data, len(maps), _host(threads), ctypes.addressof(places)
        ):
            raise DeviceError("no memory left for the maps of a chain; use a smaller batch")
        masks = {
            number: (mask[:, : shapes[number][0]].astype(bool), mask[:, shapes[number][0] :].reshape(-1, *shapes[number][1:]).astype(bool))
            for number, mask in found.items()
        }
        return out, masks

    def run_timed(self, maps: Array, *, threads: int = 1) -> list[float]:
        """Seconds of every step in one run, what gates choose included."""
        maps = self._checked(maps)
        out = np.empty(self.shape(len(maps)), np.float32)
        times = np.zeros(len(self._program.steps), np.float64)
        if self._library.ew_chain_run_timed(self._handle, maps.ctypes.data, out.ctypes.data, len(maps), _host(threads), times.ctypes.data):
            raise DeviceError("no memory left for the maps of a chain; use a smaller batch")
        return [float(time_s) for time_s in times]

    def shape(self, batch: int) -> tuple[int, int, int, int]:
        """Shape of the output of a batch."""
        channels, height, width = self._shapes[-1]
        return (batch, channels, height, width) if self._program.layout == 0 else (batch, height, width, channels)

    def _checked(self, maps: Array) -> Array:
        channels, height, width = self._shapes[0]
        wanted = (channels, height, width) if self._program.layout == 0 else (height, width, channels)
        if maps.ndim != 4 or maps.shape[1:] != wanted or maps.dtype != np.float32:
            raise UsageError(f"`maps` must be float32 of shape (n, {', '.join(map(str, wanted))}), got {maps.dtype} of {maps.shape}")
        return np.ascontiguousarray(maps)


def _check_weights(program: Program, shapes: Sequence[tuple[int, int, int]], weights: Sequence[Array], biases: Sequence[Array]) -> None:
    convolutions = [step for step in program.steps if step.kind == CONV]
    if not len(convolutions) == len(weights) == len(biases):
        raise SpecError(
            f"a chain of {len(convolutions)} convolutions needs as many weights and biases, got {len(weights)} and {len(biases)}"
        )
    for step, weight, bias in zip(convolutions, weights, biases, strict=True):
        wanted = (step.out_channels, shapes[step.source][0], *step.kernel)
        if weight.shape != wanted or bias.shape != wanted[:1]:
            raise SpecError(f"weights must have the shape {wanted} and biases {wanted[:1]}, got {weight.shape} and {bias.shape}")


class _Pool:
    """Threads of the library's own, started once for each count."""

    def __init__(self, threads: int) -> None:
        library = kernel_library()
        assert library is not None
        self._library = library
        self._pool = library.ew_pool_create(threads)
        if not self._pool:
            raise DeviceError(f"the system must allow {threads} threads; ask for fewer")
        self.host: int = library.ew_pool_host(self._pool)


@cache
def _pool(threads: int) -> _Pool:
    return _Pool(threads)


def _host(threads: int) -> int | None:
    if threads < 1:
        raise UsageError(f"`threads` must be at least 1, got {threads}")
    return None if threads == 1 else _pool(threads).host
