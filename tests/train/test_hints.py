"""Maps taught by a teacher's."""

import pytest
import torch
from torch import nn

from edgewise._core.errors import UsageError
from edgewise.train.hints import Hints, hint_loss, recorded_inputs
from edgewise.train.loop import Checkpoint, FineTune, Goal, Loaders, fine_tune
from train.networks import random_batches, small_cnn

NAMES = [name for name, module in small_cnn().named_modules() if isinstance(module, nn.Conv2d)][1:]
HINTS = Hints(modules=tuple((name, name) for name in NAMES), weight=5.0)


def test_the_loss_is_the_mean_of_relative_squared_errors() -> None:
    taught = [torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 1.0]])]
    own = [torch.tensor([[3.0, 3.0]]), torch.tensor([[0.0, 0.0]])]
    assert hint_loss(own, taught).item() == pytest.approx(((1 / 2) / (25 / 2) + 1.0) / 2)
    assert hint_loss(taught, taught).item() == 0.0
    assert hint_loss([torch.full((2,), 0.01)], [torch.zeros(2)]).item() == pytest.approx(1.0)  # 1e-4 over the least square, 1e-4
    with pytest.raises(UsageError, match=r"maps of one shape, got \(2,\) and the teacher's \(3,\)"):
        hint_loss([torch.zeros(2)], [torch.zeros(3)])


def test_what_is_recorded_is_what_comes_before_any_hook() -> None:
    network = nn.Sequential(nn.Identity(), nn.Identity())
    network[1].register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 0,))
    with recorded_inputs(network, ["1"]) as seen:
        output = network(torch.ones(3))
    assert seen["1"].tolist() == [1, 1, 1] and output.tolist() == [0, 0, 0]
    held = seen["1"]
    network(torch.zeros(3))
    assert seen["1"] is held  # the hook is gone
    with pytest.raises(UsageError, match="name a module '7'"), recorded_inputs(network, ["7"]):
        pass


def test_hints_pull_maps_to_the_teachers() -> None:
    torch.manual_seed(1)
    teacher, student, batches = small_cnn(), small_cnn(), random_batches(6)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))

    def error_of(network: nn.Module) -> float:
        errors = []
        for inputs, _ in batches:
            with torch.no_grad(), recorded_inputs(network, NAMES) as own, recorded_inputs(teacher.eval(), NAMES) as taught:
                network(inputs), teacher(inputs)
            errors.append(hint_loss([own[name] for name in NAMES], [taught[name] for name in NAMES]).item())
        return sum(errors) / len(errors)

    config = FineTune(epochs=8, lr=0.02, bf16=False, distill_weight=1.0)
    plain, hinted = (
        fine_tune(student, Loaders(train=batches), config=config, goal=Goal(teacher=teacher, hints=hints)).model for hints in (None, HINTS)
    )
    assert error_of(hinted) < 0.7 * error_of(plain)


def test_hints_need_a_teacher_and_a_weight() -> None:
    with pytest.raises(UsageError, match="got hints without a teacher"):
        fine_tune(small_cnn(), Loaders(train=random_batches(1)), goal=Goal(hints=HINTS))
    with pytest.raises(UsageError, match="at least one pair"):
        Hints(modules=())
    with pytest.raises(UsageError, match="must be positive and finite, got 0"):
        Hints(modules=(("0", "0"),), weight=0.0)


def test_a_checkpoint_of_other_hints_is_refused(tmp_path) -> None:
    path, data = tmp_path / "checkpoint.safetensors", Loaders(train=random_batches(2))
    teacher = small_cnn()
    config = FineTune(epochs=1, bf16=False, distill_weight=0.5)
    fine_tune(small_cnn(), data, config=config, goal=Goal(teacher=teacher, hints=HINTS), checkpoint=Checkpoint(path=path))
    other = Goal(teacher=teacher, hints=Hints(modules=HINTS.modules, weight=1.0))
    with pytest.raises(Exception, match="is of another run: hints"):
        fine_tune(small_cnn(), data, config=config, goal=other, checkpoint=Checkpoint(path=path, resume=True))


def test_a_narrower_network_learns_the_channels_that_it_has() -> None:
    hints = Hints(modules=(("a", "a"), ("b", "b")), channels=((0, 2), None))
    maps = [torch.arange(3.0).reshape(1, 3, 1, 1), torch.ones(1, 2, 1, 1)]
    assert [found.flatten().tolist() for found in hints.taught(maps)] == [[0.0, 2.0], [1.0, 1.0]]
    assert Hints(modules=hints.modules).taught(maps) == maps
    assert hints.identity != Hints(modules=hints.modules).identity
    with pytest.raises(UsageError, match="channels for each of their 2 pairs, got 1"):
        Hints(modules=hints.modules, channels=(None,))
