"""The search: its losses, where it lands, that it resumes, and what it does when it fails."""

import subprocess
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewise._core.errors import RunError, TargetError, UnknownNameError, UsageError
from edgewise.models.mobile import MobileNet
from edgewise.singlepath.baselines import Evolution, evolve, inherited_score, random_search
from edgewise.singlepath.choosing import choose, log_likelihoods
from edgewise.singlepath.gates import Steering, plan_of, values_of
from edgewise.singlepath.losses import hinge_term, lagrangian_term, log_term, next_multiplier
from edgewise.singlepath.multipath import MultiPathNet
from edgewise.singlepath.optimizers import ThresholdSteps
from edgewise.singlepath.search import search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.step_cost import step_cost_ratio
from edgewise.singlepath.supernet import Supernet
from edgewise.space import SPACES
from edgewise.space.drawing import draw_in_window, window_below
from edgewise.space.prices import Prices, price_space
from edgewise.space.solve import Window
from edgewise.train.checkpoint import Checkpoint
from edgewise.train.data import DataSpec, open_data
from edgewise.train.faults import DivergedError
from edgewise.train.loop import Loaders

SPACE = SPACES["digits"]
BRIEF = SearchSettings(epochs=1.0, explore=0.5, bf16=False)


def prices() -> Prices:
    """Kernel times expansion, in tenths of a millisecond."""
    return price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * choice.expansion * 1e-4)


def supernet(form: str = "exact") -> Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(SPACE, form=form)
    net.set_prices(prices())
    return net


@pytest.fixture(scope="module")
def digits() -> Loaders:
    data = open_data(DataSpec(text="digits", batch_size=64))
    batches = [batch for _, batch in zip(range(8), data.train, strict=False)]
    return Loaders(train=batches, validation=list(data.validation))


class TestLosses:
    def test_the_authors_term(self) -> None:
        runtime = torch.tensor(80.0, dtype=torch.float64, requires_grad=True)
        term = log_term(runtime, 0.02)
        term.backward()
        assert term.item() == pytest.approx(87.6405, abs=5e-5)
        assert runtime.grad is not None and runtime.grad.item() == pytest.approx(0.25)

    def test_the_hinge_is_flat_below_the_target(self) -> None:
        runtime = torch.tensor(0.9, requires_grad=True)
        hinge_term(runtime, 1.0, 15.0).backward()
        assert runtime.grad is not None and runtime.grad.item() == 0.0
        # 15 ln(1 + 100 * 0.1)
        assert hinge_term(torch.tensor(1.1, dtype=torch.float64), 1.0, 15.0).item() == pytest.approx(15 * np.log(11), rel=1e-6)

    def test_the_lagrangian_pulls_from_both_sides(self) -> None:
        for runtime_ms, sign in ((1.2, 1), (0.8, -1)):
            runtime = torch.tensor(runtime_ms, requires_grad=True)
            lagrangian_term(runtime, 1.0, multiplier=0.0, strength=2.0).backward()
            assert runtime.grad is not None and runtime.grad.item() == pytest.approx(sign * 0.4, rel=1e-5)
        assert lagrangian_term(torch.tensor(1.5), 1.0, multiplier=2.0, strength=4.0).item() == pytest.approx(1.5)

    def test_the_multiplier_integrates_the_miss(self) -> None:
        assert next_multiplier(1.0, 1.0, 1.0, strength=1.0) == 1.0
        assert next_multiplier(0.0, 0.5, 1.0, strength=2.0) == pytest.approx(-0.02)
        assert next_multiplier(20.0, 9.0, 1.0, strength=5.0) == 20.0

    def test_steps_of_thresholds_have_one_scale(self) -> None:
        thresholds = torch.nn.Parameter(torch.zeros(2))
        steps = ThresholdSteps(thresholds, lr=0.1)
        thresholds.grad = torch.tensor([1.0, 0.1])
        steps.step()
        # Root mean square of the gradient: sqrt(0.505). Each moves in proportion to its own.
        assert thresholds.tolist() == pytest.approx([-0.1 / 0.505**0.5, -0.01 / 0.505**0.5], rel=1e-4)


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"epochs": 0}, "--search-epochs must be positive"),
            ({"explore": 1.0}, r"--explore must be in \[0, 1\)"),
            ({"strength": -1}, "--strength must be positive"),
            ({"even": 1.0}, r"--even must be in \[0, 1\)"),
            ({"explore": 0.5, "even": 0.5}, "--explore and --even together must be below 1, got 1"),
        ],
    )
    def test_numbers_out_of_range(self, change: dict, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            SearchSettings(**change)

    def test_unknown_words(self) -> None:
        with pytest.raises(UnknownNameError, match="unknown loss 'hings'; did you mean hinge"):
            SearchSettings(loss="hings")


class TestSearch:
    def test_the_runtime_moves_to_the_target(self, digits: Loaders) -> None:
        net = supernet()
        settings = replace(BRIEF, epochs=12.0, explore=0.2, threshold_lr=0.1, strength=5.0)
        target_s = 5e-3
        before_s = prices().latency_s(net.decided())
        outcome = search(net, digits, targets_s=(target_s,), settings=settings)
        assert before_s == prices().range_s[1] and outcome.history[0].loss > outcome.history[-1].loss
        reached_s = prices().latency_s(outcome.decided)
        assert abs(reached_s - target_s) < abs(before_s - target_s) / 3
        plan = choose(outcome.net, prices(), target_s)
        assert target_s * 0.9 <= prices().latency_s(plan) <= target_s

    @pytest.mark.parametrize("others_s", [(), (4e-3,)])
    def test_at_last_networks_of_the_latency_are_drawn_and_thresholds_stay(self, digits: Loaders, others_s: tuple[float, ...]) -> None:
        net, seen = supernet(), []
        net.register_forward_pre_hook(lambda module, given: seen.append((given[1], module.thresholds.detach().clone())))
        search(net, digits, targets_s=(5e-3, *others_s), settings=replace(BRIEF, epochs=2.0, explore=0.25, even=0.5))
        modes = [steering.mode for steering, _ in seen]
        assert modes == ["given"] * 4 + ["drawn"] * 4 + ["fixed"] * 8
        assert not torch.equal(seen[4][1], seen[8][1]) and torch.equal(seen[8][1], net.thresholds)
        drawn_s = [prices().latency_s(plan_of(SPACE, steering.values)) for steering, _ in seen[8:]]
        shares = [latency_s / target_s for latency_s, target_s in zip(drawn_s, cycle((5e-3, *others_s)), strict=False)]
        assert all(0.88 <= share <= 1 + 1e-9 for share in shares) and len({tuple(steering.values.tolist()) for steering, _ in seen[8:]}) > 2

    def test_the_authors_form_ends_with_decisions(self, digits: Loaders) -> None:
        net, seen = supernet("published"), []
        net.register_forward_pre_hook(lambda module, given: seen.append(given[1].mode))
        search(net, digits, targets_s=(5e-3,), settings=replace(BRIEF, form="published", loss="log", strength=0.02))
        assert seen == ["dropped"] * 4 + ["hard"] * 4

    def test_what_is_fixed_teaches_no_decision(self) -> None:
        net = supernet()
        values = values_of(SPACE, SPACE.smallest)
        scores, _ = net(torch.ones(2, 1, 8, 8), Steering(mode="fixed", values=values))
        scores.square().sum().backward()
        assert net.thresholds.grad is not None and not net.thresholds.grad.any()
        given, _ = net(torch.ones(2, 1, 8, 8), Steering(mode="given", values=values))
        assert torch.equal(given, scores)

    @pytest.mark.parametrize(
        ("loss", "strength", "form"), [("hinge", 15.0, "exact"), ("log", 0.02, "published"), ("lagrangian", 1.0, "published")]
    )
    def test_other_losses_and_forms_run(self, digits: Loaders, loss: str, strength: float, form: str) -> None:
        outcome = search(supernet(form), digits, targets_s=(5e-3,), settings=replace(BRIEF, loss=loss, strength=strength, form=form))
        assert len(outcome.history) >= 1 and np.isfinite(outcome.history[-1].loss)
        SPACE.check(outcome.decided)

    def test_the_same_seed_gives_the_same_search(self, digits: Loaders) -> None:
        found = [search(supernet(), digits, targets_s=(5e-3,), settings=BRIEF) for _ in range(2)]
        assert torch.equal(found[0].net.thresholds, found[1].net.thresholds)
        assert all(torch.equal(a, b) for a, b in zip(found[0].net.state_dict().values(), found[1].net.state_dict().values(), strict=True))

    def test_a_killed_search_goes_on_to_the_same_end(self, digits: Loaders, tmp_path: Path) -> None:
        whole = search(supernet(), digits, targets_s=(5e-3,), settings=BRIEF)
        path = tmp_path / "search.safetensors"

        class KilledError(Exception):
            pass

        class Watcher:
            steps = 0

            def start(self, label: str, total: float) -> None:
                self.steps = 0

            def advance(self, steps: float = 1.0) -> None:
                self.steps += 1
                if self.steps == 6:
                    raise KilledError

            def note(self, text: str) -> None:
                pass

        with pytest.raises(KilledError):
            search(supernet(), digits, targets_s=(5e-3,), settings=BRIEF, checkpoint=Checkpoint(path=path, every_s=0.0), progress=Watcher())
        again = search(supernet(), digits, targets_s=(5e-3,), settings=BRIEF, checkpoint=Checkpoint(path=path, resume=True))
        for name, tensor in whole.net.state_dict().items():
            assert torch.equal(tensor, again.net.state_dict()[name]), name
        assert [record.decided for record in again.history] == [record.decided for record in whole.history]

    def test_other_settings_do_not_go_on(self, digits: Loaders, tmp_path: Path) -> None:
        path = tmp_path / "search.safetensors"
        search(supernet(), digits, targets_s=(5e-3,), settings=BRIEF, checkpoint=Checkpoint(path=path))
        with pytest.raises(RunError, match=r"of another run: target ms \(5.0 there, 6.0 now\)"):
            search(supernet(), digits, targets_s=(6e-3,), settings=BRIEF, checkpoint=Checkpoint(path=path, resume=True))

    def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_state(self, digits: Loaders, tmp_path: Path) -> None:
        images, target = digits.train[0]
        bad = Loaders(train=[digits.train[0], (images * float("nan"), target)])
        path = tmp_path / "search.safetensors"
        with pytest.raises(
            DivergedError, match=r"is nan in step 2 of 2; the last good state is kept in .*search\.safetensors; search again with"
        ):
            search(supernet(), bad, targets_s=(5e-3,), settings=BRIEF, checkpoint=Checkpoint(path=path, every_s=0.0))
        from safetensors.torch import load_file

        assert all(bool(torch.isfinite(tensor).all()) for tensor in load_file(path).values())

    def test_two_processes_decide_as_one(self, tmp_path: Path) -> None:
        script = Path(__file__).with_name("two_processes.py")
        runs = [
            subprocess.Popen(
                [sys.executable, str(script), str(rank), str(size), str(tmp_path / f"store-{size}")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for size in (1, 2)
            for rank in range(size)
        ]
        said = [run.communicate(timeout=240) for run in runs]
        assert [run.returncode for run in runs] == [0, 0, 0], said
        decided = [out.strip().splitlines()[-1] for out, _ in said]
        assert decided[0] == decided[1] == decided[2] and "3x3-3" in decided[0]


class TestChoosing:
    def test_probabilities_of_a_block_sum_to_one(self) -> None:
        net = supernet()
        with torch.no_grad():
            net.thresholds.uniform_(-1, 2, generator=torch.Generator().manual_seed(0))
        for values in log_likelihoods(net):
            assert sum(np.exp(value) for value in values.values()) == pytest.approx(1.0, abs=1e-4)

    def test_without_a_limit_the_likeliest_is_what_the_gates_decide(self) -> None:
        net = supernet()
        with torch.no_grad():
            net.thresholds[:] = torch.tensor([3.0, -9, 3, -9, -9, -9, -9, 9, 9, 9])[: net.thresholds.numel()]
        plan = choose(net, prices(), prices().range_s[1], tolerance=1.0)
        assert plan.labels == net.decided().labels

    def test_a_target_below_everything_is_refused(self) -> None:
        with pytest.raises(TargetError, match="takes at most 1 ms; the fastest takes"):
            choose(supernet(), prices(), 1e-3)


class TestBaselines:
    def test_random_networks_lie_in_the_window(self) -> None:
        window = Window(least_s=5e-3, most_s=5.3e-3)
        rng = np.random.default_rng(0)
        plans = {draw_in_window(prices(), window, rng) for _ in range(20)}
        assert len(plans) > 5 and all(window.contains(prices().latency_s(plan)) for plan in plans)
        with pytest.raises(TargetError, match=r"found between 90 and 91 ms; the space reaches 2\.8 to 13 ms"):
            draw_in_window(prices(), Window(least_s=90e-3, most_s=91e-3), rng)

    def test_a_window_is_as_wide_as_it_must_be(self) -> None:
        coarse = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: 1e-3)
        # 2 stages of a block that stays and one that may go: 3, 4 or 5 ms.
        assert window_below(coarse, 4.02e-3) == Window(least_s=4.02e-3 * 0.97, most_s=4.02e-3)
        assert window_below(coarse, 4.2e-3) == Window(least_s=4.2e-3 * 0.94, most_s=4.2e-3)
        assert window_below(coarse, 3.9e-3).least_s == 0.0
        fastest = window_below(coarse, 1e-3)
        assert draw_in_window(coarse, fastest, np.random.default_rng(0)) is not None and fastest.contains(coarse.range_s[0])

    def test_evolution_beats_random_search_on_a_known_score(self) -> None:
        window = Window(least_s=4e-3, most_s=7e-3)

        def score(plan) -> float:
            return sum(choice.kernel == 5 and choice.expansion == 3 and not choice.skip for choice in plan.blocks)

        evolved = evolve(prices(), window, score, course=Evolution(generations=10, population=12), seed=0)
        drawn = random_search(prices(), window, score, n=10, seed=0)
        assert evolved[0].score >= 3 and evolved[0].score >= drawn[0].score
        assert all(window.contains(one.predicted_s) for one in (*evolved, *drawn))
        assert [one.score for one in drawn] == sorted((one.score for one in drawn), reverse=True)

    def test_evolution_may_begin_with_given_networks(self) -> None:
        window, judged = Window(least_s=4e-3, most_s=7e-3), []
        given = draw_in_window(prices(), window, np.random.default_rng(5))

        def score(plan) -> float:
            judged.append(plan)
            return float(plan == given)

        begin = (SPACE.largest, given)  # the largest lies outside the window
        best = evolve(prices(), window, score, course=Evolution(generations=2, population=4, begin=begin), seed=0)[0]
        assert judged[0] == best.plan == given and SPACE.largest not in judged

    def test_inherited_scores_are_of_the_childs_own_norms(self, digits: Loaders) -> None:
        net = search(supernet(), digits, targets_s=(5e-3,), settings=replace(BRIEF, epochs=15.0, explore=0.9, even=0.0)).net
        weights = {name: parameter.clone() for name, parameter in net.named_parameters()}
        score = inherited_score(net, digits.train, digits.validation)
        assert score(SPACE.largest) > 0.3
        assert all(torch.equal(parameter, weights[name]) for name, parameter in net.named_parameters())

    def test_evolution_needs_parents(self) -> None:
        with pytest.raises(UsageError, match="population >= 2, got 10 and 1"):
            Evolution(population=1)


class TestCosts:
    def test_the_multipath_net_has_a_path_for_every_choice(self) -> None:
        net = MultiPathNet(SPACE)
        child = MobileNet(SPACE, SPACE.largest)
        paths = sum(parameter.numel() for parameter in net.blocks.parameters())
        single = sum(parameter.numel() for parameter in child.blocks.parameters())
        assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10) and paths > 2.5 * single

    def test_a_step_is_timed_beside_the_largest_childs(self) -> None:
        before = torch.get_rng_state()
        ratio = step_cost_ratio(supernet(), torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.long), repeats=1)
        assert 0.2 < ratio < 50 and torch.equal(before, torch.get_rng_state())
