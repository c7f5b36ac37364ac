"""Attention of a feature map, and the channels and positions that it keeps.

The equations of the tutorial: ``A_spatial(h, w)`` is the mean over channels, ``A_channel(c)`` the mean over
positions, both of the same map; the top ``k`` of each are kept, ``k = n - floor(ratio * n + 1e-9)``.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from edgewise._core.errors import UsageError, unknown_name
from edgewise.ir.gates import Gate, kept_count

RANKINGS = ("attention", "random", "lowest", "static", "oracle")
"""What is kept: the largest attention; and, for comparison, drawn entries, the smallest attention, the channels
whose filters weigh most whatever the input (L1, static), or what changes the reader's output most (oracle)."""


Scores = tuple[Float[Tensor, "b c"], Float[Tensor, "b h w"]]
"""What channels and positions are ranked by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateRules:
    """How masks are chosen, the same for all gates.

    Attributes:
        ranking: See :data:`RANKINGS`.
        channel_group: Neighbouring channels kept or pruned together, by the mean of their attention; at least 1.
        spatial_block: Side of the square blocks of positions kept or pruned together; at least 1.
        sequential: Rank channels on the map whose positions are pruned already, as the tutorial's notation may be read;
            by default both from the map as it comes.
    """

    ranking: str = "attention"
    channel_group: int = 1
    spatial_block: int = 1
    sequential: bool = False

    def __post_init__(self) -> None:
        """Checks the name and the sizes."""
        if self.ranking not in RANKINGS:
            raise unknown_name("ranking", self.ranking, RANKINGS)
        if self.channel_group < 1 or self.spatial_block < 1:
            raise UsageError(
                f"groups of channels and blocks of positions must be at least 1, got {self.channel_group} and {self.spatial_block}"
            )


def channel_attention(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """Mean of each channel over all positions, in at least single precision: rounding to bf16 would make ties."""
    return maps.mean((2, 3), dtype=_precise(maps))


def spatial_attention(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Mean of each position over all channels, in at least single precision."""
    return maps.mean(1, dtype=_precise(maps))


def top_k_mask(scores: Float[Tensor, "b n"], kept: int) -> Bool[Tensor, "b n"]:
    """Marks the ``kept`` largest scores of each row; of equal scores those that come first.

    Args:
        scores: What to rank.
        kept: Entries to mark in each row, in [0, n].

    Example:
        >>> top_k_mask(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), 2).tolist()
        [[True, True, False, False]]
    """
    if not 0 <= kept <= scores.shape[1]:
        raise UsageError(f"`kept` must lie in [0, {scores.shape[1]}], got kept={kept}")
    order = scores.argsort(dim=1, descending=True, stable=True)
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, order[:, :kept], True)


def gate_masks(
    maps: Float[Tensor, "b c h w"],
    gate: Gate,
    rules: GateRules | None = None,
    *,
    generator: torch.Generator | None = None,
    scores: Scores | None = None,
) -> tuple[Bool[Tensor, "b c"], Bool[Tensor, "b h w"]]:
    """What a gate keeps of each map: channels, and positions; both from the map as it comes.

    Args:
        maps: Feature maps as the consumer would read them.
        gate: The ratios.
        rules: How masks are chosen; attention, one by one, by default.
        generator: Where a ``random`` ranking draws from.
        scores: What to rank by in place of the attention, for channels (b, c) and positions (b, h, w).

    Returns:
        The channel mask and the position mask; with ratio 0 everything is kept.
    """
    rules = rules or GateRules()
    with torch.no_grad():
        positions = _position_mask(maps, gate.spatial_ratio, rules, generator, scores)
        ranked = maps * positions[:, None] if rules.sequential else maps
        channels = _channel_mask(ranked, gate.channel_ratio, rules, generator, scores)
    return channels, positions


def _precise(maps: Tensor) -> torch.dtype:
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def _channel_mask(maps: Tensor, ratio: float, rules: GateRules, generator: torch.Generator | None, given: Scores | None) -> Tensor:
    n_images, n_channels = maps.shape[:2]
    if ratio == 0:
        return torch.ones(n_images, n_channels, dtype=torch.bool, device=maps.device)
    scores = channel_attention(maps) if given is None else given[0]
    group = rules.channel_group
    if group > 1:
        missing = -n_channels % group
        sums = F.pad(scores, (0, missing)).reshape(n_images, -1, group).sum(2)
        sizes = F.pad(torch.ones_like(scores[:1]), (0, missing)).reshape(1, -1, group).sum(2)
        scores = sums / sizes
    kept = top_k_mask(_ranked(scores, rules, generator), kept_count(scores.shape[1], ratio))
    return kept.repeat_interleave(group, dim=1)[:, :n_channels]


def _position_mask(maps: Tensor, ratio: float, rules: GateRules, generator: torch.Generator | None, given: Scores | None) -> Tensor:
    n_images, _, height, width = maps.shape
    if ratio == 0:
        return torch.ones(n_images, height, width, dtype=torch.bool, device=maps.device)
    scores, block = spatial_attention(maps) if given is None else given[1], rules.spatial_block
    if block > 1:
        scores = F.avg_pool2d(scores[:, None], block, ceil_mode=True, count_include_pad=False)[:, 0]
    rows, columns = math.ceil(height / block), math.ceil(width / block)
    kept = top_k_mask(_ranked(scores.flatten(1), rules, generator), kept_count(rows * columns, ratio)).reshape(n_images, rows, columns)
    return kept.repeat_interleave(block, dim=1).repeat_interleave(block, dim=2)[:, :height, :width]


def _ranked(scores: Tensor, rules: GateRules, generator: torch.Generator | None) -> Tensor:
    if rules.ranking == "random":
        return torch.rand(scores.shape, generator=generator)
    return -scores if rules.ranking == "lowest" else scores
