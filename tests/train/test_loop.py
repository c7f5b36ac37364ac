"""Fine-tuning: what it learns, what it leaves alone, and what it refuses."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from edgewise._core.errors import DataError, UsageError
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.faults import DivergedError
from edgewise.train.loop import FineTune, Goal, Loaders, fine_tune
from edgewise.train.schedule import one_cycle
from train.networks import random_batches, random_loaders, same_weights, small_cnn

QUICK = FineTune(epochs=2, lr=0.05, bf16=False)


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.total, self.steps, self.notes = 0.0, 0.0, []

    def start(self, label: str, total: float) -> None:
        self.total = total

    def advance(self, steps: float = 1.0) -> None:
        self.steps += steps

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_small_network_learns_the_digits(bf16: bool) -> None:
    data = open_data(DataSpec(text="digits", batch_size=64))
    tuned = fine_tune(small_cnn(), data, config=FineTune(epochs=14, lr=0.2, bf16=bf16))
    assert accuracy(tuned.model, data.test) > 0.95
    assert tuned.accuracy_validation == accuracy(tuned.model, data.validation) == tuned.history[-1].score
    assert tuned.kept == "tuned"
    assert tuned.images_per_s > 0
    assert tuned.history[-1].loss < tuned.history[0].loss / 4


def test_the_model_passed_in_stays_and_so_do_torchs_generators() -> None:
    model = small_cnn(dropout=0.5).train()
    state = torch.get_rng_state()
    tuned = fine_tune(model, random_loaders(), config=QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert same_weights(model, small_cnn())
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in tuned.model.modules())
    assert not same_weights(model, fine_tune(model, Loaders(train=random_batches(5)), config=QUICK).model)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    data = Loaders(train=random_batches(5))
    first, again, other = (
        fine_tune(small_cnn(dropout=0.5), data, config=FineTune(epochs=1, seed=seed, bf16=False)).model for seed in (1, 1, 2)
    )
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_it_agrees_with_a_loop_written_out() -> None:
    batches = random_batches(5)
    tuned = fine_tune(small_cnn(), Loaders(train=batches), config=FineTune(epochs=1, lr=0.1, weight_decay=0.01, momentum=0.8, bf16=False))
    model = small_cnn().train()
    speeds = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    rates = [one_cycle(step, 5, max_lr=0.1) for step in range(5)]
    for rate, (images, target) in zip(rates, batches, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(images), target).backward()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                slope = parameter.grad + (0.01 * parameter if parameter.ndim > 1 else 0)
                speeds[name] = 0.8 * speeds[name] + slope
                parameter -= rate * (slope + 0.8 * speeds[name])
    for name, parameter in model.named_parameters():
        assert torch.allclose(tuned.model.get_parameter(name), parameter, rtol=1e-3, atol=1e-4), name


def test_no_epochs_change_nothing() -> None:
    result = fine_tune(small_cnn(), random_loaders(), config=FineTune(epochs=0))
    assert same_weights(result.model, small_cnn())
    assert result.history == ()
    assert result.accuracy_validation == result.score_before


def test_a_fraction_of_an_epoch_is_so_many_steps() -> None:
    notes = Notes()
    result = fine_tune(small_cnn(), Loaders(train=random_batches(4)), config=FineTune(epochs=1.5, bf16=False), progress=notes)
    assert len(result.history) == 2
    assert (notes.steps, notes.total) == (6, 6)
    assert notes.notes[-1].startswith("epoch 2 of 2: loss ")


def test_progress_counts_scoring_too() -> None:
    notes = Notes()
    fine_tune(small_cnn(), random_loaders(), config=QUICK, progress=notes)
    assert notes.total == pytest.approx(2 * 5 + 2 * 2 / 3)
    assert notes.steps == pytest.approx(notes.total)


def test_a_known_score_is_not_found_again() -> None:
    scores = iter([0.5, 0.8])
    goal = Goal(evaluate=lambda _: next(scores), score_before=0.9)
    result = fine_tune(small_cnn(), random_loaders(), config=QUICK, goal=goal)
    assert (result.kept, result.accuracy_validation, result.score_before) == ("initial", 0.9, 0.9)
    assert next(scores, None) is None


def test_worse_weights_are_not_kept() -> None:
    scores = iter([0.9, 0.5, 0.8])
    notes = Notes()
    result = fine_tune(small_cnn(), random_loaders(), config=QUICK, goal=Goal(evaluate=lambda _: next(scores)), progress=notes)
    assert (result.kept, result.accuracy_validation, result.score_before) == ("initial", 0.9, 0.9)
    assert same_weights(result.model, small_cnn())
    assert "the weights from before are kept" in notes.notes[-1]


def test_a_data_loader_and_a_user_evaluation_serve() -> None:
    images, target = torch.cat([b[0] for b in random_batches(5)]), torch.cat([b[1] for b in random_batches(5)])
    loader = DataLoader(TensorDataset(images, target), batch_size=8, shuffle=True)
    modes = []
    goal = Goal(evaluate=lambda model: modes.append(model.training) or len(modes))
    first, again = (fine_tune(small_cnn(), Loaders(train=loader), config=QUICK, goal=goal) for _ in range(2))
    assert same_weights(first.model, again.model)
    assert (first.accuracy_validation, again.accuracy_validation) == (3, 6)
    assert modes == [False] * 6


class _TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.place = small_cnn(), nn.Linear(10, 2)

    def forward(self, image: Tensor, scale: Tensor) -> dict[str, Tensor]:
        logits = self.body(image) * scale[:, None]
        return {"logits": logits, "place": self.place(logits)}


def test_several_inputs_and_outputs_with_a_loss_of_ones_own() -> None:
    batches = [((images, torch.ones(8)), {"label": label, "place": torch.zeros(8, 2)}) for images, label in random_batches(5)]
    dtypes = set()

    def loss(output: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        dtypes.add(output["place"].dtype)
        return nn.functional.cross_entropy(output["logits"], target["label"]) + output["place"].square().mean()

    result = fine_tune(_TwoHeads(), Loaders(train=batches), config=FineTune(epochs=8, bf16=True), goal=Goal(loss=loss))
    assert result.history[-1].loss < result.history[0].loss
    assert result.accuracy_validation is None
    assert dtypes == {torch.float32}


def test_distillation_pulls_towards_the_teacher() -> None:
    teacher, batches = small_cnn(width=8), random_batches(5)
    with torch.no_grad():
        teacher[-1].weight.mul_(8)
    config = FineTune(epochs=12, distill_weight=1.0, bf16=False, temperature=1.0)
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    alone = fine_tune(small_cnn(), Loaders(train=batches), config=FineTune(epochs=12, bf16=False)).model
    taught = fine_tune(small_cnn(), Loaders(train=batches), config=config, goal=Goal(teacher=teacher)).model
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    teacher.eval()
    with torch.no_grad():
        agreement = [sum(int((net(x).argmax(1) == teacher(x).argmax(1)).sum()) for x, _ in batches) for net in (taught, alone)]
    assert agreement[0] > agreement[1]


@pytest.mark.parametrize("goal", [Goal(), Goal(teacher=small_cnn())])
def test_teacher_and_weight_go_together(goal: Goal) -> None:
    config = FineTune(distill_weight=0.0 if goal.teacher else 0.5)
    with pytest.raises(UsageError, match="needs both a teacher and a positive distill_weight"):
        fine_tune(small_cnn(), random_loaders(), config=config, goal=goal)


class _Flat(nn.Module):
    """Flattens by ``view``, which fails where channels lie last in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(len(x), -1))


def test_a_network_that_flattens_by_view_trains_with_channels_first() -> None:
    notes = Notes()
    result = fine_tune(_Flat(), random_loaders(), config=QUICK, progress=notes)
    assert len(result.history) == 2
    assert "does not run with channels last" in notes.notes[0]


def test_frozen_parameters_stay_and_all_frozen_is_refused() -> None:
    model = small_cnn()
    model[0].weight.requires_grad_(False)
    assert torch.equal(fine_tune(model, Loaders(train=random_batches(5)), config=QUICK).model[0].weight, model[0].weight)
    with pytest.raises(UsageError, match="requires_grad"):
        fine_tune(small_cnn().requires_grad_(False), random_loaders(), config=QUICK)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    batches = random_batches(5)
    batches[3][0].fill_(torch.nan)
    with pytest.raises(DivergedError, match=r"the loss is nan in step 4 of epoch 1; lower lr \(0.05\)"):
        fine_tune(small_cnn(), Loaders(train=batches), config=QUICK)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(UsageError, match=r"single number, got \(8, 10\)"):
        fine_tune(small_cnn(), random_loaders(), config=QUICK, goal=Goal(loss=lambda output, _: output))


def test_batches_must_be_counted_and_be_there() -> None:
    with pytest.raises(DataError, match="has no len"):
        fine_tune(small_cnn(), Loaders(train=iter(random_batches(2))), config=QUICK)
    with pytest.raises(DataError, match="got 0"):
        fine_tune(small_cnn(), Loaders(train=[]), config=QUICK)


class _Short:
    def __init__(self, batches: list) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator:
        return iter(self._batches)

    def __len__(self) -> int:
        return 9


def test_fewer_batches_than_promised_are_an_error() -> None:
    with pytest.raises(DataError, match="ended after 5 of the 9"):
        fine_tune(small_cnn(), Loaders(train=_Short(random_batches(5))), config=QUICK)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": -1},
        {"epochs": float("nan")},
        {"lr": 0},
        {"weight_decay": -1},
        {"momentum": 1.0},
        {"label_smoothing": 1.0},
        {"distill_weight": 1.1},
        {"temperature": 0},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(changes: dict) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(UsageError, match=f"{name} must be .*, got {value}"):
        FineTune(**changes)
