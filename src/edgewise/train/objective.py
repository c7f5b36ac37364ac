"""What fine-tuning minimises."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from edgewise._core.errors import UsageError

Loss = Callable[[Any, Any], Tensor]
"""A scalar from a model's output and the target."""


def cross_entropy(label_smoothing: float) -> Loss:
    """The mean cross entropy of logits (b, classes) against classes (b), with the target smoothed by ``label_smoothing`` in [0, 1)."""

    def loss(logits: Any, target: Any) -> Tensor:  # noqa: ANN401 - told apart below
        if not isinstance(logits, Tensor):
            raise UsageError(
                f"the built-in loss needs a model that gives logits (b, classes), got {type(logits).__name__}; pass your own loss"
            )
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)

    return loss


def distillation(student: Float[Tensor, "b classes"], teacher: Float[Tensor, "b classes"], *, temperature: float) -> Float[Tensor, ""]:
    """Mean divergence of the student's softened probabilities from the teacher's, times the squared temperature.

    ``T**2 * mean_b KL(softmax(teacher / T) || softmax(student / T))``: Hinton, Vinyals and
    Dean 2015, section 2; the factor keeps gradients of one size whatever the temperature.

    Args:
        student: Logits to be taught.
        teacher: Logits of the original network.
        temperature: Positive; higher looks more at unlikely classes.

    Returns:
        A scalar, not negative; zero exactly where both agree.

    Example:
        >>> even, sure = torch.zeros(1, 2), torch.tensor([[0.0, 2.0]])
        >>> round(distillation(even, sure, temperature=2.0).item(), 4)   # 4 * KL((0.269, 0.731) || (0.5, 0.5))
        0.4438
    """
    soft_student, soft_teacher = F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)
    return F.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True) * temperature**2


def as_float(value: Tensor) -> Tensor:
    """Floating tensors in at least single precision, so that no loss is summed in bf16; others as they are."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
