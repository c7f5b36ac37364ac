"""The model: terms by hand, choice of the family, fits that recover what made the data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cost.gpu.made_up import drawn_shapes, fit_of
from edgewise._core.errors import DataError, SpecError
from edgewise.cost.gpu.families import Family
from edgewise.cost.gpu.fitting import Traced, errors_of, fit_handicaps, fit_model
from edgewise.cost.gpu.model import GpuModel, model_from_json
from edgewise.cost.gpu.residual import Boosting, grow_trees, trees_from_json
from edgewise.cost.gpu.shapes import conv_shapes
from edgewise.cost.gpu.terms import TERMS, Machine, terms_of


def test_terms_by_hand() -> None:
    shapes = conv_shapes(
        {name: np.array([value]) for name, value in (("batch", 2.0), ("in_channels", 4.0), ("out_channels", 70.0), ("size", 8.0))}
    )
    machine = Machine(multiprocessors=3, flops_per_s=3e9, bytes_per_s=1e9)
    found = dict(zip(TERMS, terms_of(Family(kind="ig", tile=(128, 64)), shapes, machine)[0].tolist(), strict=True))
    blocks, flops = 1 * 2, 2 * 9 * 4 * 128 * 64
    assert found["launch"] == pytest.approx(1e-4)
    assert found["waves"] == pytest.approx(1 * flops * 3 / 3e9)  # 2 blocks on 3 SMs: one wave
    assert found["block"] == pytest.approx(flops * 3 / 3e9)
    assert found["activations"] == pytest.approx(4 * 2 * 64 * (4 + 70) / 1e9)
    assert found["weights"] == pytest.approx(36 * 4 * 70 / 1e9)
    assert found["reread"] == pytest.approx(blocks * 4 * 2 * 4 * 64 / 1e9)
    assert found["tiles"] == pytest.approx(3 * 4 * 128 * 64 / 1e9)
    assert found["transform_in"] == found["transform_out"] == 0


def test_the_cheapest_family_is_chosen_and_the_handicap_only_chooses(model: GpuModel, machine: Machine) -> None:
    shapes = drawn_shapes(50)
    free = model.choose(shapes, machine)
    assert set(free.place.tolist()) == {0, 1}
    assert np.array_equal(free.latency_s, free.times_s.min(axis=0))
    first, second = model.families
    forced = replace(model, families=(replace(first, handicap=1e6), second)).choose(shapes, machine)
    assert set(forced.place.tolist()) == {1}
    assert np.array_equal(forced.latency_s, free.times_s[1])


def test_a_fit_recovers_the_times_of_a_known_gpu(trace: Traced) -> None:
    fitted = fit_model([trace], residual=False)
    errors = errors_of(fitted.choose(trace.shapes, trace.machine).latency_s, trace.latency_s)
    assert errors.mean < 1e-3
    assert errors.spearman > 0.9999


def test_coefficients_pooled_over_two_gpus_price_a_third(trace: Traced, model: GpuModel) -> None:
    second, third = (
        Machine(multiprocessors=sms, flops_per_s=flops, bytes_per_s=moved) for sms, flops, moved in ((40, 6e12, 320e9), (20, 5e12, 200e9))
    )
    choice = model.choose(trace.shapes, second)
    other = replace(
        trace, latency_s=choice.latency_s, machine=second, families=tuple(model.families[place].family for place in choice.place)
    )
    moved = fit_model([trace, other], residual=False).choose(trace.shapes, third).latency_s
    assert errors_of(moved, model.choose(trace.shapes, third).latency_s).mean < 0.02


def test_handicaps_find_the_family_that_the_library_prefers() -> None:
    times = np.array([[1.0, 1.0, 1.0], [0.8, 0.8, 2.0]])
    handicaps = fit_handicaps(times, np.array([1.0, 1.0, 1.0]))
    assert (times * handicaps[:, None]).argmin(axis=0).tolist() == [0, 0, 0]


def test_too_few_rows_are_refused(trace: Traced) -> None:
    with pytest.raises(DataError, match="at least 60 rows, got 10"):
        fit_model([trace.chosen(np.arange(len(trace)) < 10)])


def test_rows_without_families_are_refused(trace: Traced) -> None:
    with pytest.raises(DataError, match="kernel family with at least 25 rows, got none"):
        fit_model([replace(trace, families=(None,) * len(trace))])


def test_trees_learn_what_the_form_leaves_and_survive_json() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((600, 4))
    logs = np.where(rows[:, 1] > 0.5, 0.3, -0.2)
    trees = grow_trees(rows, logs, rng=rng, boosting=Boosting(trees=60, depth=2, rate=0.2))
    assert np.abs(trees.predict(rows) - logs).mean() < 0.03
    again = trees_from_json(json.loads(json.dumps(trees.to_json())))
    assert np.abs(again.predict(rows) - trees.predict(rows)).max() < 0.02


def test_the_residual_is_switchable_and_leaves_other_shapes_alone(trace: Traced) -> None:
    slower = replace(trace, latency_s=trace.latency_s * np.where(trace.shapes.out_channels % 4 == 0, 1.0, 1.3))
    model = fit_model([slower])
    plain, corrected = (model.choose(slower.shapes, slower.machine, residual=on).latency_s for on in (False, True))
    assert errors_of(corrected, slower.latency_s).mean < 0.7 * errors_of(plain, slower.latency_s).mean
    strided = conv_shapes(
        {name: np.array([32.0]) for name in ("batch", "in_channels", "out_channels", "size")} | {"stride": np.array([2.0])}
    )
    both = [model.choose(strided, slower.machine, residual=on).latency_s[0] for on in (False, True)]
    assert both[0] == both[1]


def test_a_model_survives_json(trace: Traced) -> None:
    model = fit_model([trace], boosting=Boosting(trees=5))
    again = model_from_json(json.loads(json.dumps(model.to_json())))
    kept = [one.choose(trace.shapes, trace.machine, residual=True).latency_s for one in (model, again)]
    assert errors_of(kept[1], kept[0]).mean < 1e-3


def test_a_damaged_model_is_refused() -> None:
    with pytest.raises(SpecError, match="damaged"):
        model_from_json({"families": [{"family": "ig-128x64"}], "launch_s": 0.0})


def test_negative_coefficients_are_refused() -> None:
    with pytest.raises(SpecError, match=r"coefficients >= 0"):
        fit_of("ig", (128, 64), waves=-1.0)
