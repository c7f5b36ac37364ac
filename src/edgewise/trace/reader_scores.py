"""How much each channel matters to the layers that read it, once they have made up for it: the structured Optimal Brain Surgeon."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from edgewise.trace.readers import Reader, Readers
from edgewise.trace.scores import Scores

_RIDGE = 0.01
"""Share of the channels' mean variance that each varies by at least."""
_STEPS = 64
"""Of so many channels one is removed at a time; of twice as many, two."""


def score_by_readers(readers: Readers) -> Scores:
    """The importance of every unit of every free tie: what its readers lose without it after they are refitted.

    The units are removed one by one, the least important first. Removing channel q from a layer with weights W that
    reads the channels x costs ``|W_q|^2 Var(x_q | the others)``, the others' weights taking over what they know of
    x_q (Hassibi and Stork 1993, for whole channels as by Kurtic et al. 2023, "ZipLM"). Costs are shares of the variance
    that the layer's output has by all channels, added up over the readers. No labels are looked at.

    Args:
        readers: What the layers read in the network as it is.

    Returns:
        Per tie an array as long as its width: the cost at which each unit was removed, never falling from one removed to
        the next. Ties that no recorded layer reads, each unit in one place, are left out.
    """
    layers, traced = readers.by_name, readers.traced
    known = {name: _Known.of(reader) for name, reader in layers.items()}
    found: Scores = {}
    for tie in traced.net.ties:
        places = {name: _places(reader, traced.starts[tie.name], tie.width) for name, reader in layers.items()}
        views = [known[name].view(where) for name, where in places.items() if where is not None]
        if tie.free and views:
            found[tie.name] = _scores(views, tie.width)
    return found


def _places(reader: Reader, start: int, width: int) -> Int[np.ndarray, " width"] | None:
    """Where a layer reads each unit of a tie; none where it does not read each in exactly one place."""
    belonging = np.flatnonzero((reader.units >= start) & (reader.units < start + width))
    order = np.argsort(reader.units[belonging], kind="stable")
    places = belonging[order]
    return places if np.array_equal(reader.units[places], np.arange(start, start + width)) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What a layer reads and how it weighs it.

    Attributes:
        precision: Inverse of the covariance of the channels.
        gram: Inner products of their weights, over the variance of the whole output.
    """

    precision: Float[Tensor, "channels channels"]
    gram: Float[Tensor, "channels channels"]

    @staticmethod
    def of(reader: Reader) -> "_Known":
        """All channels of a reader."""
        seen = reader.seen - reader.seen.mean(dim=0)
        covariance = (seen.T @ seen).double() / len(seen)
        ridge = max(_RIDGE * float(covariance.diagonal().mean()), torch.finfo(torch.float32).tiny)
        covariance += ridge * torch.eye(len(covariance), dtype=torch.float64)
        weight = reader.weight.cpu().double()
        weight = weight.flatten(2) if weight.ndim > 2 else weight.unsqueeze(2)
        gram = torch.einsum("oct,odt->cd", weight, weight)
        variance = float((gram * covariance).sum())
        return _Known(precision=torch.linalg.inv(covariance), gram=gram / variance if variance > 0 else gram)

    def view(self, places: Int[np.ndarray, " units"]) -> "_View":
        """The channels of one tie: while only they are removed, nothing else is needed of the others."""
        at = torch.from_numpy(places)
        return _View(precision=self.precision[at][:, at], gram=self.gram[at][:, at])


@dataclass(kw_only=True, slots=True)
class _View:
    """What is left of a tie's channels in one reader.

    Attributes:
        precision: The inverse of the covariance of all channels left, at these.
        gram: Inner products of their weights, those removed made up for, over the variance of the whole output.
    """

    precision: Float[Tensor, "left left"]
    gram: Float[Tensor, "left left"]

    def costs(self) -> Float[Tensor, " left"]:
        """What removing each would cost."""
        return self.gram.diagonal() / self.precision.diagonal()

    def remove(self, units: Int[Tensor, " gone"], left: Int[Tensor, " left"]) -> None:
        """Takes channels out; the weights of the others make up for them."""
        across = self.precision[units][:, left]
        knowing = -torch.linalg.solve(self.precision[units][:, units], across)
        self.precision = self.precision[left][:, left] + across.T @ knowing
        taken = self.gram[left][:, units] @ knowing
        gone = self.gram[units][:, units]
        self.gram = self.gram[left][:, left] + taken + taken.T + knowing.T @ gone @ knowing


def _scores(views: list[_View], width: int) -> Float[np.ndarray, " width"]:
    scores = np.zeros(width)
    for units, costs in _removals(views, width):
        scores[units] = np.maximum(costs, scores.max())
    return scores


def _removals(views: list[_View], width: int) -> Iterator[tuple[Int[np.ndarray, " gone"], Float[np.ndarray, " gone"]]]:
    """Units in the order they are removed in, a few at a time by ascending cost, with what each costs then."""
    alive = np.arange(width)
    while len(alive):
        costs = torch.stack([view.costs() for view in views]).sum(dim=0).numpy()
        gone = np.argsort(costs, kind="stable")[: max(1, len(alive) // _STEPS)]
        yield alive[gone], costs[gone]
        if len(gone) == len(alive):
            return
        left = np.setdiff1d(np.arange(len(alive)), gone)
        for view in views:
            view.remove(torch.from_numpy(gone), torch.from_numpy(left))
        alive = np.delete(alive, gone)
