"""A block that is all of its choices at once."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from edgewise.models.mobile import activation_of
from edgewise.singlepath.gates import GateLayout, Steering, layout_of
from edgewise.singlepath.runtime import block_runtime, ratio_runtime
from edgewise.singlepath.settings import Form, Runtime
from edgewise.singlepath.superkernel import group_masks, group_norm, nested, ring_masks, ringed
from edgewise.space import BlockSpace


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What a block decided.

    Attributes:
        rings: For kernel sizes after the first.
        skip: 1 where the block is there.
        groups: For expansions after the first.
        ses: For ratios of squeeze-and-excitation after the first.
    """

    rings: Float[Tensor, " r"]
    skip: Float[Tensor, ""]
    groups: Float[Tensor, " g"]
    ses: Float[Tensor, " q"]


class SuperExcite(nn.Module):
    """Squeeze-and-excitation as large as the largest ratio; smaller ratios are its first channels, and none is its absence."""

    def __init__(self, block: BlockSpace, channels: int) -> None:
        """Builds the two pointwise convolutions."""
        super().__init__()
        self._optional = block.ses[0] == 0
        counts = [block.reduced(ratio) for ratio in block.ses if ratio]
        self.reduce = nn.Conv2d(channels, counts[-1], 1)
        self.expand = nn.Conv2d(counts[-1], channels, 1)
        self.scale = math.sqrt(2 / channels)
        nn.init.normal_(self.reduce.weight, std=self.scale)
        nn.init.normal_(self.expand.weight, std=0.01)
        nn.init.zeros_(self.reduce.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.expand.bias)  # type: ignore[arg-type]
        self.register_buffer("masks", group_masks(counts), persistent=False)
        self.masks: Tensor

    def norms(self, *, relative: bool) -> list[Tensor]:
        """Norm of the rows that each decision adds."""
        first = 0 if self._optional else 1
        scale = self.scale if relative else None
        return [group_norm(self.reduce.weight, mask[:, None, None, None], scale=scale) for mask in self.masks[first:]]

    def forward(self, maps: Float[Tensor, "b c h w"], decided: Float[Tensor, " q"]) -> Float[Tensor, "b c h w"]:
        """The maps weighed by as much of it as was decided."""
        one = torch.ones((), dtype=decided.dtype, device=decided.device)
        there = nested(decided[0], decided[1:]) if self._optional else nested(one, decided)
        rows = (there[:, None] * self.masks).sum(0)[:, None, None]
        hidden = torch.relu(self.reduce(maps.mean((2, 3), keepdim=True))) * rows
        weights = torch.sigmoid(self.expand(hidden))
        return maps * (1 + there[0] * (weights - 1) if self._optional else weights)


class SuperBlock(nn.Module):
    """An inverted-residual block at its largest, with decisions on its depthwise kernel.

    In the form ``exact`` a closed group's channels leave their norm as zeros and a closed block adds nothing, so that
    closing gates computes the smaller block itself, in training and in evaluation. In the form ``published`` the
    depthwise kernel alone is masked: closed channels emit a constant, which the next norm removes in training only.

    Args:
        block: Where it stands, and what it may be.
        form: How decisions act.
        activation: ``relu`` or ``relu6``.
    """

    def __init__(self, block: BlockSpace, *, form: Form = "exact", activation: str = "relu") -> None:
        super().__init__()
        self.block, self.form, self.layout = block, form, layout_of(block)
        counts = [block.in_channels * expansion for expansion in block.expansions]
        inner, side = counts[-1], block.kernels[-1]
        self.expand = nn.Conv2d(block.in_channels, inner, 1, bias=False) if block.expansions[-1] > 1 else None
        self.expand_norm = nn.BatchNorm2d(inner) if self.expand is not None else None
        self.depthwise = nn.Conv2d(inner, inner, side, stride=block.stride, padding=side // 2, groups=inner, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inner)
        self.se = SuperExcite(block, inner) if block.ses[-1] else None
        self.project = nn.Conv2d(inner, block.out_channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(block.out_channels)
        self.act = activation_of(activation)
        self.scale = math.sqrt(2 / side**2)
        self.register_buffer("rings", ring_masks(block.kernels), persistent=False)
        self.register_buffer("groups", group_masks(counts), persistent=False)
        self.rings: Tensor
        self.groups: Tensor
        self._draw()

    def _draw(self) -> None:
        for conv in (self.expand, self.project):
            if conv is not None:
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        # The authors' deviation: their depthwise layer counts one output, whatever the width.
        nn.init.normal_(self.depthwise.weight, std=self.scale)

    def decide(self, thresholds: Float[Tensor, " g"], steering: Steering) -> tuple[Float[Tensor, " g"], Float[Tensor, " g"]]:
        """Norm less threshold of every gate, and the decisions.

        The norms of channel groups are those of the kernel after the ring decisions, so decisions are coupled.

        Args:
            thresholds: One for each gate of the block.
            steering: How decisions come about.
        """
        if not self.layout.total:
            return thresholds, thresholds
        n_rings = self.layout.rings
        weight = self.depthwise.weight
        excess = thresholds[:0]
        decided = excess
        if n_rings:
            excess = self._ring_norms() - thresholds[:n_rings]
            decided = steering.part(0, n_rings).decide(excess)
        if self.layout.total > n_rings:
            kernel = ringed(weight, self.rings, decided)
            rest = torch.stack(self._rest_norms(kernel)) - thresholds[n_rings:]
            excess = torch.cat([excess, rest])
            decided = torch.cat([decided, steering.part(n_rings, self.layout.total).decide(rest)])
        return excess, decided

    def forward(self, maps: Float[Tensor, "b c h w"], decided: Float[Tensor, " g"]) -> Float[Tensor, "b k p q"]:
        """The block's maps as decided, plus the input where shapes allow.

        Args:
            maps: Its input.
            decided: One decision for each of its gates.
        """
        how = split(decided, self.layout)
        inner = maps
        if self.expand is not None and self.expand_norm is not None:
            inner = self.act(self.expand_norm(self.expand(maps)))
        there = nested(torch.ones_like(how.skip), how.groups)
        channels = (there[:, None] * self.groups).sum(0)
        kernel = ringed(self.depthwise.weight, self.rings, how.rings)
        exact = self.form == "exact"
        if not exact:
            kernel = kernel * (how.skip * channels)[:, None, None, None]
        inner = F.conv2d(inner, kernel, stride=self.block.stride, padding=self.block.kernels[-1] // 2, groups=kernel.shape[0])
        inner = self.act(gated_norm(inner, self.depthwise_norm, channels if exact and self.layout.groups else None))
        if self.se is not None:
            inner = self.se(inner, how.ses)
        out = gated_norm(self.project(inner), self.project_norm, how.skip if exact and self.layout.skip else None)
        return maps + out if self.block.residual else out

    def runtime(self, decided: Float[Tensor, " g"], table: Float[Tensor, "k e s"], *, form: Runtime) -> Float[Tensor, ""]:
        """Its runtime, in the unit of the table, differentiable in the decisions."""
        how = split(decided, self.layout)
        if form == "ratio":
            return ratio_runtime(table, how.rings, how.skip, groups=how.groups)
        return block_runtime(table, how.rings, how.skip, groups=how.groups, ses=how.ses)

    def _ring_norms(self) -> Tensor:
        scale = self.scale if self.form == "exact" else None
        return torch.stack([group_norm(self.depthwise.weight, ring, scale=scale) for ring in self.rings[1:]])

    def _rest_norms(self, kernel: Tensor) -> list[Tensor]:
        relative = self.form == "exact"
        first = 0 if self.layout.skip else 1
        norms = [group_norm(kernel, mask[:, None, None, None], scale=self.scale if relative else None) for mask in self.groups[first:]]
        return norms + (self.se.norms(relative=relative) if self.se is not None and self.layout.ses else [])


def split(decided: Float[Tensor, " g"], layout: GateLayout) -> Decisions:
    """A block's decisions by what they decide; a block that may not be left out is there."""
    rings, skip, groups, ses = layout.parted(decided)
    there = skip[0] if layout.skip else torch.ones((), dtype=decided.dtype, device=decided.device)
    return Decisions(rings=rings, skip=there, groups=groups, ses=ses)


def gated_norm(maps: Float[Tensor, "b c h w"], norm: nn.BatchNorm2d, gate: Float[Tensor, "*c"] | None) -> Float[Tensor, "b c h w"]:
    """A batch norm whose scale and shift are multiplied by a gate: a closed channel is exactly 0 behind it.

    Costs no memory beyond the norm's own; statistics are kept as the norm keeps them.

    Args:
        maps: Its input.
        norm: The norm.
        gate: One factor, or one for each channel; none for the norm as it is.
    """
    if gate is None:
        return norm(maps)  # type: ignore[no-any-return]
    momentum = norm.momentum
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / float(norm.num_batches_tracked)
    return F.batch_norm(
        maps, norm.running_mean, norm.running_var, norm.weight * gate, norm.bias * gate, norm.training, momentum or 0.0, norm.eps
    )
