"""Batch-norm statistics measured anew: after surgery the old ones describe channels that are gone."""

from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgewise._core.errors import DataError, UsageError
from edgewise.train.batches import Batches
from edgewise.train.faults import DivergedError
from edgewise.train.gate import Gate
from edgewise.train.layout import evaluation_mode, outputs_on
from edgewise.train.memory import kept_memory

N_BATCHES = 50
"""Batches that statistics are averages over."""


def recalibrate_batch_norm(model: nn.Module, batches: Batches, *, n_batches: int = N_BATCHES, gate: Gate | None = None) -> int:
    """Replaces the running statistics of every batch norm by their averages over batches; changes ``model``.

    Each running mean becomes the average of the batches' means, each running variance the
    average of their unbiased variances, all batches weighing the same; weights stay. Only
    batch norms are in training mode meanwhile, so dropout and the like are off as they
    will be in use. Modes and momenta are left as they were.

    Args:
        model: The network; one without batch norms that keep statistics is left untouched.
        batches: Inputs of mixed classes, augmented as in training; targets are not used. The trained
            ResNet-20 for CIFAR keeps its accuracy with augmented images (4 batches of 128 suffice), and
            loses 4 points with plain ones: statistics must be those that the weights were trained under.
        n_batches: Batches to use, or fewer where there are fewer; at least 1.
        gate: Passed before every batch, so that the work can give way to a timing; none to give way to nothing.

    Returns:
        Batch norms recalibrated.

    Raises:
        UsageError: ``n_batches`` is not positive.
        DataError: No batches.
        DivergedError: A statistic is not finite; the model is then as it was.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> recalibrate_batch_norm(norm, [(torch.tensor([[1.0], [3.0]]), None), (torch.tensor([[5.0], [9.0]]), None)])
        1
        >>> norm.running_mean.item(), norm.running_var.item()   # means 2 and 7, variances 2 and 8
        (4.5, 5.0)
    """
    if n_batches < 1:
        raise UsageError(f"n_batches must be at least 1, got {n_batches}")
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
    if not norms:
        return 0
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)} for norm in norms]
    momenta = [norm.momentum for norm in norms]
    try:
        _average(model, norms, islice(batches, n_batches), gate)
    except BaseException:
        for norm, buffers in zip(norms, before, strict=True):
            for name, buffer in buffers.items():
                norm.get_buffer(name).copy_(buffer)
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return len(norms)


def _average(model: nn.Module, norms: list[_BatchNorm], batches: Batches, gate: Gate | None) -> None:
    n_used = 0
    with evaluation_mode(model), torch.no_grad(), kept_memory():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for the average over all batches seen
            norm.training = True
        for _ in outputs_on(model, batches, gate=gate):
            n_used += 1
    if n_used == 0:
        raise DataError("batch norms need at least 1 batch to be recalibrated, got none")
    if not all(bool(torch.isfinite(buffer).all()) for norm in norms for buffer in norm.buffers(recurse=False)):
        raise DivergedError("recalibrated batch-norm statistics are not finite; the network's weights are unusable")
