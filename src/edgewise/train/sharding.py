"""One training run over several processes (``torchrun``): each learns from its share of every batch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from edgewise.train.batches import Batches, map_tensors


def rank_and_size() -> tuple[int, int]:
    """This process's number and the number of processes; (0, 1) without ``torch.distributed``."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def spread(model: nn.Module) -> nn.Module:
    """The model wrapped so that gradients are averaged over all processes; itself where there is one."""
    if rank_and_size()[1] == 1:
        return model
    return DistributedDataParallel(model)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that :func:`spread` wrapped; itself where it was not wrapped."""
    inner: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    return inner


def is_sharded(batches: Batches) -> bool:
    """Whether the batches differ from process to process already."""
    return isinstance(batches, DataLoader) and isinstance(batches.sampler, DistributedSampler)


def shard(batch: Any, *, rank: int, size: int) -> Any:  # noqa: ANN401 - nested containers of any kind
    """This process's share of a batch: every ``size``-th item, the same number for each process.

    Example:
        >>> shard(torch.arange(7), rank=1, size=2).tolist()
        [1, 3, 5]
    """
    if size == 1:
        return batch
    return map_tensors(batch, lambda tensor: tensor[: len(tensor) // size * size][rank::size])


def mean_over_processes(value: float) -> float:
    """The average of a number over all processes."""
    if rank_and_size()[1] == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()


def agree_on_buffers(model: nn.Module) -> None:
    """Gives every process the buffers of the first: batch norms saw other shares of the last batch in each."""
    if rank_and_size()[1] == 1:
        return
    for buffer in model.buffers():
        _broadcast(buffer)


def _broadcast(tensor: Tensor) -> None:
    dist.broadcast(tensor, src=0)
