"""A device that learns from timings of single calls, held to a truth that is known."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost.specs import Builder, chain
from edgewise._core.errors import UnknownLayerError
from edgewise.cost import Device, Kind, Workload
from edgewise.cost.lowering.lower import pieces_of
from edgewise.ir import NetSpec
from edgewise.measure import pricing
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.measured_device import MOST_PROBES, device_for, relative_error
from edgewise.measure.overheads import Overheads
from edgewise.measure.pricing import PriceBook
from edgewise.measure.settings import RuntimeSettings
from measure.stand_ins import AT_ONCE, KnownProber

DEVICES = ("openvino-cpu", "onnxruntime-cpu")


def truth_s(work: Workload) -> float:
    """Tiles of 16 channels where kernels have them, straight lines elsewhere; long enough for a timer's loop of one."""
    positions = math.prod(work.out_hw) if work.out_hw else 1
    size = positions * max(math.prod(work.window), 1)
    extra = 1e-4 * work.adds + 2e-4 * bool(work.activation)
    if work.kernel in ("nchwc", "fused") and work.has_weight:
        read, written = -(-work.in_channels // 16) * 16, -(-work.out_channels // 16) * 16
    elif work.kernel in ("nchwc_first", "reorder_out", "reorder_in", "blocked"):
        read, written = work.in_channels, -(-work.out_channels // 16) * 16
    else:
        read, written = work.in_channels, work.out_channels
    if work.one_width:
        return 2e-4 + extra + 1e-8 * size * written
    return 1e-4 + extra + 1e-9 * size * read * written


def residual() -> NetSpec:
    builder = Builder()
    builder.conv("stem", 48)
    builder.point("stem_relu", "relu")
    builder.conv("inner", 72)
    builder.point("inner_relu", "relu")
    builder.conv("outer", 48, tie="stem")
    builder.point("add", "add", "outer", "stem_relu")
    builder.point("relu", "relu")
    builder.conv("wide", 100)
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()


def separable() -> NetSpec:
    builder = Builder()
    builder.conv("stem", 64)
    builder.point("stem_relu", "relu")
    builder.conv("each", 64, tie="stem", groups=64, depthwise=True)
    builder.point("each_relu", "relu")
    builder.conv("mix", 96)
    builder.pool("pool")
    builder.linear("fc", 10)
    return builder.net()


NETS = {"chain": chain(40, 64, 96), "residual": residual(), "separable": separable()}


class Bench:
    """A learnt device, what it asked for, and the truth."""

    def __init__(self, net: NetSpec, device: str, folder: Path, overheads: Overheads | None = None) -> None:
        self.net = net
        self.prober = KnownProber(truth_s)
        identity = DeviceIdentity(device=device, cpu="a", isa="b", runtime="c", version="1", threads=1, precision="fp32", batch=1)
        self.book = PriceBook(prober=self.prober, identity=identity, database=LatencyDatabase(folder / f"{device}-{net.name}.sqlite"))
        self.device = device_for(net, RuntimeSettings(device=device), self.book, overheads=overheads or Overheads())

    def learn(self) -> "Bench":
        self.device.learn(self.net, floor=0.25)
        return self

    def known_s(self, widths: dict[str, int]) -> float:
        return sum(truth_s(piece.workload) for piece in pieces_of(self.device.lowering(self.net), {**self.net.widths, **widths}))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "PROBE_SCHEDULE", AT_ONCE)


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Bench]:
    folder = tmp_path_factory.mktemp("prices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pricing, "PROBE_SCHEDULE", AT_ONCE)
        return {(name, device): Bench(net, device, folder / name).learn() for name, net in NETS.items() for device in DEVICES}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list(NETS))
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_networks_at_any_widths_are_foretold(name: str, device: str, benches: dict[tuple[str, str], Bench], data: st.DataObject) -> None:
    bench = benches[name, device]
    widths = {tie.name: data.draw(st.integers(max(1, tie.width // 4), tie.width * 5 // 4)) for tie in bench.net.ties}
    assert bench.device.predict_s(bench.net.with_widths(widths)) == pytest.approx(bench.known_s(widths), rel=0.01)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list(NETS))
def test_the_present_network_is_foretold_and_steps_are_found(name: str, device: str, benches: dict[tuple[str, str], Bench]) -> None:
    bench = benches[name, device]
    assert bench.device.predict_s(bench.net) == pytest.approx(bench.known_s({}), rel=0.01)
    stepped = [found for family, found in bench.device.learnt.items() if family.kernel in ("nchwc", "fused") and family.has_weight]
    steps = {
        found.out_step for family, found in bench.device.learnt.items() if family.kernel in ("nchwc", "fused") and family.op == "conv2d"
    }
    assert steps == {16}
    assert max(found.held_out_error for found in stepped) < 0.02


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", list(NETS))
def test_few_calls_of_each_kind_are_timed(name: str, device: str, benches: dict[tuple[str, str], Bench]) -> None:
    bench = benches[name, device]
    counts: dict[Workload, int] = {}
    for work in bench.prober.loaded:
        counts[work.family] = counts.get(work.family, 0) + 1
    timed = list(zip(bench.prober.loaded, bench.prober.footprints, strict=True))
    assert len(set(timed)) == len(timed)
    assert max(counts.values()) <= MOST_PROBES
    assert all(found.probes <= MOST_PROBES for found in bench.device.learnt.values())


@pytest.mark.parametrize("device", DEVICES)
def test_it_keeps_the_contract_of_a_device(device: str, tmp_path: Path) -> None:
    over = Overheads(start_s=1e-3, per_call_s=1e-5, scale=1.2)
    bench = Bench(chain(32, 48), device, tmp_path, over).learn()
    measured: Device = bench.device
    assert isinstance(measured, Device)
    pieces = measured.pieces(bench.net)
    estimates = measured.estimate(pieces)
    assert [estimate.kind for estimate in estimates] == [Kind.PREDICTED] * len(pieces)
    assert {name for piece in pieces for name in piece.layers} == {layer.name for layer in bench.net.layers} - {"x", "fc.flatten"}
    total = measured.total(pieces, estimates)
    expected = 1e-3 + 1e-5 * len(pieces) + 1.2 * sum(estimate.latency_s for estimate in estimates)
    assert total.latency_s == pytest.approx(expected)
    assert bench.device.predict_s(bench.net) == total.latency_s
    assert measured.name == device
    assert measured.estimate(pieces) == estimates


def test_learning_twice_times_nothing_again(tmp_path: Path) -> None:
    bench = Bench(chain(32, 48), "openvino-cpu", tmp_path).learn()
    count = len(bench.prober.loaded)
    assert len(bench.learn().prober.loaded) == count


def test_a_device_that_learnt_nothing_says_what_to_do(tmp_path: Path) -> None:
    bench = Bench(chain(32), "openvino-cpu", tmp_path)
    with pytest.raises(
        UnknownLayerError, match=r"no timings of reorder \(input_layout\) at \(8, 8\) on openvino-cpu; profile the network first"
    ):
        bench.device.predict_s(bench.net)
    assert bench.device.step_of(bench.device.pieces(bench.net)[0].workload) == 1


def test_a_kind_of_call_that_no_trial_brought_out_is_timed_when_asked_for(tmp_path: Path) -> None:
    bench = Bench(chain(32), "openvino-cpu", tmp_path).learn()
    strange = Workload(kernel="fused", op="max_pool2d", in_channels=24, out_channels=24, in_hw=(4, 4), out_hw=(2, 2), window=(2, 2))
    assert bench.device.price_s(strange) == pytest.approx(truth_s(strange), rel=0.01)


def test_relative_errors() -> None:
    assert relative_error(1.1, 1.0) == pytest.approx(0.1)
    assert relative_error(1.0, 0.0) == math.inf
