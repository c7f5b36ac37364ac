"""The spaces that edgewise brings along."""

from collections.abc import Mapping
from types import MappingProxyType

from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.space.space import Space, Stage


def _imagenet() -> Space:
    searched = [(24, 2), (40, 2), (80, 2), (96, 1), (192, 2)]
    return Space(
        name="imagenet",
        input_shape=(1, 3, 224, 224),
        stem=32,
        stem_stride=2,
        stages=(
            Stage(width=16, depth=1, kernels=(3,), expansions=(1,), skip=False),
            *(Stage(width=width, depth=4, stride=stride) for width, stride in searched),
            Stage(width=320, depth=1, kernels=(3,), expansions=(6,), skip=False),
        ),
        head=1280,
        n_classes=1000,
        dropout=0.2,
    )


def _cifar(
    name: str, *, searched: tuple[tuple[int, int, int], ...], first: int, last: int, head: int, ses: tuple[float, ...] = (0.0,)
) -> Space:
    return Space(
        name=name,
        input_shape=(1, 3, 32, 32),
        stem=16,
        stem_stride=1,
        stages=(
            Stage(width=first, depth=1, kernels=(3,), expansions=(1,), skip=False),
            *(Stage(width=width, depth=depth, stride=stride, ses=ses) for width, depth, stride in searched),
            Stage(width=last, depth=1, kernels=(3,), expansions=(6,), skip=False),
        ),
        head=head,
        n_classes=10,
    )


def _digits() -> Space:
    searched = [(8, 2, 1), (16, 2, 2)]
    return Space(
        name="digits",
        input_shape=(1, 1, 8, 8),
        stem=8,
        stem_stride=1,
        stages=tuple(Stage(width=width, depth=depth, stride=stride) for width, depth, stride in searched),
        head=32,
        n_classes=10,
    )


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        space.name: space
        for space in (
            _imagenet(),
            _cifar("cifar", searched=((16, 3, 1), (24, 3, 2), (40, 3, 2), (56, 3, 1), (80, 3, 2)), first=8, last=160, head=640),
            _cifar("cifar-small", searched=((8, 3, 1), (16, 3, 2), (32, 3, 2), (64, 3, 2)), first=8, last=96, head=256),
            _cifar(
                "cifar-deep",
                searched=((12, 3, 1), (20, 4, 2), (40, 4, 2), (56, 4, 1), (80, 4, 2)),
                first=8,
                last=160,
                head=640,
                ses=(0.0, 0.25),
            ),
            _digits(),
        )
    }
)
"""Spaces by name: the paper's for ImageNet, three for images of 32 pixels, one for the embedded digits."""


def _found() -> ArchPlan:
    """Figure 5 of the tutorial; which block of the first stage is left out is not published (same shapes), the last here."""
    operations = [(3, 3)] * 4 + [(5, 6)] + [(3, 3)] * 3 + [(5, 6)] + [(3, 3)] * 3 + [(5, 6)] + [(5, 3)] * 3 + [(5, 6)] * 4
    return _plan(operations, skipped={4})


def _mnasnet_b1() -> ArchPlan:
    """MnasNet-B1, which lies inside the space."""
    operations = [(3, 3)] * 4 + [(5, 3)] * 4 + [(5, 6)] * 4 + [(3, 6)] * 4 + [(5, 6)] * 4
    return _plan(operations, skipped={4, 8, 12, 15, 16})


def _plan(operations: list[tuple[int, int]], *, skipped: set[int]) -> ArchPlan:
    blocks = [
        BlockChoice(block=place, kernel=kernel, expansion=expansion, skip=place in skipped)
        for place, (kernel, expansion) in enumerate(operations, start=1)
    ]
    first, last = BlockChoice(block=0, kernel=3, expansion=1), BlockChoice(block=21, kernel=3, expansion=6)
    return ArchPlan(blocks=(first, *blocks, last))


PUBLISHED: Mapping[str, ArchPlan] = MappingProxyType({"single-path-nas": _found(), "mnasnet-b1": _mnasnet_b1()})
"""Published networks of the space ``imagenet``."""
