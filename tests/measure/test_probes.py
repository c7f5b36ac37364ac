"""Every kind of call that networks make can be loaded and timed alone, in every runtime."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import openvino
import pytest

from edgewise.cost import Workload
from edgewise.cost.workload import plain_conv
from edgewise.deploy.openvino_core import openvino_core
from edgewise.measure.footprint import footprint_class
from edgewise.measure.probes import copies as copies_of_calls
from edgewise.measure.probes import onnxruntime_cpu as onnx_probes
from edgewise.measure.probes import open_prober
from edgewise.measure.probes import openvino_cpu as openvino_probes
from edgewise.measure.probes.copies import CopiesSession, WeightPool, bytes_beside, copy_count
from edgewise.measure.runtimes.openvino_cpu import OpenVinoSession
from edgewise.measure.settings import RuntimeSettings
from measure.stand_ins import KnownSession

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SETTINGS = {device: RuntimeSettings(device=device) for device in ("onnxruntime-cpu", "openvino-cpu", "torch-cpu")}


def conv(kernel: str = "fused", **changes: object) -> Workload:
    return replace(plain_conv(kernel, 32, 48, 6), **changes)  # type: ignore[arg-type]


def single(op: str, kernel: str = "plain", out_hw: tuple[int, ...] = (6, 6), **changes: object) -> Workload:
    return replace(Workload(kernel=kernel, op=op, in_channels=32, out_channels=32, in_hw=(6, 6), out_hw=out_hw), **changes)  # type: ignore[arg-type]


POOL = {"out_hw": (3, 3), "window": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
ACTIVATIONS = (
    "relu",
    "relu6",
    "hardtanh",
    "clamp",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "hardsigmoid",
    "hardswish",
    "silu",
    "gelu",
    "elu",
    "mish",
)
ANYWHERE = {
    "depthwise": conv(groups=0, out_channels=32),
    "grouped": conv(groups=4),
    "strided": conv(stride=(2, 2), out_hw=(3, 3)),
    "adds": conv(adds=True, activation="relu"),
    "transposed": conv(op="conv_transpose2d", window=(2, 2), stride=(2, 2), padding=(0, 0), out_hw=(12, 12)),
    "conv1d": conv(op="conv1d", in_hw=(9,), out_hw=(9,), window=(3,), stride=(1,), padding=(1,), dilation=(1,)),
    "conv3d": conv(op="conv3d", in_hw=(4, 4, 4), out_hw=(4, 4, 4), window=(3, 3, 3), stride=(1,) * 3, padding=(1,) * 3, dilation=(1,) * 3),
    "linear": Workload(kernel="plain", op="linear", in_channels=32, out_channels=10),
    "linear-rows": Workload(kernel="plain", op="linear", in_channels=32, out_channels=10, repeats=7, activation="relu"),
    "max_pool": single("max_pool2d", **POOL),
    "avg_pool": single("avg_pool2d", **POOL),
    "global": single("adaptive_avg_pool2d", out_hw=(1, 1)),
    "adaptive": single("adaptive_avg_pool2d", out_hw=(3, 3)),
    "mean": single("mean", out_hw=()),
    "cat": single("cat", attributes=(("inputs", 2),)),
    "add": single("add", attributes=(("inputs", 2),)),
    "gate": single("mul", attributes=(("inputs", 2),)),
    "gate-first": single("mul", in_hw=(1, 1), attributes=(("inputs", 2),)),
    "softmax": Workload(kernel="plain", op="softmax", in_channels=32, out_channels=32),
    "resize": single("interpolate", out_hw=(12, 12)),
    "norm": single("batch_norm"),
    "vector": Workload(kernel="plain", op="batch_norm", in_channels=32, out_channels=32),
    "unknown": single("an_operation_nobody_knows"),
    "one-channel": conv(in_channels=1, out_channels=1),
}
BY_KERNEL = {
    "nchwc": conv("nchwc", in_channels=36, out_channels=40),
    "nchwc-adds": conv("nchwc", adds=True, activation="relu"),
    "nchwc-depthwise": conv("nchwc", groups=0, in_channels=36, out_channels=36),
    "nchwc-grouped": conv("nchwc", groups=2, out_channels=32),
    "first": conv("nchwc_first", in_channels=3, activation="relu"),
    "im2col": conv("im2col", in_channels=33, activation="relu"),
    "reorder-in": Workload(kernel="reorder_in", op="reorder", in_channels=36, out_channels=36, in_hw=(6, 6), out_hw=(6, 6)),
    "reorder-out": Workload(kernel="reorder_out", op="reorder", in_channels=33, out_channels=33, in_hw=(6, 6), out_hw=(6, 6)),
    "blocked-pool": single("max_pool2d", "blocked", **POOL),
    "blocked-avg": single("avg_pool2d", "blocked", **POOL),
    "blocked-add": single("add", "blocked"),
    "blocked-relu": single("relu", "blocked"),
    "blocked-cat": single("cat", "blocked"),
}


def times(device: str, work: Workload) -> float:
    session = open_prober(SETTINGS[device]).load(work, footprint_bytes=1 << 12)
    try:
        return session.time_once_s()
    finally:
        session.close()


@pytest.mark.parametrize("name", list(ANYWHERE))
@pytest.mark.parametrize("device", list(SETTINGS))
def test_any_call_can_be_timed_alone(device: str, name: str) -> None:
    work = ANYWHERE[name]
    kernel = ("im2col" if work.op.startswith("conv") else "plain") if device == "onnxruntime-cpu" else "fused"
    assert 0 < times(device, replace(work, kernel=kernel)) < 1


@pytest.mark.parametrize("name", list(BY_KERNEL))
def test_every_kernel_of_onnx_runtime_can_be_timed_alone(name: str) -> None:
    assert 0 < times("onnxruntime-cpu", BY_KERNEL[name]) < 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_by_themselves(activation: str) -> None:
    for device in SETTINGS:
        assert 0 < times(device, single(activation, "plain")) < 1


@pytest.mark.parametrize("activation", ["relu", "relu6", "hardtanh", "clamp", "leaky_relu", "sigmoid", "tanh", "hardsigmoid", "hardswish"])
def test_activations_inside_blocked_convolutions(activation: str) -> None:
    assert 0 < times("onnxruntime-cpu", conv("nchwc", activation=activation)) < 1


@pytest.mark.parametrize(
    "work", [conv("nchwc"), conv("im2col", in_channels=33), conv("nchwc", groups=0, out_channels=32)], ids=["nchwc", "im2col", "dw"]
)
def test_each_copy_in_onnx_runtime_has_weights_of_its_own(work: Workload) -> None:
    writer = onnx_probes._NodeWriter(work, batch=1, block=16, pool=WeightPool())
    nodes = [node for copy in range(3) for node in writer.copy(copy)]
    weights = [onnx.numpy_helper.to_array(one) for one in writer.initialisers if one.name.startswith("w")]
    assert len(nodes) == len(weights) == 3
    assert len({node.input[1] for node in nodes}) == 3
    assert not np.array_equal(weights[0], weights[1])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("strided", "Convolution"),
        ("adds", "Convolution"),
        ("depthwise", "Convolution"),
        ("transposed", "Deconvolution"),
        ("linear-rows", "FullyConnected"),
        ("max_pool", "Pooling"),
        ("avg_pool", "Pooling"),
        ("mean", "Reduce"),
        ("cat", "Concatenation"),
        ("softmax", "Softmax"),
    ],
)
def test_openvino_merges_no_copies_and_fuses_what_runs_inside(name: str, kind: str) -> None:
    work = ANYWHERE[name]
    kinds = openvino_kinds(work, copies=5)
    assert kinds[kind] == (6 if work.adds else 5)  # one more lays out what is added
    assert kinds["Reorder"] <= 3 + 5  # of the inputs, and of each result's one value
    assert kinds["Eltwise"] == 0
    assert kinds["Subgraph"] == (5 if work.adds else 0)


@pytest.mark.parametrize("name", ["add", "gate", "gate-first", "unknown"])
def test_openvino_merges_no_operations_on_single_values(name: str) -> None:
    kinds = openvino_kinds(ANYWHERE[name], copies=5)
    assert kinds["Eltwise"] + kinds["Subgraph"] == 5


def test_openvino_keeps_a_chain_and_every_addend() -> None:
    writer = openvino_probes._GraphWriter(openvino_probes._SMALL, batch=1, pool=WeightPool())
    chain = kinds_of(writer.chain(7))
    assert (chain["Convolution"], chain["StridedSlice"], chain["Eltwise"]) == (7, 1, 0)
    addends = kinds_of(openvino_probes._GraphWriter(ANYWHERE["adds"], batch=1, pool=WeightPool()).addends(5))
    assert (addends["Convolution"], addends["Subgraph"] + addends["Eltwise"], addends["StridedSlice"]) == (1, 5, 5)


def test_openvino_takes_off_starting_and_cutting(monkeypatch: pytest.MonkeyPatch) -> None:
    start_s, layer_s, cut_s = 6e-6, 1.5e-6, 1.25e-6

    def known_s(_: object, model: openvino.Model) -> float:
        layers = sum(node.get_type_name() == "Convolution" for node in model.get_ops())
        return start_s + layers * layer_s + len(model.outputs) * cut_s

    monkeypatch.setattr(openvino_probes.OpenVinoProber, "_usual_s", known_s)
    fixed = openvino_probes.OpenVinoProber(SETTINGS["openvino-cpu"])._fixed_cost()
    assert (fixed.start_s, fixed.cut_s) == (pytest.approx(start_s), pytest.approx(cut_s))


def openvino_kinds(work: Workload, *, copies: int) -> Counter[str]:
    return kinds_of(openvino_probes._GraphWriter(work, batch=1, pool=WeightPool()).model(copies))


def kinds_of(model: openvino.Model) -> Counter[str]:
    compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return Counter(node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops())


@pytest.mark.parametrize(
    ("work", "footprint", "copies"),
    [
        (Workload(kernel="fused", op="linear", in_channels=100, out_channels=100), 400_000, 10),
        (Workload(kernel="fused", op="linear", in_channels=100, out_channels=100), 1 << 25, 24),
        (Workload(kernel="fused", op="linear", in_channels=100, out_channels=100), 1, 6),
        (single("relu"), 1 << 25, 6),
        (conv(in_channels=512, out_channels=512, out_hw=(64, 64)), 1 << 25, 2),
    ],
    ids=["fills", "most", "fewest", "no-weight", "heavy"],
)
def test_copies_fill_the_footprint_within_reason(work: Workload, footprint: int, copies: int) -> None:
    assert copy_count(work, footprint_bytes=footprint, batch=1) == copies


def test_what_the_copies_do_not_fill_is_read_before_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Bytes:
        def __getitem__(self, part: slice) -> "Bytes":
            read.append(4 * part.stop)
            return self

        def max(self) -> float:
            return 1.0

    monkeypatch.setattr(copies_of_calls, "_bytes_of_no_use", Bytes)
    work = Workload(kernel="fused", op="linear", in_channels=100, out_channels=100)
    beside = bytes_beside(work, 24, footprint_bytes=1 << 22)
    assert beside == (1 << 22) - 24 * 40_000
    session = CopiesSession(KnownSession(25e-6), copies=24, other_s=1e-6, beside_bytes=beside)
    assert session.time_once_s() == pytest.approx(1e-6)
    session.run()
    assert read == [beside, beside]
    filled = CopiesSession(KnownSession(25e-6), copies=24, other_s=1e-6, beside_bytes=bytes_beside(work, 24, footprint_bytes=1 << 18))
    filled.run()
    assert len(read) == 2


def test_bytes_beside_are_real_memory_as_large_as_the_largest_footprint() -> None:
    held = copies_of_calls._bytes_of_no_use()
    assert held.nbytes == footprint_class(1 << 40) and float(held[-1]) == 1.0


class CountingSession(OpenVinoSession):
    """Counters of layouts of 5 us a run, as averages since the first run; one run is held up while it lays out."""

    def __init__(self, *, held_up: int) -> None:
        self.held_up, self.runs, self.counted_s = held_up, 0, 0.0
        self.request = None

    def time_once_s(self) -> float:
        stall_s = 20e-3 if self.runs == self.held_up else 0.0
        self.runs += 1
        self.counted_s += 5e-6 + stall_s
        return 100e-6 + stall_s

    def run(self) -> None:
        self.time_once_s()


@pytest.mark.parametrize(
    ("held_up", "runs"), [(-1, 9), (1, 9), (4, 15), (8, 15)], ids=["never", "while warming up", "in the midst", "at the end"]
)
def test_a_run_that_something_holds_up_is_not_taken_for_a_change_of_layout(
    monkeypatch: pytest.MonkeyPatch, held_up: int, runs: int
) -> None:
    session = CountingSession(held_up=held_up)
    monkeypatch.setattr(openvino_probes, "_counted_s", lambda _request, _kinds: session.counted_s / session.runs)
    found_s = openvino_probes._counted_once_warm_s(session, frozenset({"Reorder"}))
    assert found_s == pytest.approx(5e-6)
    assert session.runs == runs


def test_weights_differ_and_are_small() -> None:
    pool = WeightPool()
    first, second = pool.take(8, 8, 3, 3), pool.take(8, 8, 3, 3)
    assert not np.array_equal(first, second)
    assert float(np.abs(first).max()) < 1
    assert pool.take(3, 1 << 20).shape == (3, 1 << 20)


def test_a_prober_for_every_device() -> None:
    kinds: dict[str, Callable[[RuntimeSettings], object]] = {
        "onnxruntime-cpu": onnx_probes.OnnxRuntimeProber,
        "openvino-cpu": openvino_probes.OpenVinoProber,
    }
    for device, kind in kinds.items():
        assert isinstance(open_prober(SETTINGS[device]), kind)  # type: ignore[arg-type]
    assert type(open_prober(SETTINGS["torch-cpu"])).__name__ == "ModuleProber"
