"""Networks of the likeliest's latency judged as wholes: the best that meets the target is taken, else nothing changes."""

from collections.abc import Sequence

import pytest

from edgewise._core.progress import SilentProgress
from edgewise.ir import ArchPlan
from edgewise.measure.sampling import Sample
from edgewise.recipes.searching.aiming import Hit
from edgewise.recipes.searching.refining import Refiner
from edgewise.space import SPACES
from edgewise.space.prices import price_space

SPACE = SPACES["digits"]
PRICES = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.expansion * 3e-4 - choice.kernel * 1e-6)
LATENCY_S = 4.5e-3


def kernels_of_five(plan: ArchPlan) -> float:
    return sum(choice.kernel == 5 and not choice.skip for choice in plan.blocks) / len(plan.blocks)


def likeliest(*, late_s: float = 0.0) -> Hit:
    """A network of the latency aimed at without any kernel of 5, and so many seconds above its target."""
    plans = (plan for plan in every_plan() if kernels_of_five(plan) == 0)
    plan = min(plans, key=lambda one: abs(PRICES.latency_s(one) - LATENCY_S))
    predicted_s = PRICES.latency_s(plan)
    return Hit(plan=plan, predicted_s=predicted_s, target_s=predicted_s - late_s, sample=Sample(times_s=(predicted_s,)), tries=2)


def every_plan() -> list[ArchPlan]:
    plans = [ArchPlan(blocks=())]
    for block in SPACE.blocks:
        plans = [ArchPlan(blocks=(*plan.blocks, choice)) for plan in plans for choice in block.choices]
    return plans


class Shots:
    """Sets networks beside a target; networks named are slower than the prices say."""

    def __init__(self, target_s: float, *, slower: float = 1.0) -> None:
        self.target_s, self.slower = target_s, slower
        self.asked: list[ArchPlan] = []

    def __call__(self, plans: Sequence[ArchPlan]) -> list[Hit]:
        self.asked += plans
        seconds = [PRICES.latency_s(plan) * (self.slower if place == 0 else 1.0) for place, plan in enumerate(plans)]
        return [
            Hit(plan=plan, predicted_s=PRICES.latency_s(plan), target_s=self.target_s, sample=Sample(times_s=(one,)))
            for plan, one in zip(plans, seconds, strict=True)
        ]


def refiner(n: int) -> Refiner:
    return Refiner(prices=PRICES, score=kernels_of_five, n=n, progress=SilentProgress())


def test_the_best_network_of_that_latency_is_taken() -> None:
    hit = likeliest()
    shots = Shots(hit.target_s)
    found = refiner(64).refined(hit, shots)
    reachable = [plan for plan in every_plan() if 0.97 * hit.target_s <= PRICES.latency_s(plan) <= hit.target_s * (1 + 1e-12)]
    assert found.score == kernels_of_five(found.hit.plan) == max(map(kernels_of_five, reachable)) > 0
    assert found.likeliest == 0 and found.judged > 4 and 0 < len(shots.asked) <= 4
    assert found.hit.met and found.hit.miss <= 0 and found.hit.tries == 3
    assert found.to_json() == {"judged": found.judged, "likeliest": 0.0, "found": found.score}


def test_a_better_network_that_misses_the_target_gives_way_to_the_next() -> None:
    hit = likeliest()
    found = refiner(64).refined(hit, shots := Shots(hit.target_s, slower=1.05))
    assert found.hit.plan == shots.asked[1] and found.hit.miss <= 0


def test_the_window_is_moved_by_what_the_likeliest_missed() -> None:
    hit = likeliest(late_s=9e-4)
    found = refiner(64).refined(hit, Shots(hit.target_s))
    assert found.score > 0 and found.hit.predicted_s <= hit.target_s * (1 + 1e-12) < hit.predicted_s


@pytest.mark.parametrize("n", [0, 4])
def test_without_a_better_network_the_likeliest_stays(n: int) -> None:
    best = max(every_plan(), key=lambda plan: (kernels_of_five(plan), PRICES.latency_s(plan)))
    latency_s = PRICES.latency_s(best)
    hit = Hit(plan=best, predicted_s=latency_s, target_s=latency_s)
    found = refiner(n).refined(hit, Shots(latency_s))
    assert found.hit is hit and found.score == found.likeliest == 1.0
