"""The chain as an operator of PyTorch: ``torch.ops.edgewise.sparse_chain``."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from edgewise.dynamic.running.reference import run_reference
from edgewise.kernels import CompiledChain, Program, kernel_library

_KEPT = 64


@cache
def sparse_chain() -> Callable[[Tensor, list[Tensor], list[Tensor], list[int]], Tensor]:
    """Registers the operator at the first call, and gives it.

    ``torch.ops.edgewise.sparse_chain(maps, weights, biases, program)`` with maps ``(n, c, h, w)`` in fp32 on the
    processor, and the integers of :meth:`edgewise.kernels.Program.ints`. Uses ``torch.get_num_threads()`` threads.
    A program saved by ``torch.export`` needs this call before it is loaded.
    """
    packed = _Packed()

    @torch.library.custom_op("edgewise::sparse_chain", mutates_args=(), device_types="cpu")
    def run(maps: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], program: Sequence[int]) -> Tensor:
        threads = torch.get_num_threads()
        chain = packed.chain(weights, biases, tuple(program), (len(maps), threads))
        if chain is None:
            return run_reference(Program.from_ints(program), maps, weights, biases)
        inside = maps.detach().contiguous().float()
        out = torch.empty(chain.shape(len(maps)), dtype=torch.float32)
        chain.run(inside.numpy(), threads=threads, out=out.numpy())
        return out

    @run.register_fake
    def _(maps: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], program: Sequence[int]) -> Tensor:
        return maps.new_empty((maps.shape[0], *Program.from_ints(program).shapes()[-1]))

    return run


class _Packed:
    """Chains with packed weights, by the weights that they were made from; the last ones are kept."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._chains: OrderedDict[tuple[Any, ...], tuple[CompiledChain, Sequence[Tensor]]] = OrderedDict()

    def chain(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], program: tuple[int, ...], setting: tuple[int, int]
    ) -> CompiledChain | None:
        if kernel_library() is None:
            return None
        tensors = (*weights, *biases)
        key = (program, setting, tuple((tensor.data_ptr(), _version(tensor)) for tensor in tensors))
        with self._lock:
            if key in self._chains:
                self._chains.move_to_end(key)
                return self._chains[key][0]
            arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
            chain = CompiledChain(Program.from_ints(program), arrays[: len(weights)], arrays[len(weights) :])
            chain.tune(batch=max(1, setting[0]), threads=setting[1])
            # The tensors are kept, so that their memory cannot become other weights at the same address.
            self._chains[key] = (chain, tensors)
            while len(self._chains) > _KEPT:
                self._chains.popitem(last=False)
            return chain


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
