"""One over-parameterised network becomes the network that meets a latency: kernel sizes, expansions, skips.

Run ``python examples/07_search_for_latency.py``.
"""

import argparse

import torch

from edgewise.singlepath.choosing import choose
from edgewise.singlepath.derive import derive
from edgewise.singlepath.search import search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet
from edgewise.space import Space, Stage, counts_of
from edgewise.space.prices import price_space
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    epochs = 1.0 if arguments.parse_args().smoke else 15.0

    # A space is plain data: stages of blocks, and what each block may be.
    stages = (Stage(width=8, depth=2), Stage(width=16, depth=3, stride=2, ses=(0.0, 0.25)))
    space = Space(name="mine", input_shape=(1, 1, 8, 8), stem=8, stem_stride=1, stages=stages, head=32, n_classes=10)
    print(f"{space.n_architectures:,} networks, the largest has {counts_of(space, space.largest).macs:,} MACs (counted)")

    # What choices take may come from any device; here a made-up one, on which large kernels are dear.
    prices = price_space(space, constant_s=1e-3, price_s=lambda choice: 1e-5 * choice.kernel**2 * choice.expansion)
    target_s = 3e-3
    torch.manual_seed(0)
    net = Supernet(space)
    net.set_prices(prices)
    data = open_data(DataSpec(text="digits", batch_size=64))
    outcome = search(net, data, targets_s=(target_s,), settings=SearchSettings(epochs=epochs))
    plan = choose(outcome.net, prices, target_s)

    print(f"found for {target_s * 1e3:.1f} ms: {', '.join(plan.labels)}")
    print(f"{prices.latency_s(plan) * 1e3:.3f} ms predicted, {counts_of(space, plan).macs:,} MACs")
    child = derive(outcome.net, plan)
    recalibrate_batch_norm(child, data.train)
    print(f"{accuracy(child, data.validation):.1%} of the validation images right with the supernet's weights")


if __name__ == "__main__":
    main()
