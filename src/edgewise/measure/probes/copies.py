"""How many copies of a kernel call a probe holds, what passes through the caches beside them, and numbers for their weights."""

from functools import cache

import numpy as np
from jaxtyping import Float32

from edgewise.cost import Workload
from edgewise.measure.footprint import LARGEST_FOOTPRINT_BYTES
from edgewise.measure.session import Session

_FEWEST, _MOST = 6, 24
_LONGEST_MACS = 400_000_000
_HEAVY_BYTES = 1 << 20
_POOL_VALUES = 1 << 20


def copy_count(workload: Workload, *, footprint_bytes: int, batch: int) -> int:
    """Copies of a call in a probe: enough weights to fill the footprint, but no endless runs.

    Args:
        workload: The call.
        footprint_bytes: Bytes that pass through the caches between two uses of the same weight in the whole network.
        batch: Inputs at once.

    Example:
        >>> conv = Workload(kernel="fused", op="linear", in_channels=100, out_channels=100)
        >>> copy_count(conv, footprint_bytes=400_000, batch=1)
        10
    """
    wanted = -(-footprint_bytes // max(workload.weight_bytes, 1)) if workload.has_weight else _FEWEST
    affordable = _LONGEST_MACS // max(workload.macs * batch, 1)
    # More copies of a heavy layer than the network holds weights would lie further away than they do there.
    fewest = 2 if workload.weight_bytes > _HEAVY_BYTES else _FEWEST
    return int(min(max(min(wanted, _MOST), fewest), max(affordable, 2)))


def bytes_beside(workload: Workload, copies: int, *, footprint_bytes: int) -> int:
    """Bytes of the footprint that the copies' weights do not fill.

    Example:
        >>> conv = Workload(kernel="fused", op="linear", in_channels=100, out_channels=100)
        >>> bytes_beside(conv, 10, footprint_bytes=1_000_000), bytes_beside(conv, 10, footprint_bytes=400_000)
        (600000, 0)
    """
    return max(footprint_bytes - copies * workload.weight_bytes, 0) if workload.has_weight else 0


class CopiesSession:
    """Times one call: a graph of copies, less what in it is not the call, over the copies.

    Before every run as many bytes are read as lie between two uses of the same weight in the whole network and are not the
    copies' own, so that the weights are found in the cache, or the memory, where they are found there.

    Args:
        session: The graph, loaded.
        copies: Copies of the call in it.
        other_s: Seconds of the graph that are not the call.
        beside_bytes: Bytes to read before a run.
    """

    def __init__(self, session: Session, *, copies: int, other_s: float, beside_bytes: int = 0) -> None:
        self._session, self._copies, self._other_s, self._beside_bytes = session, copies, other_s, beside_bytes

    def run(self) -> None:
        """All copies once."""
        self._read_beside()
        self._session.run()

    def _read_beside(self) -> None:
        if self._beside_bytes:
            _bytes_of_no_use()[: self._beside_bytes // 4].max()

    def time_once_s(self) -> float:
        """Seconds of one call, never below a nanosecond."""
        self._read_beside()
        return max(self._session.time_once_s() - self._other_s, 1e-9 * self._copies) / self._copies

    def close(self) -> None:
        """Frees the graph."""
        self._session.close()


@cache
def _bytes_of_no_use() -> Float32[np.ndarray, " n"]:
    # Ones, since pages of zeros are all one page of memory.
    return np.ones(LARGEST_FOOTPRINT_BYTES // 4, np.float32)


class WeightPool:
    """Small random numbers from one block, so that making weights costs next to nothing."""

    def __init__(self, seed: int = 0) -> None:
        block = (np.random.default_rng(seed).standard_normal(_POOL_VALUES) * 0.05).astype(np.float32)
        self._block = np.concatenate([block, block])
        self._start = 0

    def take(self, *shape: int) -> Float32[np.ndarray, "*shape"]:
        """An array of that shape; two calls differ (some runtimes merge equal layers)."""
        count = int(np.prod(shape))
        self._start = (self._start + 7919) % _POOL_VALUES
        turned = self._block[self._start : self._start + _POOL_VALUES]
        return np.resize(turned, count).reshape(shape)
