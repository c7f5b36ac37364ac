"""Bring a network of one's own, with two inputs and two outputs, to 0.7 of its latency.

Run ``python examples/03_fit_in_python.py``.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import edgewise


class Detector(nn.Module):
    """Looks at an image and at a map of priors; says what is where."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.prior = nn.Conv2d(1, 24, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(24, 72, 3, padding=1), nn.ReLU(), nn.Conv2d(72, 56, 3, padding=1), nn.ReLU())
        self.classes = nn.Conv2d(56, 5, 1)
        self.boxes = nn.Conv2d(56, 4, 1)

    def forward(self, image: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.body(self.image(image) + self.prior(prior))
        return self.classes(maps), self.boxes(maps)


def own_loop(model: nn.Module) -> None:
    """Stands for the training loop that you have: it gets a plain module."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        classes, boxes = model(torch.randn(2, 3, 16, 16), torch.randn(2, 1, 16, 16))
        optimizer.zero_grad()
        (classes.square().mean() + boxes.square().mean()).backward()
        optimizer.step()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    smoke = arguments.parse_args().smoke
    size = 8 if smoke else 32
    model, inputs = Detector(), (torch.randn(1, 3, size, size), torch.randn(1, 1, size, size))

    with tempfile.TemporaryDirectory() as folder:
        # A database of its own: without `db` timings are kept for the next time.
        db = Path(folder) / "latency.sqlite"
        # Without calibration predictions are rougher; what is measured decides all the same.
        only = ("body",) if smoke else ()
        fitted = edgewise.fit(model, inputs=inputs, latency="0.7x", only=only, train=own_loop, calibrate=not smoke, db=db)
        print(f"{fitted.speed_ratio:.2f}x of the time, target {'met' if fitted.met else 'missed'}")
        print({name: (fitted.value["widths_before"][name], width) for name, width in fitted.value["widths"].items()})

        fitted.save(Path(folder) / "fitted")
        again = edgewise.load(Detector(), inputs=inputs, saved=Path(folder) / "fitted").model
        pairs = zip(again(*inputs), fitted.module(*inputs), strict=True)
        print("read again, the same outputs:", all(torch.equal(one, other) for one, other in pairs))


if __name__ == "__main__":
    main()
