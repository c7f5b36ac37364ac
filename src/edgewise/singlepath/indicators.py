"""Decisions that are hard going forward and soft going back."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, excess: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(excess)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401
        (excess,) = ctx.saved_tensors
        return gradients[0] * slope(excess)


def slope(excess: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Derivative of the logistic function in the form that does not vanish early: ``s(x) s(-x)``.

    ``s(x) (1 - s(x))`` in single precision is exactly 0 from x = 17 on.

    Example:
        >>> float(slope(torch.tensor(20.0))) > 2e-9
        True
    """
    return torch.sigmoid(excess) * torch.sigmoid(-excess)


def indicator(excess: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """1 where ``excess`` (norm less threshold) is 0 or more, else 0; its gradient is that of the logistic function.

    Args:
        excess: Any values.

    Example:
        >>> indicator(torch.tensor([-0.1, 0.0, 2.0])).tolist()
        [0.0, 1.0, 1.0]
    """
    return _Step.apply(excess)  # type: ignore[no-any-return]


def imposed(value: Float[Tensor, "*n"], excess: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """A decision given from outside, 0 or 1, whose gradient still reaches norm and threshold as for :func:`indicator`.

    Drawing decisions at random and learning from both values estimates what a decision costs from the slopes at
    either end, not only from where it stands.

    Args:
        value: The decisions.
        excess: Norm less threshold of each.
    """
    soft = torch.sigmoid(excess)
    return value + (soft - soft.detach())
