"""What channel pruning saves on a ReRAM crossbar chip depends on what is taken to be saved.

Run ``python examples/05_crossbar_chip.py``.
"""

import argparse

from edgewise.cost.chip import ChipSettings, CrossbarDevice, load_chip, price_network
from edgewise.cost.chip.masks import draw_masks
from edgewise.dynamic import place_gates
from edgewise.recipes.runs import load_model
from edgewise.trace import trace


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    n_images = 2 if arguments.parse_args().smoke else 64

    loaded = load_model("vgg16")
    net = trace(loaded.model, loaded.inputs(), name="vgg16", verify=False).net
    plan = place_gates(net, channel_ratios=(0.2, 0.2, 0.6, 0.9, 0.9))
    # Without images the masks are drawn; `edgewise.dynamic.record_masks` records them from a network at work.
    masks = draw_masks(plan, n_images=n_images, seed=0)
    chip = load_chip("isaac")

    print(f"{chip.title}: {chip.peak_gops / 1e3:.1f} TOPS at its peak (simulated)")
    for accounting in ("dense", "gating", "reload", "static", "static-both"):
        cost = price_network(net, chip, ChipSettings(accounting=accounting), plan=plan, masks=masks)
        area_and_time = f"{cost.area_mm2:6.2f} mm2  {cost.latency_s * 1e3:5.2f} ms"
        print(f"{accounting:12} {cost.arrays:5} arrays  {area_and_time}  {cost.energy_j * 1e6:9.1f} uJ")

    # A chip is a device too, so that `edgewise fit vgg16 --device isaac --latency 0.7x` can solve for its latency.
    device = CrossbarDevice(chip=chip)
    pieces = device.pieces(net)
    total = device.total(pieces, device.estimate(pieces))
    whole_us = dict(total.detail)["whole_copies_s"] * 1e6
    print(f"as a device: an image every {total.latency_s * 1e6:.1f} us, {whole_us:.1f} us with whole copies (simulated)")


if __name__ == "__main__":
    main()
