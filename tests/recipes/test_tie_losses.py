"""What ties lose, against a network whose losses are known by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgewise._core.errors import UsageError
from edgewise._core.progress import SilentProgress
from edgewise._core.units import parse_latency
from edgewise.recipes import tie_losses
from edgewise.recipes.requests import FitRequest, ModelRequest
from edgewise.recipes.solving import Judged, judged_worth, objective_of
from edgewise.recipes.tie_losses import Given, TieLosses, measure_tie_losses
from edgewise.recipes.training import Lessons
from edgewise.recipes.worth import importance_worth
from edgewise.trace import Traced, trace
from edgewise.widths.tables import structure_of

WEIGHTS = (1.0, 10.0, 2.0, 3.0)
SCORES = np.array(WEIGHTS)
FULL = sum(WEIGHTS)


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def sums(*middle: nn.Module) -> nn.Module:
    """Four channels that say 1, 10, 2 and 3 times the input, added up."""
    model = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), *middle, nn.Conv2d(4, 1, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight[:] = torch.tensor(WEIGHTS).reshape(4, 1, 1, 1)
        model[-1].weight[:] = 1.0
    return model


def traced(model: nn.Module) -> tuple[Traced, str]:
    found = trace(model, (torch.zeros(1, 1, 1, 1),))
    return found, next(tie.name for tie in found.net.ties if tie.width == 4)


def lessons(n_batches: int = 2, n_images: int = 40) -> Lessons:
    ones = torch.ones(n_images, 1, 1, 1)
    return Lessons(batches=[(ones, FULL * ones)] * n_batches, loss=functional.mse_loss)


def losses(model: nn.Module, judged: Lessons, progress: SilentProgress | None = None) -> tuple[TieLosses | None, str]:
    found, tie = traced(model)
    given = Given(model=model, traced=found, scores={tie: SCORES})
    return measure_tie_losses(given, judged, [tie], progress=progress or SilentProgress()), tie


def test_each_width_loses_what_its_channels_said() -> None:
    model = sums()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found, tie = losses(model, lessons())
    assert found is not None and found.widths[tie] == (1, 2, 3, 4)
    # The best channels stay: 10; 10 and 3; 10, 3 and 2.
    assert found.rises[tie] == pytest.approx(((1 + 2 + 3) ** 2, (1 + 2) ** 2, 1, 0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()) and not model.training


def test_what_other_channels_make_up_for_is_not_lost() -> None:
    model, images = sums(), torch.randn(40, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    found, tie = losses(model, Lessons(batches=[(images, FULL * images)], loss=functional.mse_loss))
    # All channels say the same: of the 6 of 16 that are gone, 10 parts of 11 are made up for (the ridge is a tenth).
    assert found is not None and found.rises[tie][0] == pytest.approx(((6 / 11) ** 2 * images.var()).item(), rel=0.05)


class Adding(nn.Module):
    """Adds a share of what it reads."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.conv1.weight.fill_(1.0)
            self.conv2.weight.fill_(share / 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(self.conv1(x))


def at_zero(*shares: float) -> list[float]:
    """What leaving each block out counts, of blocks that add these shares to ones; the network is right as it is."""
    ends = [nn.Conv2d(1, 1, 1, bias=False) for _ in range(2)]
    model = nn.Sequential(ends[0], *(Adding(share) for share in shares), ends[1]).eval()
    with torch.no_grad():
        for end in ends:
            end.weight.fill_(1.0)
    found = trace(model, (torch.zeros(1, 1, 1, 1),))
    ones = torch.ones(40, 1, 1, 1)
    judged = Lessons(batches=[(ones, model(ones).detach())], loss=functional.mse_loss)
    given = Given(model=model, traced=found, scores={})
    measured = measure_tie_losses(given, judged, [], blocks=found.net.blocks, progress=SilentProgress())
    assert measured is not None and len(found.net.blocks) == len(shares)
    assert [measured.worth()(block.ties[0], 0) for block in found.net.blocks] == [-measured.at_zero[b.ties[0]] for b in found.net.blocks]
    return [measured.at_zero[block.ties[0]] for block in found.net.blocks]


def test_a_block_costs_what_its_going_adds_to_those_gone_before() -> None:
    # 2 * 1.5 * 1.25 = 3.75; without the last 3, without the last two 2, without all 1.
    assert at_zero(1.0, 0.5, 0.25) == pytest.approx([2.75**2 - 1.75**2, 1.75**2 - 0.75**2, 0.75**2])


def test_a_block_never_costs_less_than_alone_or_than_one_before() -> None:
    # 2 * 0.5 = 1; without the first 0.5, without the second 2, without both 1 again: nothing lost, and yet each costs what it does alone.
    assert at_zero(1.0, -0.5) == pytest.approx([0.25, 1.0])


def test_worth_is_what_is_not_lost() -> None:
    worth = TieLosses(widths={"a": (4, 8, 16)}, rises={"a": (3.0, 1.0, 0.0)}).worth()
    assert [worth("a", width) for width in (2, 4, 6, 8, 12, 16)] == [-4.0, -3.0, -2.0, -1.0, -0.5, 0.0]
    assert worth("a", 32) == pytest.approx(0.1) and worth("a", 64) == pytest.approx(0.2)
    assert worth("b", 3) == worth("b", 300) == 0.0


def test_batch_norms_go_by_the_batches() -> None:
    # The running statistics are absurd; those of the batch make all channels zero, at every width alike.
    model = sums(nn.BatchNorm2d(4))
    model[1].running_mean.fill_(1e6)
    found, tie = losses(model, lessons())
    assert found is not None and found.rises[tie] == pytest.approx((0, 0, 0, 0), abs=1e-3)
    assert model[1].running_mean.tolist() == [1e6] * 4


def test_a_narrow_tie_is_judged_at_few_widths() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)).eval()
    found = trace(model, (torch.zeros(1, 1, 1, 1),))
    tie = next(tie.name for tie in found.net.ties if tie.width == 2)
    given = Given(model=model, traced=found, scores={tie: np.ones(2)})
    measured = measure_tie_losses(given, lessons(), [tie], progress=SilentProgress())
    assert measured is not None and measured.widths[tie] == (1, 2)
    assert measured.worth()(tie, 1) == -measured.rises[tie][0]


@pytest.mark.parametrize(("seconds", "most_seconds", "seen"), [(1e9, 1e9, [40] * 3), (1e-9, 1e9, [32]), (1e-9, 0.0, None)])
def test_it_looks_at_as_many_images_as_there_is_time_for(
    seconds: float, most_seconds: float, seen: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tie_losses, "_SECONDS", seconds)
    monkeypatch.setattr(tie_losses, "_MOST_SECONDS", most_seconds)
    sizes: list[int] = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        sizes.append(len(target))
        return functional.mse_loss(output, target)

    notes = Notes()
    found, _ = losses(sums(), Lessons(batches=lessons(3).batches, loss=loss), notes)
    if seen is None:
        assert found is None and "would take over 10 minutes" in notes.notes[0]
    else:
        assert found is not None and sizes[2:] == seen * 4 and not notes.notes


def test_where_there_is_no_time_importance_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tie_losses, "_SECONDS", 1e-9)
    monkeypatch.setattr(tie_losses, "_MOST_SECONDS", 0.0)
    model = sums()
    found, tie = traced(model)
    given = Given(model=model, traced=found, scores={tie: SCORES})
    structure = structure_of(found.net, frozenset([tie]))
    judged = judged_worth("loss", given, structure, lessons=lessons(), progress=SilentProgress())
    assert judged.objective == "importance" and judged.worth is not None and not judged.at_zero
    assert judged.worth(tie, 2) == importance_worth(found.net, {tie: SCORES})(tie, 2)
    assert judged_worth("params", given, structure, lessons=lessons(), progress=SilentProgress()) == Judged(objective="params")


@pytest.mark.parametrize(
    ("trained", "data", "objective"),
    [(True, True, "loss"), (True, False, "importance"), (False, True, "importance"), (False, False, "params")],
)
def test_what_counts_by_default(trained: bool, data: bool, objective: str) -> None:
    request = FitRequest(model=ModelRequest(model="digits-cnn"), latency=parse_latency("0.7x"))
    assert objective_of(request, trained=trained, lessons=lessons() if data else None) == objective


def test_the_loss_needs_data() -> None:
    with pytest.raises(UsageError, match="--objective loss judges layers on images, and so needs --data"):
        FitRequest(model=ModelRequest(model="digits-cnn"), latency=parse_latency("0.7x"), objective="loss")
