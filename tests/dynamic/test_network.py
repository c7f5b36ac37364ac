"""A network with its gates built in."""

import copy

import pytest
import torch
from torch import nn

from edgewise._core.errors import PlanError, UsageError
from edgewise.dynamic import GatedNetwork, gated
from edgewise.dynamic.training import RatioAscent, SandwichSampling, hints_of
from edgewise.ir.gates import Budget, Gate, GatePlan
from edgewise.train.batches import Loaders
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.hints import HINT_WEIGHT, recorded_inputs
from edgewise.train.loop import Checkpoint, FineTune, Goal, fine_tune
from edgewise.train.regime import Regime

PLAN = GatePlan(
    gates=(Gate(consumer="3", producer="0", block=0, channels=6, hw=(4, 4), channel_ratio=0.5, spatial_ratio=0.25),), n_blocks=1
)


def _plain() -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


def _batches(n: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(8, 3, 4, 4, generator=generator) for _ in range(n)]
    return [(each, (each.mean((1, 2, 3)) > 0).long()) for each in images]


def test_it_computes_what_the_gates_leave() -> None:
    plain, images = _plain(), _batches(1)[0][0]
    network = GatedNetwork(plain, PLAN).eval()
    with torch.no_grad(), gated(plain, PLAN):
        expected = plain(images)
    with torch.no_grad():
        assert torch.equal(network(images), expected) and not torch.equal(plain(images), expected)


def test_ratio_zero_is_the_dense_network_bit_for_bit() -> None:
    plain, images = _plain(), _batches(1)[0][0]
    network = GatedNetwork(plain, PLAN.scaled(0.0)).eval()
    with torch.no_grad():
        assert torch.equal(network(images), plain(images))


def test_the_original_is_not_touched_and_copies_are_apart() -> None:
    plain, images = _plain(), _batches(1)[0][0]
    network = GatedNetwork(plain, PLAN).eval()
    other = copy.deepcopy(network)
    other.set_ratios(PLAN.scaled(0.0))
    with torch.no_grad():
        before = plain(images)
        assert torch.equal(other(images), before) and not torch.equal(network(images), before)
        assert torch.equal(network.plain()(images), before)
        assert not torch.equal(network(images), before), "gates must be open again"


def test_a_plan_of_another_network_is_refused() -> None:
    with pytest.raises(PlanError, match="no module '3' to gate"):
        GatedNetwork(nn.Sequential(nn.Conv2d(3, 6, 1)), PLAN)


def test_gradients_go_through_what_is_kept_alone() -> None:
    network = GatedNetwork(nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity(), nn.Conv2d(6, 1, 1)), PLAN)
    maps = torch.rand(2, 6, 4, 4, requires_grad=True)
    network(maps).sum().backward()
    assert maps.grad is not None
    reached = maps.grad != 0
    assert reached.any(dim=(2, 3)).sum(1).tolist() == [3, 3] and reached.any(dim=1).sum((1, 2)).tolist() == [12, 12]


def test_training_and_testing_use_the_same_masks() -> None:
    network, images = GatedNetwork(_plain(), PLAN), _batches(1)[0][0]
    seen: list[torch.Tensor] = []
    network.network[3].register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0] != 0))
    for module in network.network[:3]:
        module.eval()
    for training in (True, False):
        network.network[3].train(training)
        network(images)
    assert torch.equal(seen[0], seen[1])


def test_ratios_rise_and_stay() -> None:
    network, ascent = GatedNetwork(_plain(), PLAN), RatioAscent(plan=PLAN, ramp=0.5)
    seen = []
    for step in range(8):
        ascent.begin_step(network, step=step, n_steps=8)
        seen.append(network.plan.channel_ratios[0])
    assert seen == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.5]
    RatioAscent(plan=PLAN, ramp=0.0).begin_step(network, step=0, n_steps=8)
    assert network.plan == PLAN
    with pytest.raises(UsageError, match=r"ramp must lie in \[0, 1\], got 2"):
        RatioAscent(plan=PLAN, ramp=2.0)
    with pytest.raises(UsageError, match="trains a GatedNetwork, got Sequential"):
        ascent.begin_step(_plain(), step=0, n_steps=1)


def test_what_is_pruned_gets_its_share_of_the_gradient() -> None:
    gate = Gate(consumer="1", producer="0", block=0, channels=2, hw=(1, 2), channel_ratio=0.5, spatial_ratio=0.5)
    network = GatedNetwork(nn.Sequential(nn.Identity(), nn.Identity()), GatePlan(gates=(gate,), n_blocks=1))
    values = torch.tensor([[[[4.0, 3.0]], [[2.0, 1.0]]]])
    for leak in (0.0, 0.25, 1.0):
        network.set_leak(leak)
        maps = values.clone().requires_grad_()
        found = network(maps)
        assert found.tolist() == [[[[4.0, 0.0]], [[0.0, 0.0]]]]
        (found * torch.tensor([[[[1.0, 2.0]], [[4.0, 8.0]]]])).sum().backward()
        assert maps.grad is not None and maps.grad.flatten().tolist() == [1.0, 2 * leak, 4 * leak, 8 * leak]


@pytest.mark.parametrize("regime", [RatioAscent(plan=PLAN), SandwichSampling(plan=PLAN)], ids=["ascent", "sandwich"])
def test_the_leak_is_for_training_alone(regime: Regime) -> None:
    network = GatedNetwork(_plain(), PLAN)
    images = _batches(1)[0][0]

    def gradient() -> torch.Tensor:
        network.set_ratios(PLAN)
        network.zero_grad()
        network.eval()(images).square().sum().backward()
        found = network.network[0].weight.grad
        assert found is not None
        return found.clone()

    before = gradient()
    regime.begin_step(network, step=7, n_steps=8)
    assert not torch.equal(gradient(), before)
    regime.begin_scoring(network)
    assert torch.equal(gradient(), before)


def test_a_leak_lies_between_nothing_and_all() -> None:
    with pytest.raises(UsageError, match=r"leak must lie in \[0, 1\], got 1.5"):
        RatioAscent(plan=PLAN, leak=1.5)
    with pytest.raises(UsageError, match=r"leak must lie in \[0, 1\], got -1"):
        SandwichSampling(plan=PLAN, leak=-1.0)


def test_hints_are_the_maps_before_their_gates() -> None:
    plain, hints, images = _plain(), hints_of(PLAN), _batches(1)[0][0]
    network = GatedNetwork(plain, PLAN)
    with recorded_inputs(network.eval(), [own for own, _ in hints.modules]) as pruned:
        network(images)
    with recorded_inputs(plain, [taught for _, taught in hints.modules]) as dense:
        plain(images)
    assert hints.weight == HINT_WEIGHT and len(hints.modules) == len(PLAN.gates)
    for own, taught in hints.modules:  # one gate, so that nothing before it is pruned
        assert torch.equal(pruned[own], dense[taught])


class _Stop:
    """Interrupts after so many steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def start(self, label: str, total: float) -> None: ...

    def advance(self, steps: float = 1.0) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None: ...


@pytest.mark.parametrize("regime", [RatioAscent(plan=PLAN), SandwichSampling(plan=PLAN)], ids=["ascent", "sandwich"])
def test_a_resumed_training_ends_with_the_same_weights(regime: Regime, tmp_path) -> None:
    data = Loaders(train=_batches())
    config, goal = FineTune(epochs=3, lr=0.05, bf16=False), Goal(regime=regime)

    def tune(checkpoint: Checkpoint | None, progress=None) -> nn.Module:
        return fine_tune(GatedNetwork(_plain(), PLAN), data, config=config, goal=goal, checkpoint=checkpoint, progress=progress).model

    whole = tune(None)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        tune(Checkpoint(path=path), _Stop(9))
    resumed = tune(Checkpoint(path=path, resume=True))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert not torch.equal(whole.state_dict()["network.0.weight"], _plain()[0].weight)


def test_another_regime_does_not_go_on_with_a_checkpoint(tmp_path) -> None:
    path, data, config = tmp_path / "checkpoint.safetensors", Loaders(train=_batches()), FineTune(epochs=1, bf16=False)
    fine_tune(GatedNetwork(_plain(), PLAN), data, config=config, goal=Goal(regime=RatioAscent(plan=PLAN)), checkpoint=Checkpoint(path=path))
    with pytest.raises(Exception, match="is of another run: regime"):
        fine_tune(
            GatedNetwork(_plain(), PLAN),
            data,
            config=config,
            goal=Goal(regime=RatioAscent(plan=PLAN.scaled(0.5))),
            checkpoint=Checkpoint(path=path, resume=True),
        )


def test_training_with_masks_in_bf16_lowers_the_loss() -> None:
    config = FineTune(epochs=8, lr=0.1, bf16=True)
    tuned = fine_tune(GatedNetwork(_plain(), PLAN), Loaders(train=_batches()), config=config, goal=Goal(regime=RatioAscent(plan=PLAN)))
    assert tuned.history[-1].loss < tuned.history[0].loss


def test_the_sandwich_runs_dense_smallest_and_some_between() -> None:
    network, sandwich = GatedNetwork(_plain(), PLAN), SandwichSampling(plan=PLAN, n_between=2)
    seen: list[float] = []

    def run() -> torch.Tensor:
        seen.append(network.plan.channel_ratios[0])
        return network(_batches(1)[0][0])

    loss = sandwich.loss(network, run, lambda output: output.square().mean())
    assert loss.requires_grad and seen[0] == 0.0 and seen[-1] == 0.5 and len(seen) == 4 and all(0 <= ratio <= 0.5 for ratio in seen)
    with pytest.raises(UsageError, match="n_between and hint_weight must be at least 0 and temperature positive, got -1, 1 and 10"):
        SandwichSampling(plan=PLAN, n_between=-1)


def _served() -> GatedNetwork:
    network = GatedNetwork(_plain(), PLAN).with_budgets((Budget(share=0.0, latency_s=3e-3), Budget(share=1.0, latency_s=1e-3)))
    for place, budget in enumerate(network.budgets):
        network.set_ratios(PLAN.scaled(budget.share))
        recalibrate_batch_norm(network, _batches())
        network.keep_statistics(place)
    network.switch(1)
    return network.eval()


def test_budgets_have_statistics_of_their_own_and_are_switched_at_run_time() -> None:
    network, images = _served(), _batches(1)[0][0]
    with torch.no_grad():
        sparse = network(images)
        network.switch(0)
        dense = network(images)
        assert network.plan.channel_ratios == (0.0,) and not torch.equal(sparse, dense)
        network.switch(1)
        assert torch.equal(network(images), sparse)
    assert network.switch_to_latency(2e-3).share == 1.0 and network.switch_to_latency(5e-3).share == 0.0
    with pytest.raises(UsageError, match=r"no budget is as fast as 0.0001 s; the fastest takes 0.001 s"):
        network.switch_to_latency(1e-4)
    with pytest.raises(UsageError, match=r"must lie in \[0, 2\), got 2"):
        network.switch(2)
    with pytest.raises(UsageError, match="no measured latency"):
        GatedNetwork(_plain(), PLAN).switch_to_latency(1.0)


def test_a_served_network_comes_back_from_its_tensors() -> None:
    network, images = _served(), _batches(1)[0][0]
    again = GatedNetwork(_plain(), GatePlan.from_json(network.full_plan.to_json())).eval()
    again.load_state_dict(network.state_dict())
    renamed = network.with_budgets(tuple(Budget(share=budget.share) for budget in network.budgets)).eval()
    with torch.no_grad():
        for other in (again, renamed):
            for place in (0, 1):
                network.switch(place)
                other.switch(place)
                assert torch.equal(other(images), network(images))


def test_plans_survive_json_and_refuse_nonsense() -> None:
    plan = GatePlan(gates=PLAN.gates, n_blocks=1, heads=(("8", "3", 0),), budgets=(Budget(share=0.5, latency_s=None), Budget(share=1.0)))
    assert GatePlan.from_json(plan.to_json()) == plan
    value = plan.to_json()
    with pytest.raises(PlanError, match="must be 'gates', got 'widths'"):
        GatePlan.from_json(value | {"kind": "widths"})
    with pytest.raises(PlanError, match="not a gate plan"):
        GatePlan.from_json({"kind": "gates"})
    with pytest.raises(PlanError, match=r"must lie in \[0, 1\), got 1"):
        GatePlan.from_json(value | {"gates": [value["gates"][0] | {"channel_ratio": 1.0}]})
    with pytest.raises(PlanError, match="rising shares"):
        GatePlan(gates=(), budgets=(Budget(share=1.0), Budget(share=0.0)))
    with pytest.raises(PlanError, match=r"share of a budget must lie in \[0, 1\], got 2"):
        Budget(share=2.0)
