"""A simulated GPU as a device: waves, bounds, what is extrapolated, and agreement of its three ways to price."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.specs import chain
from edgewise._core.errors import SpecError, UnknownNameError, UsageError
from edgewise.cost import Device, Kind
from edgewise.cost.gpu.library import open_gpu
from edgewise.cost.gpu.network import prepare
from edgewise.cost.gpu.portable import Tread
from edgewise.cost.gpu.pricing import Pricer
from edgewise.cost.gpu.specs import gpu_spec, gpu_specs
from edgewise.cost.workload import Workload
from edgewise.recipes.simulated.candidates import jumps
from edgewise.widths.candidates import envelope

CONV = Workload(kernel="fused", op="conv2d", in_channels=64, out_channels=64, in_hw=(32, 32), out_hw=(32, 32), window=(3, 3), stride=(1, 1))


def test_81_blocks_on_80_places_are_two_half_empty_waves() -> None:
    pricer = open_gpu("v100").pricer
    assert isinstance(pricer, Pricer)
    waves, used = pricer._waves(np.array([80.0, 81.0]), 1)
    assert waves.tolist() == [1, 2]
    assert used.tolist() == [1.0, 0.50625]


@pytest.mark.parametrize("name", list(gpu_specs()))
def test_every_gpu_is_a_device_that_prices_everything(name: str) -> None:
    gpu = open_gpu(name, batch=4)
    assert isinstance(gpu, Device)
    net = chain(16, 40)
    pieces = gpu.pieces(net)
    estimates = gpu.estimate(pieces)
    assert all(one.latency_s > 0 and one.kind == Kind.SIMULATED for one in estimates)
    assert {"blocks", "waves", "utilisation", "bound_by", "extrapolated"} <= set(dict(estimates[0].detail))
    assert gpu.total(pieces, estimates).latency_s == pytest.approx(gpu.predict_s(net))


def test_a_prepared_network_costs_the_same_at_any_widths() -> None:
    gpu, net = open_gpu("p6000", batch=8), chain(16, 40)
    ready = prepare(net, gpu)
    free = [tie for tie in net.ties if tie.free]
    for change in ({}, {tie.name: max(1, tie.width - 3) for tie in free}):
        assert ready.latency_s(change) == pytest.approx(gpu.predict_s(net.with_widths(change)), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "extrapolated"),
    [({}, False), ({"window": (1, 1)}, True), ({"stride": (2, 2), "out_hw": (16, 16)}, True), ({"groups": 2}, True), ({"groups": 0}, True)],
)
def test_what_the_traces_do_not_hold_is_marked(change: dict[str, object], extrapolated: bool) -> None:
    fields = {name: getattr(CONV, name) for name in CONV.__dataclass_fields__} | change
    (cost,) = open_gpu("t4", batch=8).costs([Workload(**fields)])
    assert cost.extrapolated is extrapolated


def test_memory_bound_work_and_tiny_work_say_so() -> None:
    gpu = open_gpu("v100", batch=64)
    relu = Workload(kernel="fused", op="relu", in_channels=64, out_channels=64, in_hw=(64, 64), out_hw=(64, 64))
    tiny = Workload(kernel="fused", op="relu", in_channels=1, out_channels=1, in_hw=(2, 2), out_hw=(2, 2))
    assert [cost.bound_by for cost in gpu.costs([relu, tiny])] == ["memory", "launch"]
    assert gpu.costs([CONV.with_widths(512, 512)])[0].bound_by == "compute"


def test_an_addition_reads_two_operands() -> None:
    gpu = open_gpu("v100", batch=64)
    shape = {"kernel": "fused", "in_channels": 64, "out_channels": 64, "in_hw": (64, 64), "out_hw": (64, 64)}
    relu, add = Workload(op="relu", **shape), Workload(op="add", attributes=(("inputs", 2),), **shape)
    first, second = (gpu.price_s(call) - 3e-6 for call in (relu, add))
    assert second / first == pytest.approx(1.5, rel=0.06)


@settings(max_examples=25)
@given(
    read=st.integers(3, 300), batch=st.integers(1, 128), size=st.integers(4, 40), name=st.sampled_from(["titan-v", "p6000", "jetson-nano"])
)
def test_the_envelope_never_falls_and_edges_are_right_edges(read: int, batch: int, size: int, name: str) -> None:
    call = Workload(
        kernel="fused", op="conv2d", in_channels=read, out_channels=1, in_hw=(size, size), out_hw=(size, size), window=(3, 3), stride=(1, 1)
    )
    latency = open_gpu(name, batch=batch).staircase(call, np.arange(1.0, 201.0)).latency_s
    raised = np.array(envelope(latency.tolist()))
    assert (np.diff(raised) >= 0).all()
    assert all(raised[place + 1] > raised[place] * 1.01 for place in jumps(latency)[:-1])


def test_the_staircase_steps_at_the_tiles() -> None:
    latency = open_gpu("titan-v", batch=128).staircase(CONV, np.arange(1.0, 129.0)).latency_s
    assert {place + 1 for place in jumps(latency)} >= {32, 64, 128}


def test_data_sheets_have_sources_and_only_cards_of_little_power_throttle() -> None:
    assert all(spec.sources for spec in gpu_specs().values())
    assert {name for name, spec in gpu_specs().items() if spec.throttle > 1} == {"p4", "t4", "titan-v", "l4"}
    assert gpu_spec("TITAN-V").name == "titan-v"


def test_bad_names_and_batches_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean titan-v"):
        open_gpu("titan-x")
    with pytest.raises(UsageError, match="`batch` must be at least 1, got 0"):
        open_gpu("v100", batch=0)


def test_a_tread_by_hand() -> None:
    assert Tread(step=32, softness=0.0).efficiency(np.array([33.0])).tolist() == [1.0]
    assert Tread(step=32, softness=0.5).efficiency(np.array([32.0, 48.0])).tolist() == [1.0, pytest.approx(1 / (0.5 + 0.5 / 0.75))]
    with pytest.raises(SpecError, match=r"softness.* in \[0, 1\]"):
        Tread(step=1, softness=2.0)
