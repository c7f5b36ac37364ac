"""Which channels of a network must change together, and what a narrower one looks like.

Run ``python examples/01_inspect_ties.py``.
"""

import argparse

import torch
from torch import Tensor, nn

from edgewise.trace import apply_plan, choose_channels, score_channels, trace


class Block(nn.Module):
    """Two convolutions around a shortcut: what they add must have equal channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def build(blocks: int) -> nn.Module:
    body = [Block(32) for _ in range(blocks)]
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    model = build(blocks=1 if arguments.parse_args().smoke else 3)
    inputs = (torch.randn(1, 3, 32, 32),)

    traced = trace(model, inputs)
    print(f"{traced.net.macs:,} MACs, {traced.net.params:,} parameters")
    for tie in traced.net.ties:
        print(f"  {tie.name:8} {tie.width:3} channels, written by {', '.join(tie.writers)}  {tie.reason}")

    # Any width of any free tie is a valid network: mismatched channels cannot be written down.
    widths = {tie.name: tie.width * 3 // 4 for tie in traced.net.ties if tie.free}
    plan = choose_channels(traced, widths, score_channels(model, traced, kind="l2"))
    narrow = apply_plan(model, plan, traced)
    after = trace(narrow, inputs).net
    print(f"at three quarters: {after.macs:,} MACs, {after.params:,} parameters, output {tuple(narrow(*inputs).shape)}")


if __name__ == "__main__":
    main()
