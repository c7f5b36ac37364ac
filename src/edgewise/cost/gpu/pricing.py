"""What kernel calls cost on a GPU that is not here, and why.

Dense convolutions take the fitted model (:mod:`edgewise.cost.gpu.model`). The traces hold 3x3
convolutions of stride 1 only: all else is extrapolated, and marked so. Depthwise
convolutions, linear layers and memory-bound operations follow the plain forms below, whose
constants are assumptions, not fits.

The traces time single calls from Python. In a network kernels are queued, so the parts of a
call that do not grow with the layer (terms ``launch`` and ``traffic``) are replaced by
:data:`KERNEL_S` for each kernel.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      calls                                       1
=========  ==========================================  ======
"""

from dataclasses import dataclass, fields

import numpy as np

from edgewise.cost.gpu.model import Choice, GpuModel
from edgewise.cost.gpu.ops import Calls, Pricing
from edgewise.cost.gpu.shapes import FLOAT_BYTES, All, ConvShapes, Many, up
from edgewise.cost.gpu.terms import COMPUTE_TERMS, LAUNCH_TERMS, TERMS, Machine

KERNEL_S = 3e-6
"""Seconds from one kernel to the next when many are queued (assumed: some microseconds on every recent GPU)."""
STREAM_SHARE = 0.8
"""Share of the bandwidth that a kernel reaches that only reads and writes (assumed)."""
CACHE_SPEED = 3.0
"""Bandwidth of the second-level cache over that of the memory (assumed: two to four on these GPUs)."""
DEPTHWISE_SHARE = 0.15
"""Share of the peak that PyTorch's fp32 depthwise kernel reaches at most (assumed: one thread an output, no reuse)."""
GEMM_TILES = ((128, 128), (128, 64), (64, 64), (32, 128), (128, 32))
"""Tiles of cuBLAS's fp32 matrix product, as the linear traces of NeuSight name them."""
GEMM_SPLITS = (1, 2, 4, 8)
"""Ways of splitting the sum, by which cuBLAS fills a GPU with few tiles."""
_STREAM_BLOCK = 512.0  # 128 threads of 4 values each, PyTorch's elementwise kernel
_STREAM_RESIDENT = 16  # such blocks in the 2,048 threads of an SM
_COMPUTE = np.array([name in COMPUTE_TERMS for name in TERMS])
_LAUNCH = np.array([name in LAUNCH_TERMS for name in TERMS])
_MEMORY = ~(_COMPUTE | _LAUNCH)
_BOUNDS = np.array(["compute", "memory", "launch"])


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What ``n`` calls cost.

    Attributes:
        latency_s: Seconds of each among back-to-back kernels.
        family: Kernel family.
        blocks: Thread blocks launched.
        waves: Rounds in which the multiprocessors work them off.
        utilisation: Blocks over the places of all waves, in (0, 1]: what the tail wave leaves unused.
        tile_utilisation: Multiply-accumulates asked for over those of the tiles, padding included; 1 for what has no
            tiles. Fused Winograd needs 4/9 of the products and non-fused 1/4: the share is of its own products.
        macs: Multiply-accumulates of the whole batch.
        bound_by: ``compute``, ``memory`` or ``launch``, whichever takes most of the time.
        extrapolated: The traces hold nothing like it.
    """

    latency_s: Many
    family: np.ndarray
    blocks: Many
    waves: Many
    utilisation: Many
    tile_utilisation: Many
    macs: Many
    bound_by: np.ndarray
    extrapolated: np.ndarray

    @property
    def throughput_macs_per_s(self) -> Many:
        """Multiply-accumulates per second."""
        return np.asarray(self.macs / self.latency_s)


@dataclass(frozen=True, kw_only=True)
class Pricer:
    """Prices calls on one GPU.

    Attributes:
        model: Fitted coefficients.
        machine: The GPU.
        batch: Images at once.
        residual: Correct what the traces cover by the learned residual.
    """

    model: GpuModel
    machine: Machine
    batch: int
    residual: bool = False

    def price(self, calls: Calls, in_channels: Many, out_channels: Many) -> Costs:
        """What calls cost at these widths.

        Args:
            calls: The calls.
            in_channels: Channels that each reads.
            out_channels: Channels that each writes.
        """
        size = len(calls)
        made = Costs(
            latency_s=np.zeros(size),
            family=np.full(size, "", dtype=object),
            blocks=np.ones(size),
            waves=np.ones(size),
            utilisation=np.ones(size),
            tile_utilisation=np.ones(size),
            macs=np.zeros(size),
            bound_by=np.full(size, "memory", dtype=object),
            extrapolated=np.ones(size, dtype=bool),
        )
        forms = {Pricing.CONV: self._conv, Pricing.LINEAR: self._linear, Pricing.DEPTHWISE: self._depthwise, Pricing.MOVE: self._move}
        for pricing, form in forms.items():
            where = calls.of_kind(pricing)
            if len(where):
                part = form(calls, where, in_channels, out_channels)
                for field in fields(Costs):
                    getattr(made, field.name)[where] = getattr(part, field.name)
        return made

    def _conv(self, calls: Calls, where: np.ndarray, in_channels: All, out_channels: All) -> Costs:
        shapes = calls.shapes(where, in_channels, out_channels, batch=self.batch)
        choice = self.model.choose(shapes, self.machine, residual=self.residual)
        families = [fit.family for fit in self.model.families]
        gaps = np.array([family.kernels * KERNEL_S for family in families])[choice.place]
        work = choice.parts_s[:, ~_LAUNCH].sum(axis=1)
        waves, used = self._waves(choice.blocks, 1)
        return Costs(
            latency_s=(work + gaps) * choice.latency_s / choice.analytic_s,
            family=np.array([family.name for family in families], dtype=object)[choice.place],
            blocks=choice.blocks,
            waves=waves,
            utilisation=used,
            tile_utilisation=self._tile_use(shapes, choice),
            macs=shapes.macs,
            bound_by=_largest(choice.parts_s[:, _COMPUTE].sum(axis=1), choice.parts_s[:, _MEMORY].sum(axis=1), gaps),
            extrapolated=shapes.traced == 0,
        )

    def _tile_use(self, shapes: ConvShapes, choice: Choice) -> Many:
        done = np.stack([fit.family.blocks(shapes) * fit.family.block_flops(shapes) / 2 for fit in self.model.families])
        share = np.array([{"ig": 1.0, "fw": 16 / 36, "nf": 36 / 144}[fit.family.kind] for fit in self.model.families])
        here = np.arange(len(shapes))
        return np.asarray(np.minimum(shapes.macs * share[choice.place] / done[choice.place, here], 1.0))

    def _linear(self, calls: Calls, where: np.ndarray, in_channels: All, out_channels: All) -> Costs:
        rows, read, written = self.batch * calls.field("repeats", where), in_channels[where], out_channels[where]
        options = [(a, b, split) for a, b in GEMM_TILES for split in GEMM_SPLITS]
        blocks = np.stack([up(written, float(a)) * up(rows, float(b)) * split for a, b, split in options])
        block_s = np.stack([2 * up(read, float(split)) * a * b for a, b, split in options]) * self.machine.multiprocessors
        compute = up(blocks, float(self.machine.multiprocessors)) * block_s / self.machine.flops_per_s
        place, here = compute.argmin(axis=0), np.arange(len(where))
        memory = FLOAT_BYTES * (read * written + rows * (read + written)) / self.machine.bytes_per_s
        least = compute[place, here]
        waves, used = self._waves(blocks[place, here], 1)
        names = np.array([f"gemm-{a}x{b}" + (f"-split{split}" if split > 1 else "") for a, b, split in options], dtype=object)
        tiles = (
            np.array([float(a * b) for a, b, _ in options])[place] * blocks[place, here] * np.array([1.0 / s for *_, s in options])[place]
        )
        return Costs(
            latency_s=least + memory + KERNEL_S,
            family=names[place],
            blocks=blocks[place, here],
            waves=waves,
            utilisation=used,
            tile_utilisation=np.minimum(rows * written / tiles, 1.0),
            macs=rows * read * written,
            bound_by=_largest(least, memory, np.full(len(where), KERNEL_S)),
            extrapolated=np.ones(len(where), dtype=bool),
        )

    def _depthwise(self, calls: Calls, where: np.ndarray, in_channels: All, out_channels: All) -> Costs:
        values = self.batch * out_channels[where] * calls.field("written_positions", where)
        macs = values * calls.field("kernel", where)
        compute = 2 * macs / (DEPTHWISE_SHARE * self.machine.flops_per_s)
        return self._streaming(
            "depthwise", calls.moved_bytes(where, in_channels, out_channels, batch=self.batch), values=values, compute_s=compute, macs=macs
        )

    def _move(self, calls: Calls, where: np.ndarray, in_channels: All, out_channels: All) -> Costs:
        values = self.batch * out_channels[where] * calls.field("written_positions", where)
        nothing = np.zeros(len(where))
        return self._streaming(
            "stream", calls.moved_bytes(where, in_channels, out_channels, batch=self.batch), values=values, compute_s=nothing, macs=nothing
        )

    def _streaming(self, family: str, moved_bytes: Many, *, values: Many, compute_s: Many, macs: Many) -> Costs:
        # A kernel finds in the cache what the one before it left there.
        cached = np.minimum(self.machine.cache_bytes / np.maximum(moved_bytes, 1.0), 1.0)
        memory = moved_bytes * (1 - cached + cached / CACHE_SPEED) / (STREAM_SHARE * self.machine.bytes_per_s)
        blocks = np.maximum(up(values, _STREAM_BLOCK), 1.0)
        waves, used = self._waves(blocks, _STREAM_RESIDENT)
        return Costs(
            latency_s=np.maximum(memory, compute_s) + KERNEL_S,
            family=np.full(len(values), family, dtype=object),
            blocks=blocks,
            waves=waves,
            utilisation=used,
            tile_utilisation=np.ones(len(values)),
            macs=macs,
            bound_by=_largest(compute_s, memory, np.full(len(values), KERNEL_S)),
            extrapolated=np.ones(len(values), dtype=bool),
        )

    def _waves(self, blocks: Many, resident: int) -> tuple[Many, Many]:
        """Waves, and the share of their places that blocks fill.

        81 blocks on 80 places are 2 waves, half of whose places stay empty: 0.50625.
        """
        places = float(self.machine.multiprocessors * resident)
        waves = up(blocks, places)
        return waves, blocks / (waves * places)


def _largest(compute_s: Many, memory_s: Many, launch_s: Many) -> np.ndarray:
    return np.asarray(_BOUNDS[np.stack([compute_s, memory_s, launch_s]).argmax(axis=0)], dtype=object)
