"""Overheads are measured once for a device, on networks made for the purpose."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgewise.ir import NetSpec
from edgewise.measure import calibration, pricing
from edgewise.measure.calibration import overheads_of
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.overheads import Overheads
from edgewise.measure.pricing import PriceBook
from edgewise.measure.settings import RuntimeSettings
from edgewise.trace import Traced, trace
from measure.stand_ins import AT_ONCE, KnownProber, KnownSession, tiles_s

TRUTH = Overheads(start_s=3e-3, per_call_s=2e-4, scale=1.0)


class KnownRuntime:
    """A runtime whose networks take the sum of their calls, and known overheads."""

    def __init__(self, identity: DeviceIdentity) -> None:
        self._identity = identity
        self.settings = RuntimeSettings(device="openvino-cpu")
        self.version = "1"
        self.loaded = 0
        self.nets: list[NetSpec] = []

    def identity(self) -> DeviceIdentity:
        return self._identity

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> KnownSession:
        self.loaded += 1
        net = self.nets[-1]  # traced just before
        pieces = calibration.pieces_of(calibration.lowering_for("openvino-cpu", net), net.widths)
        return KnownSession(TRUTH.total_s(sum(tiles_s(piece.workload) for piece in pieces), calls=len(pieces)))

    def load_file(self, path: Path) -> KnownSession:
        raise NotImplementedError(path)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "PROBE_SCHEDULE", AT_ONCE)
    monkeypatch.setattr(calibration, "_SCHEDULE", AT_ONCE)


@pytest.fixture
def database(tmp_path: Path) -> LatencyDatabase:
    return LatencyDatabase(tmp_path / "latency.sqlite")


def test_known_overheads_are_found_and_kept(identity: DeviceIdentity, database: LatencyDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = KnownRuntime(identity)

    def remembered(model: nn.Module, inputs: tuple[Tensor, ...], *, name: str) -> Traced:
        traced = trace(model, inputs, name=name)
        runtime.nets.append(traced.net)
        return traced

    monkeypatch.setattr(calibration, "trace", remembered)
    book = PriceBook(prober=KnownProber(tiles_s), identity=identity, database=database)
    state = torch.random.get_rng_state()
    found = overheads_of(runtime, book, database)
    assert found.start_s == pytest.approx(TRUTH.start_s, rel=0.02)
    assert found.per_call_s == pytest.approx(TRUTH.per_call_s, rel=0.02)
    assert found.scale == pytest.approx(TRUTH.scale, rel=0.01)
    assert torch.equal(torch.random.get_rng_state(), state)
    loaded = runtime.loaded
    assert overheads_of(runtime, book, database) == found
    assert runtime.loaded == loaded
    assert database.get_constants(replace(identity, threads=2), calibration._CONSTANTS) is None
