"""A search in one of several processes; prints what was decided. Run by ``test_search.py``."""

import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import torch
from torch import distributed as dist

from edgewise.singlepath.search import search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet
from edgewise.space import SPACES
from edgewise.space.prices import price_space
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import Loaders


def main() -> None:
    rank, size, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=200))
    space = SPACES["digits"]
    torch.manual_seed(0)
    net = Supernet(space)
    # The first block is dear where it is large; the others cost next to nothing, so their decisions are the data's.
    net.set_prices(price_space(space, constant_s=1e-3, price_s=lambda one: one.kernel * one.expansion * (1e-4 if one.block == 0 else 1e-7)))
    data = open_data(DataSpec(text="digits", batch_size=64))
    train = [batch for _, batch in zip(range(6), data.train, strict=False)]
    settings = SearchSettings(epochs=6.0, explore=0.2, threshold_lr=0.3, strength=20.0, bf16=False)
    outcome = search(net, Loaders(train=train), targets_s=(1.9e-3,), settings=settings)
    sys.stdout.write(" ".join(outcome.decided.labels) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
