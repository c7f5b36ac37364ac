"""The expected runtime of a block, differentiable in its decisions."""

import torch
from jaxtyping import Float
from torch import Tensor

from edgewise._core.errors import UsageError
from edgewise.singlepath.superkernel import shares


def block_runtime(
    table: Float[Tensor, "k e s"],
    rings: Float[Tensor, " r"],
    skip: Float[Tensor, ""],
    *,
    groups: Float[Tensor, " g"],
    ses: Float[Tensor, " q"],
) -> Float[Tensor, ""]:
    """Runtime as a multilinear function of the decisions: the sum over choices of how much each is taken, times its price.

    Equal to the table's entry where decisions are 0 and 1; the expectation where they are independent probabilities.

    Args:
        table: Price of each choice, in any unit.
        rings: Decisions for kernel sizes after the first.
        skip: 1 where the block is there.
        groups: Decisions for expansions after the first.
        ses: Decisions for ratios after the first.

    Example:
        >>> table = torch.tensor([[[1.0], [2.0]], [[3.0], [5.0]]])
        >>> one = torch.ones(1)
        >>> float(block_runtime(table, one, one[0], groups=0 * one, ses=one[:0]))
        3.0
    """
    return skip * torch.einsum("kes,k,e,s->", table, shares(rings), shares(groups), shares(ses))


def ratio_runtime(
    table: Float[Tensor, "k e s"], rings: Float[Tensor, " r"], skip: Float[Tensor, ""], *, groups: Float[Tensor, " g"]
) -> Float[Tensor, ""]:
    """The authors' form: kernel 3 costs ``R[3x3-6] / R[5x5-6]`` of kernel 5 whatever the expansion; 3x3-3 is never read.

    ``Rc = d50 (R[5x5-3] + d100 (R[5x5-6] - R[5x5-3]))``, ``R = rho Rc + (1 - rho) d5 Rc`` (superkernel.py of the
    authors' release).

    Args:
        table: Price of each choice: two kernels, two expansions.
        rings: Decision for the larger kernel.
        skip: 1 where the block is there.
        groups: Decision for the larger expansion.

    Raises:
        UsageError: The table has another number of choices.
    """
    if tuple(table.shape) != (2, 2, 1):
        raise UsageError(
            f"the authors' ratio form is for two kernels, two expansions and no squeeze-and-excitation, got {tuple(table.shape)} choices; "
            "use the runtime term `table`"
        )
    rho = table[0, 1, 0] / table[1, 1, 0]
    inner = skip * (table[1, 0, 0] + groups[0] * (table[1, 1, 0] - table[1, 0, 0]))
    return rho * inner + (1 - rho) * rings[0] * inner
