"""A convolution or linear layer on a crossbar chip."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise._core.errors import SpecError
from edgewise.cost.chip.mapping import local_blocks
from edgewise.crossbar.bitwise import blocks_of_cells, multiply_bitwise
from edgewise.crossbar.coding import Cells, deviation, input_digits, slice_weights, write_cells
from edgewise.crossbar.noise import programming_deviation
from edgewise.crossbar.settings import AnalogSettings

_FEW_POSITIONS = 256


class CrossbarLayer(nn.Module):
    """Computes what a convolution or linear layer does, as a crossbar chip does it.

    Inputs and weights are coded as integers, multiplied by row blocks, every block's sum converted by an ADC, and
    added digitally. Gradients pass the codings straight through, so that the layer can be trained.

    Args:
        source: The layer; its weight and bias are shared, not copied.
        settings: Converters and cells.

    Raises:
        SpecError: Another kind of layer, or a padding that is not of zeros.
    """

    def __init__(self, source: nn.Conv2d | nn.Linear, settings: AnalogSettings) -> None:
        super().__init__()
        if isinstance(source, nn.Conv2d) and (source.padding_mode != "zeros" or isinstance(source.padding, str)):
            raise SpecError(f"a crossbar layer pads with a fixed number of zeros, got {source.padding!r} ({source.padding_mode})")
        self.weight, self.bias = source.weight, source.bias
        self.settings = settings
        self.geometry = _Geometry(source)
        self.blocks: Tensor
        self.input_scale: Tensor
        self.input_signed: Tensor
        self.digit_use: Tensor
        self.largest_seen: Tensor
        own, taps = self.geometry.channels // self.geometry.groups, self.geometry.taps
        blocks = torch.from_numpy(local_blocks(own, taps, settings.rows, settings.rules)).flatten()
        self.register_buffer("blocks", blocks, persistent=False)
        self.register_buffer("input_scale", torch.ones(()), persistent=False)
        self.register_buffer("input_signed", torch.ones((), dtype=torch.bool), persistent=False)
        self.register_buffer("digit_use", torch.ones(()), persistent=False)
        self.register_buffer("largest_seen", torch.zeros(()), persistent=False)
        self.register_buffer("moved", None, persistent=False)
        self.moved: Tensor | None
        self.cells: Cells | None = None
        self.generator: torch.Generator | None = None
        self.seen = (0.0, 0.0)

    def set_input_range(self, low: float, high: float) -> None:
        """Sets the range of inputs that the codes cover, seen in calibration."""
        bits = self.settings.input_bits
        signed = low < 0
        top = (2 ** (bits - 1) - 1 if signed else 2**bits - 1) if bits else 1
        reach = max(abs(low), abs(high)) if signed else high
        self.input_scale.fill_(reach / top if bits and reach > 0 else 1.0)
        self.input_signed.fill_(signed)

    def program(self, generator: torch.Generator | None) -> None:
        """Writes the present weights into cells with the noise of one chip; none erases: ideal cells.

        Args:
            generator: Draws the cells' deviations, and later those of every read.
        """
        self.moved, self.cells, self.generator = None, None, generator
        if self.settings.weight_bits == 0 or (generator is None and self.settings.mode == "folded"):
            return
        with torch.no_grad():
            codes, _ = self._weight_codes()
            cells = write_cells(self.geometry.as_rows(codes).long(), self.blocks, self.settings, generator)
            if self.settings.noise.moves_levels and generator is not None:
                self.moved = self.geometry.from_rows(deviation(cells, self.blocks, self.settings))
            self.cells = cells if self.settings.mode == "bitwise" or self.settings.noise.read else None

    def draw_deviation(self, generator: torch.Generator) -> None:
        """Draws the summed programming error of every weight at once, for training: the same variances, none of the cells."""
        with torch.no_grad():
            self.moved = torch.randn(self.weight.shape, generator=generator) * self.deviation_sigma()

    def deviation_sigma(self) -> Tensor:
        """Standard deviation of every effective weight's error from programming alone, in units of its code."""
        with torch.no_grad():
            codes, _ = self._weight_codes()
            return self.geometry.from_rows(_sigma(self.geometry.as_rows(codes).long(), self.blocks, self.settings))

    def forward(self, inputs: Tensor) -> Tensor:
        """What the chip computes; same shapes as the layer it stands for."""
        codes = self._input_codes(inputs)
        weights, weight_scale = self._weight_codes()
        if self.moved is not None:
            weights = weights + self.moved.to(weights.dtype)
        if self.settings.mode == "bitwise":
            product = self._bitwise(codes)
        elif self.settings.adc_bits == 0 and not self.settings.noise.read:
            product = self.geometry.multiply(codes, weights)
        else:
            product = self._by_blocks(codes, weights)
        result = product * (self.input_scale * weight_scale).to(product.dtype)
        return self.geometry.with_bias(result.to(inputs.dtype), self.bias)

    def input_codes(self, inputs: Tensor) -> Tensor:
        """Inputs in units of their code, as real numbers."""
        return self._input_codes(inputs)

    def weight_codes(self) -> Tensor:
        """Weights in units of their code."""
        return self._weight_codes()[0].detach()

    @property
    def exact(self) -> bool:
        """Whether the product is that of the integers: ideal cells and a lossless ADC."""
        return self.moved is None and not self.settings.noise.read and self.settings.lossless

    def _input_codes(self, inputs: Tensor) -> Tensor:
        bits = self.settings.input_bits
        if bits == 0:
            return inputs
        signed = bool(self.input_signed)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        scaled = inputs / self.input_scale
        codes = scaled.round().clamp(low, high)
        return scaled + (codes - scaled).detach() if inputs.requires_grad else codes

    def _weight_codes(self) -> tuple[Tensor, Tensor]:
        bits = self.settings.weight_bits
        if bits == 0:
            return self.weight, torch.ones(())
        top = 2 ** (bits - 1) - 1
        scale = self.weight.detach().abs().amax().clamp_min(1e-12) / top
        scaled = self.weight / scale
        codes = scaled.detach().round().clamp(-top, top)
        return scaled + (codes - scaled).detach() if self.weight.requires_grad else codes, scale

    def _by_blocks(self, codes: Tensor, weights: Tensor) -> Tensor:
        """One product and one quantisation for each row block."""
        precise = self.exact and self.settings.weight_bits + self.settings.input_bits + self.settings.rows.bit_length() > 24
        dtype = torch.float64 if precise else codes.dtype
        rows = self.geometry.columns(codes.to(dtype))
        matrix = self.geometry.as_groups(weights.to(dtype))
        step = self._folded_step()
        plain = not (rows.requires_grad or matrix.requires_grad)
        total: Tensor | None = None
        for block in range(int(self.blocks.max()) + 1):
            chosen = rows_of(self.blocks, block)
            part = matrix[:, chosen].transpose(1, 2) @ rows[:, :, chosen]
            if self.settings.noise.read and self.generator is not None:
                part = part + self._read_noise(codes, chosen, part)
            if step:
                part = part.div_(step).round_().mul_(step) if plain else part + ((part / step).round() * step - part).detach()
            total = part if total is None else total + part
        assert total is not None
        return self.geometry.from_columns(total, codes)

    def _folded_step(self) -> float:
        """One step that errs as much as all conversions of a block together; 1 where they do not err at all."""
        step = self.settings.adc_step(float(self.largest_seen))
        if step == 0 or self.exact:
            return step
        spread = slice_weights(self.settings).square().sum().sqrt() * self._digit_spread()
        return step * float(spread)

    def _digit_spread(self) -> float:
        """Root of the summed squares of digit weights, each counted as often as any row of a block drives it."""
        if self.digit_use.ndim == 0:
            digits = input_digits(torch.zeros((), dtype=torch.int64), self.settings, signed=bool(self.input_signed))
            return math.sqrt(sum(weight**2 for _, weight in digits))
        return math.sqrt(float(self.digit_use.sum()))

    def _read_noise(self, codes: Tensor, chosen: slice | Tensor, part: Tensor) -> Tensor:
        """What reads of one block's cells deviate by: independent of each other and of every other read."""
        assert self.cells is not None
        squares = digit_squares(codes.detach().long(), self.settings, signed=bool(self.input_signed)).to(part.dtype)
        held = self.cells.held + self.settings.off_share / (1 - self.settings.off_share) * self.settings.top_level
        worth = torch.einsum("k,kro->ro", slice_weights(self.settings).square().to(held.dtype), held.square())
        variance = (
            self.geometry.group_columns(worth).to(part.dtype)[:, chosen].transpose(1, 2) @ self.geometry.columns(squares)[:, :, chosen]
        )
        return torch.randn(part.shape, generator=self.generator, dtype=part.dtype) * variance.clamp_min(0).sqrt() * self.settings.noise.read

    def _bitwise(self, codes: Tensor) -> Tensor:
        """Every digit, slice and row block converted by itself."""
        if self.cells is None:
            self.program(None)
        geometry, rows = self.geometry, [rows_of(self.blocks, block) for block in range(int(self.blocks.max()) + 1)]
        step = self.settings.adc_step(float(self.largest_seen))
        with torch.no_grad():
            windows = geometry.windows(codes.detach())
            total = torch.zeros(len(windows), geometry.groups, geometry.own_outputs, windows.shape[3], dtype=torch.float64)
            for group in range(geometry.groups):
                own = slice(group * geometry.own_outputs, (group + 1) * geometry.own_outputs)
                blocks = blocks_of_cells(cast(Cells, self.cells), rows, own, self.settings)
                flat = windows[:, group].permute(0, 2, 1).reshape(-1, geometry.own_rows).int()
                found = multiply_bitwise(flat, blocks, self.settings, signed=bool(self.input_signed), step=step, generator=self.generator)
                total[:, group] = found.reshape(len(windows), -1, geometry.own_outputs).permute(0, 2, 1)
            return geometry.from_windows(total, codes)


class _Geometry:
    """Shapes of the layer that is stood for, and the same product in several forms."""

    def __init__(self, source: nn.Conv2d | nn.Linear) -> None:
        self.is_conv = isinstance(source, nn.Conv2d)
        self.stride, self.padding, self.dilation, self.kernel = (1, 1), (0, 0), (1, 1), (1, 1)
        self.groups = 1
        if isinstance(source, nn.Conv2d):
            self.channels, self.outputs, self.groups = source.in_channels, source.out_channels, source.groups
            self.stride = cast(tuple[int, int], source.stride)
            self.padding = cast(tuple[int, int], source.padding)
            self.dilation = cast(tuple[int, int], source.dilation)
            self.kernel = cast(tuple[int, int], source.kernel_size)
        else:
            self.channels, self.outputs = source.in_features, source.out_features
        self.taps = self.kernel[0] * self.kernel[1]
        self.own_outputs = self.outputs // self.groups
        self.own_rows = self.channels // self.groups * self.taps
        self.weight_shape = source.weight.shape

    def as_rows(self, weight: Tensor) -> Float[Tensor, "r o"]:
        """The weight as rows of one group and columns of all groups."""
        return weight.reshape(self.outputs, self.own_rows).T

    def from_rows(self, matrix: Tensor) -> Tensor:
        """The inverse of :meth:`as_rows`."""
        return matrix.T.reshape(self.weight_shape)

    def as_groups(self, weight: Tensor) -> Float[Tensor, "g r o"]:
        """The weight as a matrix for each group."""
        return weight.reshape(self.groups, self.own_outputs, self.own_rows).transpose(1, 2)

    def group_columns(self, matrix: Float[Tensor, "r o"]) -> Float[Tensor, "g r q"]:
        """A matrix of rows and all columns, by groups."""
        return matrix.reshape(self.own_rows, self.groups, self.own_outputs).permute(1, 0, 2)

    def windows(self, inputs: Tensor) -> Float[Tensor, "b g r p"]:
        """What every output position reads, rows by group."""
        if not self.is_conv:
            return inputs.reshape(-1, 1, self.channels).permute(1, 2, 0)[None]
        columns = F.unfold(inputs, self.kernel, dilation=self.dilation, padding=self.padding, stride=self.stride)
        return columns.reshape(len(inputs), self.groups, self.own_rows, -1)

    def columns(self, inputs: Tensor) -> Float[Tensor, "a g r q"]:
        """The windows with images beside positions where positions are few: one large product takes less than many small ones."""
        found = self.windows(inputs)
        if found.shape[3] >= _FEW_POSITIONS or len(found) == 1:
            return found
        return found.permute(1, 2, 0, 3).reshape(1, self.groups, self.own_rows, -1)

    def from_columns(self, product: Float[Tensor, "a g o q"], inputs: Tensor) -> Tensor:
        """The product of :meth:`columns` in the shape of the layer's output."""
        if self.is_conv and len(product) != len(inputs):
            product = product.reshape(self.groups, self.own_outputs, len(inputs), -1).permute(2, 0, 1, 3)
        return self.from_windows(product, inputs)

    def from_windows(self, product: Float[Tensor, "b g o p"], inputs: Tensor) -> Tensor:
        """The product in the shape of the layer's output."""
        if not self.is_conv:
            return product[0, 0].T.reshape(*inputs.shape[:-1], self.outputs)
        sizes = [
            (inputs.shape[2 + axis] + 2 * self.padding[axis] - self.dilation[axis] * (self.kernel[axis] - 1) - 1) // self.stride[axis] + 1
            for axis in range(2)
        ]
        return product.reshape(len(inputs), self.outputs, sizes[0], sizes[1])

    def multiply(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """The layer's own product, without bias."""
        if not self.is_conv:
            return F.linear(inputs, weights)
        return F.conv2d(inputs, weights, None, self.stride, self.padding, self.dilation, self.groups)

    def with_bias(self, product: Tensor, bias: Tensor | None) -> Tensor:
        """The product plus the bias of each output channel."""
        if bias is None:
            return product
        return product + (bias.reshape(1, -1, 1, 1) if self.is_conv else bias)


def digit_squares(codes: Tensor, settings: AnalogSettings, *, signed: bool) -> Tensor:
    """``sum_d (a_d x_d)**2`` of every input: what independent errors of its digits add up to."""
    bits = settings.input_bits
    every = torch.arange(2**bits) - (2 ** (bits - 1) if signed else 0)
    total = torch.zeros(len(every), dtype=torch.float64)
    for digit, weight in input_digits(every, settings, signed=signed):
        total += (weight * digit.double()).square()
    return total[codes + (2 ** (bits - 1) if signed else 0)]


def rows_of(blocks: Tensor, block: int) -> slice | Tensor:
    """Rows of a block, as a slice where they lie together."""
    rows = torch.nonzero(blocks == block).flatten()
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def _sigma(codes: Tensor, blocks: Tensor, settings: AnalogSettings) -> Tensor:
    """Root of the summed squares of the programming deviations of each weight's cells."""
    total = torch.zeros(codes.shape)
    worth = slice_weights(settings).square().float()
    parts = (codes.clamp_min(0), (-codes).clamp_min(0)) if settings.encoding == "differential" else (codes,)
    off, top = settings.off_share, settings.top_level
    for part in parts:
        cells = write_cells(part, blocks, settings, None)
        share = off + cells.written / top * (1 - off)
        sigma = programming_deviation(share, settings.noise) / (1 - off) * top
        total += torch.einsum("k,kro->ro", worth, sigma.square())
    return total.sqrt()
