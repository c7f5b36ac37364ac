"""Training that gives way to whatever else needs the machine, between two steps."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import distributed as dist

from edgewise.train.sharding import rank_and_size

Gate = Callable[[], AbstractContextManager[object]]
"""Asked before every step and every batch that is scored: entering may take its time, leaving says that it is over."""


def passing(gate: Gate | None) -> AbstractContextManager[object]:
    """What one process does by itself, such as scoring a batch; free to begin where there is no gate."""
    return nullcontext() if gate is None else gate()


@contextmanager
def passing_together(gate: Gate | None) -> Iterator[None]:
    """A step that all processes of a training take together.

    The first process of each machine passes for all of it: were each to pass alone, one could be
    held up at a gate while another, past it, waits for its gradients and keeps the gate shut.
    """
    rank, size = rank_and_size()
    if gate is None or size == 1:
        with passing(gate):
            yield
        return
    is_first = int(os.environ.get("LOCAL_RANK", rank)) == 0
    with passing(gate if is_first else None):
        dist.barrier()
        yield
        dist.barrier()
