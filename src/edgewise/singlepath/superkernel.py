"""One kernel that contains all smaller ones: rings around a core, groups of channels, and the norms that decide.

| symbol | meaning |
|---|---|
| w | depthwise weight of a block, (c, 1, k, k), as large as its largest choice |
| ring i | taps of the i-th kernel size that the one before it lacks; ring 0 is the core |
| group j | channels of the j-th expansion that the one before it lacks; group 0 is the first |
| d | decisions: one for each ring and group but the first, one for the first group (skip) |
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from edgewise._core.errors import SpecError


def ring_masks(kernels: Sequence[int]) -> Float[Tensor, "n k k"]:
    """Masks of 0 and 1 of the core and of each ring, all centred; their sum is all ones.

    Args:
        kernels: Sides, odd and ascending.

    Raises:
        SpecError: They are not.

    Example:
        >>> ring_masks((3, 5)).sum((1, 2)).tolist()
        [9.0, 16.0]
    """
    if not kernels or any(side % 2 == 0 or side < 1 for side in kernels) or list(kernels) != sorted(set(kernels)):
        raise SpecError(f"`kernels` must be odd and ascend, got {list(kernels)}")
    largest = kernels[-1]
    masks, before = [], torch.zeros(largest, largest)
    for side in kernels:
        edge = (largest - side) // 2
        now = torch.zeros(largest, largest)
        now[edge : largest - edge, edge : largest - edge] = 1.0
        masks.append(now - before)
        before = now
    return torch.stack(masks)


def group_masks(counts: Sequence[int]) -> Float[Tensor, "n c"]:
    """Masks of 0 and 1 of the channels that each count adds to the one before; their sum is all ones.

    Example:
        >>> group_masks((2, 3)).tolist()
        [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    places = torch.arange(counts[-1])
    starts = (0, *counts[:-1])
    return torch.stack([((places >= start) & (places < end)).float() for start, end in zip(starts, counts, strict=True)])


def nested(first: Float[Tensor, ""], rest: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    """Products from the first decision on: a later part is there only if all before it are.

    Example:
        >>> nested(torch.tensor(1.0), torch.tensor([0.0, 1.0])).tolist()
        [1.0, 0.0, 0.0]
    """
    return torch.cumprod(torch.cat([first.reshape(1), rest]), 0)


def shares(rest: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    """How much each nested choice is the one taken: products of decisions to go on, and not to go on.

    For decisions of 0 and 1 exactly one share is 1; for independent probabilities they are the choices'
    probabilities. Multilinear in the decisions.

    Example:
        >>> shares(torch.tensor([1.0, 0.0])).tolist(), shares(torch.tensor([0.5])).tolist()
        ([0.0, 1.0, 0.0], [0.5, 0.5])
    """
    reached = nested(torch.ones((), dtype=rest.dtype, device=rest.device), rest)
    return reached * torch.cat([1 - rest, torch.ones(1, dtype=rest.dtype, device=rest.device)])


def ringed(weight: Float[Tensor, "c 1 k k"], masks: Float[Tensor, "n k k"], rest: Float[Tensor, " m"]) -> Float[Tensor, "c 1 k k"]:
    """The kernel after the kernel-size decisions: core plus the rings that are there.

    Args:
        weight: The superkernel.
        masks: Of :func:`ring_masks`.
        rest: One decision for each ring after the core.
    """
    if not len(rest):
        return weight
    there = nested(torch.ones((), dtype=weight.dtype, device=weight.device), rest.to(weight.dtype))
    return weight * (there[:, None, None] * masks.to(weight.dtype)).sum(0)


def group_norm(values: Float[Tensor, "c ..."], mask: Float[Tensor, "*m"], *, scale: float | None) -> Float[Tensor, ""]:
    """L2 norm over the elements under a mask; divided by the root of their number and by ``scale`` where that is given.

    Without a scale it is the authors' norm, which grows with width. With the deviation that the weights were drawn
    with, it is about 1 at the start whatever the width. Its gradient at an all-zero group is 0.

    Args:
        values: Weights.
        mask: 0 and 1, broadcast over ``values``.
        scale: Deviation of the weights at the start, or none.

    Example:
        >>> float(group_norm(torch.full((4, 2), 3.0), torch.tensor([1.0, 1.0]), scale=3.0))
        1.0
    """
    norm: Tensor = torch.linalg.vector_norm(values * mask)
    if scale is None:
        return norm
    count = mask.expand_as(values).sum().clamp(min=1.0)
    return norm.div(torch.sqrt(count) * scale)
