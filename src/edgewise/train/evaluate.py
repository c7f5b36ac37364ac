"""How often a classifier is right, and how sure it is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgewise._core.errors import DataError
from edgewise.train.batches import Batches, device_of
from edgewise.train.faults import DivergedError
from edgewise.train.gate import Gate
from edgewise.train.layout import evaluation_mode, outputs_on
from edgewise.train.memory import kept_memory


def accuracy(model: nn.Module, batches: Batches, *, gate: Gate | None = None) -> float:
    """Share of images whose largest logit is that of their class.

    The model is evaluated in evaluation mode and left in the modes it had.

    Args:
        model: Gives logits (b, classes).
        batches: Images and classes.
        gate: Passed before every batch, so that scoring can give way to a timing; none to give way to nothing.

    Returns:
        A number in [0, 1], exact.

    Raises:
        DataError: No images, or outputs that are not one logit for each class.
        DivergedError: A logit is not a number.

    Example:
        >>> images = torch.tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0]])
        >>> accuracy(nn.Identity(), [(images, torch.tensor([0, 1, 1]))]) == 2 / 3
        True
    """
    return _mean(model, batches, lambda logits, target: int((logits.argmax(1) == target).sum()), gate=gate)


def mean_cross_entropy(model: nn.Module, batches: Batches, *, gate: Gate | None = None) -> float:
    """Mean cross entropy of the logits, in nats: tells networks apart on fewer images than accuracy does.

    Arguments and errors are those of :func:`accuracy`.

    Example:
        >>> round(mean_cross_entropy(nn.Identity(), [(torch.zeros(2, 4), torch.tensor([0, 1]))]), 4)   # log 4
        1.3863
    """

    def summed(logits: Tensor, target: Tensor) -> float:
        return float(functional.cross_entropy(logits.float(), target, reduction="sum"))

    return _mean(model, batches, summed, gate=gate)


def _mean(model: nn.Module, batches: Batches, summed: Callable[[Tensor, Tensor], float], *, gate: Gate | None) -> float:
    """A sum over the images of each batch, from logits and classes; its mean over all images."""
    total, n_images = 0.0, 0
    device = device_of(model)
    with evaluation_mode(model), torch.no_grad(), kept_memory():
        for logits, target in outputs_on(model, batches, gate=gate):
            if not isinstance(logits, Tensor) or logits.ndim != 2:
                raise DataError(f"judging needs a model that gives logits (b, classes), got {_form(logits)}; pass your own evaluate")
            if torch.isnan(logits).any():
                raise DivergedError("the network's outputs contain NaN; its weights are unusable")
            total += summed(logits, target.to(device))
            n_images += len(logits)
    if n_images == 0:
        raise DataError("judging a network needs at least 1 image, got none")
    return total / n_images


def accuracy_on(model: nn.Module, batches: Batches | None, *, gate: Gate | None = None) -> float | None:
    """The accuracy on a part of the data; none where there is no such part."""
    return None if batches is None else accuracy(model, batches, gate=gate)


def _form(output: object) -> str:
    return f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
