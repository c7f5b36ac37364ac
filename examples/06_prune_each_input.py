"""Prune a small network's maps for each input: train with the masks on, and count what is saved.

Run ``python examples/06_prune_each_input.py``.
"""

import argparse

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.training import RatioAscent
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, Goal, fine_tune


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    epochs = 2 if arguments.parse_args().smoke else 15

    data = open_data(DataSpec(text="digits"))
    loaded = load_model("digits-cnn")
    net = trace(loaded.model, loaded.inputs(), name="digits-cnn", verify=False).net
    dense = fine_tune(loaded.model, data, config=FineTune(epochs=epochs, lr=0.1)).model
    print(f"dense                      {accuracy(dense, data.test):6.1%}")

    # Half of the channels of every map that one convolution writes and one other reads, chosen anew for each image.
    plan = place_gates(net, channel_ratios=(0.5,))
    untrained = GatedNetwork(dense, plan).eval()
    print(f"pruned, not trained for it {accuracy(untrained, data.test):6.1%}")

    goal = Goal(regime=RatioAscent(plan=plan))
    trained = fine_tune(GatedNetwork(dense, plan), data, config=FineTune(epochs=epochs, lr=0.05), goal=goal).model
    print(f"trained with the masks on  {accuracy(trained, data.test):6.1%}")

    count = count_macs(net, plan)
    print(f"{count.macs:,} multiply-accumulates become {count.macs_executed:,}: {count.reduction_executed:.1%} fewer")


if __name__ == "__main__":
    main()
