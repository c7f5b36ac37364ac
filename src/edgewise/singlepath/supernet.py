"""The over-parameterised network: every block at its largest, decisions by norms and thresholds."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise._core.errors import SpecError
from edgewise.ir.arch import ArchPlan
from edgewise.models.initial import initialise
from edgewise.models.mobile import classifier_of, head_of, stem_of
from edgewise.singlepath.block import SuperBlock
from edgewise.singlepath.gates import HARD, Steering, gate_spans, plan_of
from edgewise.singlepath.settings import Form, Runtime
from edgewise.space import Space
from edgewise.space.prices import Prices


class Supernet(nn.Module):
    """All networks of a space in the memory of the largest.

    Args:
        space: The space.
        form: How decisions act.
        runtime: Which runtime term.

    Attributes:
        thresholds: One for each gate, all 0 at the start: every decision begins as the larger choice.
        prices: What its choices take; none before :meth:`set_prices`.
    """

    def __init__(self, space: Space, *, form: Form = "exact", runtime: Runtime = "table") -> None:
        super().__init__()
        if form == "published" and any(block.ses[-1] for block in space.blocks):
            raise SpecError("the authors' form knows no squeeze-and-excitation; use form `exact`, or a space without")
        self.space, self.form, self.runtime_form = space, form, runtime
        self.stem, self.head, self.classifier = stem_of(space), head_of(space), classifier_of(space)
        for part in (self.stem, self.head, self.classifier):
            initialise(part)
        self.blocks = nn.ModuleList(SuperBlock(block, form=form, activation=space.activation) for block in space.blocks)
        self._spans = gate_spans(space)
        self.thresholds = nn.Parameter(torch.zeros(self._spans[-1][1]))
        self.prices: Prices | None = None
        self._priced: tuple[int, ...] = ()
        self.register_buffer("constant", torch.zeros(()), persistent=False)
        self.constant: Tensor

    @property
    def superblocks(self) -> tuple[SuperBlock, ...]:
        """The blocks, in running order."""
        return tuple(cast(SuperBlock, block) for block in self.blocks)

    def set_prices(self, prices: Prices) -> None:
        """Gives the runtime term its table; seconds come back as milliseconds, which logarithms like better."""
        if prices.space != self.space:
            raise SpecError(f"prices of space {prices.space.name!r} do not fit a supernet of {self.space.name!r}")
        self.prices = prices
        self.constant = torch.tensor(prices.constant_s * 1e3, device=self.thresholds.device)
        self._priced = tuple(block.position for block in self.space.searchable)
        for place, table in zip(self._priced, prices.tables, strict=True):
            held = torch.tensor(table * 1e3, dtype=torch.float32, device=self.thresholds.device)
            self.superblocks[place].register_buffer("prices", held, persistent=False)

    def forward(self, images: Float[Tensor, "b c h w"], steering: Steering = HARD) -> tuple[Float[Tensor, "b classes"], Float[Tensor, ""]]:
        """Scores of each class, and the expected runtime in milliseconds (0 without prices).

        Args:
            images: A batch.
            steering: How decisions come about.
        """
        maps = self.stem(images)
        runtime_ms = self.constant
        for place, (block, (start, end)) in enumerate(zip(self.superblocks, self._spans, strict=True)):
            with torch.autocast(maps.device.type, enabled=False):
                excess, decided = block.decide(self.thresholds[start:end], steering.part(start, end))
                if place in self._priced:
                    priced = steering.part(start, end).priced(excess, decided)
                    runtime_ms = runtime_ms + block.runtime(priced, cast(Tensor, block.prices), form=self.runtime_form)
            maps = block(maps, decided)
        return self.classifier(self.head(maps).mean((2, 3))), runtime_ms

    def runtime_ms(self, steering: Steering = HARD) -> Float[Tensor, ""]:
        """The expected runtime alone, in milliseconds.

        Raises:
            SpecError: No prices were given.
        """
        if not self._priced and self.space.searchable:
            raise SpecError("a supernet needs prices for its runtime; call set_prices first")
        total = self.constant
        for place in self._priced:
            block, (start, end) = self.superblocks[place], self._spans[place]
            excess, decided = block.decide(self.thresholds[start:end], steering.part(start, end))
            priced = steering.part(start, end).priced(excess, decided)
            total = total + block.runtime(priced, cast(Tensor, block.prices), form=self.runtime_form)
        return total

    @torch.no_grad()
    def excess(self) -> Float[Tensor, " g"]:
        """Norm less threshold of every gate, decisions being those of norm and threshold."""
        parts = [
            block.decide(self.thresholds[start:end], HARD)[0] for block, (start, end) in zip(self.superblocks, self._spans, strict=True)
        ]
        return torch.cat(parts)

    def decided(self) -> ArchPlan:
        """The network that norms and thresholds decide on now; a tie counts as the larger choice."""
        return plan_of(self.space, (self.excess() >= 0).float())
