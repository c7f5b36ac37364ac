"""One search in several processes, as ``torchrun`` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import distributed as dist

from edgewise._core.progress import Progress, SilentProgress
from edgewise.ir import ArchPlan
from edgewise.space import Space
from edgewise.space.prices import Prices
from edgewise.train.sharding import rank_and_size


@contextmanager
def joined() -> Iterator[int]:
    """Joins the processes that ``torchrun`` started (by gloo), and gives this one's number; 0 where it runs alone."""
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ
    if not wanted or dist.is_initialized():
        yield rank_and_size()[0]
        return
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def heard(progress: Progress, rank: int) -> Progress:
    """The first process speaks for all."""
    return progress if rank == 0 else SilentProgress()


def agreed_prices(space: Space, prices: Prices | None) -> Prices:
    """The first process's prices, in every process; the others give none."""
    if rank_and_size()[1] == 1:
        assert prices is not None
        return prices
    shapes = [(len(block.kernels), len(block.expansions), len(block.ses)) for block in space.searchable]
    sizes = [int(np.prod(shape)) for shape in shapes]
    flat = torch.zeros(1 + sum(sizes), dtype=torch.float64)
    if prices is not None:
        flat = torch.from_numpy(np.concatenate([[prices.constant_s], *(table.reshape(-1) for table in prices.tables)]))
    dist.broadcast(flat, src=0)
    parts = np.split(flat[1:].numpy(), np.cumsum(sizes)[:-1])
    tables = tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return Prices(space=space, constant_s=float(flat[0]), tables=tables, kind="" if prices is None else prices.kind)


def agreed_number(value: float) -> float:
    """The first process's number, in every process."""
    if rank_and_size()[1] == 1:
        return value
    held = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(held, src=0)
    return float(held)


def agreed_plan(space: Space, plan: ArchPlan | None) -> ArchPlan:
    """The first process's network, in every process; the others give none."""
    if rank_and_size()[1] == 1:
        assert plan is not None
        return plan
    choices = [list(block.choices) for block in space.blocks]
    places = torch.zeros(len(choices), dtype=torch.long)
    if plan is not None:
        places = torch.tensor([own.index(choice) for own, choice in zip(choices, plan.blocks, strict=True)])
    dist.broadcast(places, src=0)
    return ArchPlan(blocks=tuple(own[place] for own, place in zip(choices, places.tolist(), strict=True)))
