"""Proposals by Optuna: they follow from the seed and from what was told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewise._core.errors import UsageError
from edgewise.recipes.explore import asking
from edgewise.recipes.explore.asking import Asker, SearchSpace
from edgewise.recipes.explore.fronts import Value

SPACE = SearchSpace(least_share=0.5, n_blocks=2)


def told(params: dict[str, float]) -> Value:
    """Accuracy falls with what is pruned, and so does latency."""
    pruned = sum(value for name, value in params.items() if name != "share") / 4
    return Value(accuracy=0.9 - 0.3 * pruned**2 - 0.1 * (1 - params["share"]), ratio=params["share"] * (1 - 0.5 * pruned))


def asker(folder: Path, sampler: str, seed: int = 0) -> Asker:
    return Asker(folder / "optuna.journal", SPACE, sampler=sampler, population=4, seed=seed)


def proposals(one: Asker, numbers: range) -> Iterator[dict[str, float]]:
    for number in numbers:
        if number < 3:
            params = SPACE.params(share=0.6 + 0.1 * number, channels=(0.2, 0.0), positions=(), base="given")
            one.hear(number, params)
        else:
            params = one.propose()
            one.take(number)
        one.tell(number, told(params))
        yield params


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_proposals_are_the_same_after_a_replay(tmp_path: Path, sampler: str) -> None:
    whole = list(proposals(asker(tmp_path, sampler), range(9)))
    again = asker(tmp_path, sampler)
    for number, params in enumerate(whole[:6]):
        again.hear(number, params)
        again.tell(number, told(params))
    assert list(proposals(again, range(6, 9))) == whole[6:]
    assert whole[3:] != list(proposals(asker(tmp_path, sampler, seed=1), range(9)))[3:]


def test_what_the_solvers_proposed_is_the_first_generation(tmp_path: Path) -> None:
    one = asker(tmp_path, "nsga2")
    list(proposals(one, range(8)))
    generations = [trial.system_attrs["NSGAIISampler:generation"] for trial in one._study.trials]
    assert generations == [0, 0, 0, 0, 1, 1, 1, 1]


def test_parameters_stand_for_networks() -> None:
    params = SPACE.params(share=0.72, channels=(0.6, 0.9), positions=(0.0, 0.2), base="given")
    assert params == {"share": 0.72, "channels_0": 0.6, "channels_1": 0.9, "positions_0": 0.0, "positions_1": 0.2}
    assert SPACE.read(params) == ("given", 0.7, (0.6, 0.9), (0.0, 0.2))


def test_proposals_stay_within_the_space(tmp_path: Path) -> None:
    for params in proposals(asker(tmp_path, "nsga2"), range(12)):
        base, share, channels, positions = SPACE.read(params)
        assert base == "given" and 0.5 <= share <= 1 and all(0 <= ratio <= 0.9 for ratio in (*channels, *positions))
        assert all(round(10 * ratio) == pytest.approx(10 * ratio) for ratio in (*channels, *positions))


def test_failed_and_dropped_proposals_are_no_parents(tmp_path: Path) -> None:
    one = asker(tmp_path, "nsga2")
    one.propose()
    one.take(0)
    one.tell(0, None)
    one.propose()
    one.drop()
    one.tell(5, None)
    states = [trial.state.name for trial in one._study.trials]
    assert states == ["FAIL", "FAIL"]


def test_a_space_of_nothing_is_empty() -> None:
    assert SearchSpace(least_share=1.0, n_blocks=0).empty and not SPACE.empty
    assert SearchSpace(least_share=1.0, n_blocks=1).distributions().keys() == {"channels_0", "positions_0"}
    assert "base" in SearchSpace(least_share=0.5, n_blocks=0, bases=("given", "searched")).distributions()


def test_a_stale_lock_does_not_stop_anyone(tmp_path: Path) -> None:
    (tmp_path / "optuna.journal.lock").symlink_to(tmp_path / "optuna.journal")
    assert len(list(proposals(asker(tmp_path, "random"), range(2)))) == 2


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UsageError, match=r"not installed; pip install 'edgewise\[explore\]'"):
        asking.import_optuna()
