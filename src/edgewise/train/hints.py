"""Maps inside a network taught by the maps inside its teacher: hints (Romero et al. 2015, "FitNets", section 3.1)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise._core.errors import UsageError
from edgewise.train.sharding import unwrapped

HINT_WEIGHT = 10.0
"""Weight of the error of maps beside the loss of the outputs, by default."""
_LEAST_SQUARE = 1e-4
"""A teacher's map of a smaller mean square counts as one of this: what is all but zero has no relative error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """Where a network's maps are compared with its teacher's, and how much that weighs.

    Attributes:
        modules: Pairs of module names, in the network and in its teacher: what both read is compared; at least one pair.
        weight: Of the mean error of the maps (:func:`hint_loss`), beside the loss of the outputs; positive.
        channels: For each pair the channels of the teacher's map that the network's holds, in its order, or none for all; empty for
            all of all.

    Raises:
        UsageError: No pair, a weight that is not positive, or channels for another number of pairs.
    """

    modules: tuple[tuple[str, str], ...]
    weight: float = HINT_WEIGHT
    channels: tuple[tuple[int, ...] | None, ...] = ()

    def __post_init__(self) -> None:
        """Checks both."""
        if not self.modules:
            raise UsageError("hints need at least one pair of modules, got none")
        if not 0 < self.weight < float("inf"):
            raise UsageError(f"the weight of hints must be positive and finite, got {self.weight:g}")
        if self.channels and len(self.channels) != len(self.modules):
            raise UsageError(f"hints need channels for each of their {len(self.modules)} pairs, got {len(self.channels)}")

    @property
    def identity(self) -> str:
        """Weight, modules and channels; a checkpoint of others is refused."""
        pairs = f"{self.weight:g} of {' '.join(name for pair in self.modules for name in pair)}"
        return f"{pairs}, channels {self.channels}" if any(self.channels) else pairs

    def taught(self, maps: Sequence[Float[Tensor, "..."]]) -> list[Float[Tensor, "..."]]:
        """What the teacher's maps (images, channels, positions) hold of the network's channels."""
        if not self.channels:
            return list(maps)
        return [found if kept is None else found[:, list(kept)] for found, kept in zip(maps, self.channels, strict=True)]


def hint_loss(student: Sequence[Float[Tensor, "..."]], teacher: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, ""]:
    """Mean over pairs of maps of the squared error, relative to the mean square of the teacher's map.

    Args:
        student: Maps to be taught.
        teacher: A map of the same shape for each.

    Returns:
        A scalar that is 0 where all maps agree, and 1 for a student whose maps are all zero.

    Example:
        >>> hint_loss([torch.tensor([0.0, 1.0])], [torch.tensor([0.0, 2.0])]).item()   # a squared error of 1 / 2 over 4 / 2
        0.25
    """
    errors = []
    for own, taught in zip(student, teacher, strict=True):
        if own.shape != taught.shape:
            raise UsageError(f"hints compare maps of one shape, got {tuple(own.shape)} and the teacher's {tuple(taught.shape)}")
        wanted = taught.float()
        errors.append((own.float() - wanted).square().mean() / wanted.square().mean().clamp(min=_LEAST_SQUARE))
    return torch.stack(errors).mean()


@contextmanager
def recorded_inputs(model: nn.Module, names: Sequence[str]) -> Iterator[Mapping[str, Tensor]]:
    """What modules read when the model runs, before any hook of theirs changes it; of several calls the last.

    Args:
        model: The network, or what :func:`~edgewise.train.sharding.spread` made of it.
        names: Names of its modules.

    Yields:
        The first input of each by name, once the model ran.

    Raises:
        UsageError: The network has no module of a name.
    """
    modules = dict(unwrapped(model).named_modules())
    missing = [name for name in names if name not in modules]
    if missing:
        raise UsageError(f"hints name a module {missing[0]!r} that the network does not have")
    found: dict[str, Tensor] = {}

    def keeping(name: str) -> Any:  # noqa: ANN401 - a hook
        def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found[name] = inputs[0]

        return keep

    handles = [modules[name].register_forward_pre_hook(keeping(name), prepend=True) for name in dict.fromkeys(names)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
