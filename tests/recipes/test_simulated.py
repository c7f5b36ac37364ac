"""Simulating, profiling and fitting on GPUs that are not here, and the published baselines."""

import csv
import json
from pathlib import Path

import pytest

from edgewise._core.errors import TargetError, UnknownNameError, UsageError
from edgewise._core.progress import SilentProgress
from edgewise._core.units import parse_latency
from edgewise.cli import main
from edgewise.recipes.fit import run_fit
from edgewise.recipes.profile import run_profile
from edgewise.recipes.requests import DeviceRequest, FitRequest, ModelRequest, ProfileRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.simulated.profile import SimulatedProfile
from edgewise.recipes.simulated.simulate import run_simulate
from edgewise.recipes.tables import draw_pictures, make_tables
from edgewise.recipes.tables.gpu_rows import RECOVERED, optimised, simulated_at

LAYER_KEYS = {"name", "latency_s", "family", "blocks", "waves", "utilisation", "throughput_macs_per_s", "bound_by", "extrapolated"}


def _run(*words: object) -> int:
    return main([str(word) for word in words])


def test_simulate_writes_the_promised_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    assert _run("simulate", "resnet20", "--device", "Titan-V", "--batch", 8, "--json", file) == 0
    value = json.loads(file.read_text())
    assert (value["device"], value["batch"], value["kind"]) == ("titan-v", 8, "simulated")
    assert set(value["layers"][0]) >= LAYER_KEYS

    assert value["latency_s"] > sum(layer["latency_s"] for layer in value["layers"])
    assert "simulated on titan-v at batch 8" in capsys.readouterr().out


@pytest.mark.parametrize(("device", "published_ms", "most"), [("titan-v", 2.50, 0.15), ("p6000", 4.15, 0.20)])
def test_the_published_vgg_baselines_are_met(device: str, published_ms: float, most: float) -> None:
    _, simulation = simulated_at("vgg16-hrank", device, batch=128)
    assert simulation.latency_s * 1e3 == pytest.approx(published_ms, rel=most)


def test_the_recovered_widths_save_what_was_published_on_p6000() -> None:
    net, before = simulated_at("vgg16-hrank", "p6000", batch=128)
    names = [layer.name for layer in net.priced if layer.op == "conv2d"]
    after_net, after = simulated_at("vgg16-hrank", "p6000", batch=128, widths=dict(zip(names, RECOVERED, strict=True)))
    assert after_net.params == 2_035_114
    assert -0.30 <= after.latency_s / before.latency_s - 1 <= -0.20


@pytest.mark.parametrize(("device", "batch", "change"), [("titan-v", 128, -0.177), ("p6000", 128, -0.272), ("jetson-nano", 32, -0.205)])
def test_the_exact_solver_reaches_the_published_reductions(device: str, batch: int, change: float) -> None:
    found = optimised("vgg16-hrank", device, batch=batch, change=change, progress=SilentProgress())
    assert found.reached
    assert found.change <= change
    assert found.net.params >= found.profile.net.params
    low = {layer.name: layer.out_channels for layer in found.profile.net.priced}
    assert all(layer.out_channels >= 0.7 * low[layer.name] - 1 for layer in found.net.priced)


def test_a_profile_shows_waves_and_is_marked_simulated() -> None:
    request = ProfileRequest(model=ModelRequest(model="vgg16-hrank"), device=DeviceRequest(device="titan-v", batch=128))
    profile = run_profile(request)
    assert isinstance(profile, SimulatedProfile)
    value = profile.to_json()
    row = next(row for row in value["layers"] if row["name"] == "features.3")
    assert (value["kind"], value["probes"]) == ("simulated", 0)
    assert len(row["waves"]) == len(row["utilisation"]) == len(row["widths"])
    assert 32 in row["candidates"]
    at = dict(zip(row["widths"], row["latency_raw_s"], strict=True))
    assert at[33] > 1.3 * at[32]


def test_a_fit_writes_a_run_whose_report_says_simulated(tmp_path: Path) -> None:
    request = FitRequest(
        model=ModelRequest(model="vgg16-hrank"),
        latency=parse_latency("0.85x"),
        device=DeviceRequest(device="titan-v", batch=128),
        params_at_least=1.0,
        out=tmp_path / "run",
    )
    result = run_fit(request)
    value = result.to_json()
    assert value["met"] and value["kind"] == value["result"]["kind"] == "simulated"
    assert value["result"]["latency_s"] <= 0.85 * value["baseline"]["latency_s"]
    assert value["result"]["params"] >= value["baseline"]["params"]
    again = load_run(tmp_path / "run")
    assert sum(one.numel() for one in again.loaded.model.parameters()) == value["result"]["params"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert (
        "simulated</span>" in page
        and "utilisation of the waves" in page
        and "measured</span>" not in page.replace("not measured</span>", "")
    )


@pytest.mark.parametrize("solver", ["algorithm2", "round"])
def test_the_other_solvers_run_on_simulated_devices(solver: str) -> None:
    request = FitRequest(
        model=ModelRequest(model="vgg16-hrank"),
        latency=parse_latency("0.9x"),
        device=DeviceRequest(device="p6000", batch=128),
        solver=solver,
        width_floor=0.7,
    )
    value = run_fit(request).to_json()
    assert value["solver"] == solver
    assert value["result"]["latency_s"] < value["baseline"]["latency_s"]


def test_a_target_out_of_reach_names_the_fastest() -> None:
    request = FitRequest(
        model=ModelRequest(model="vgg16-hrank"), latency=parse_latency("0.1x"), device=DeviceRequest(device="titan-v", batch=128)
    )
    with pytest.raises(TargetError, match="the fastest network is simulated at"):
        run_fit(request)


def test_an_accelerator_known_by_its_granularity_steps_there(tmp_path: Path) -> None:
    file = tmp_path / "npu.toml"
    file.write_text("peak_macs_per_s = 1e11\nbytes_per_s = 1e12\n[out_channels]\nstep = 16\nsoftness = 1.0\n")
    request = ProfileRequest(model=ModelRequest(model="vgg16-hrank"), device=DeviceRequest(device=f"portable:{file}"))
    profile = run_profile(request)
    assert isinstance(profile, SimulatedProfile)
    assert {48, 64, 80} <= set(profile.choices["features.7"].edges)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "resnet20", "--device", "titan-x"], "unknown device 'titan-x'; did you mean titan-v?"),
        (["simulate", "resnet20", "--device", "titan-v", "--batch", "0"], "--batch must be at least 1, got 0"),
        (["simulate", "resnet20", "--device", "torch-cpu"], "is measured here, not simulated"),
        (["simulate", "resnet20", "--device", "v100", "--precision", "bf16"], "the traces are fp32"),
        (["simulate", "resnet20", "--device", "gpu:none.json"], "is no GPU file"),
        (["simulate", "resnet20", "--device", "portable:none.toml"], "no readable TOML file"),
        (["profile", "resnet20", "--device", "titan"], "unknown device 'titan'; did you mean titan-v"),
        (["bench", "resnet20", "--device", "v100"], "is simulated, so nothing can be measured on it"),
        (["predict", "--device", "v100", "--csv", "none.csv", "--out", "x.csv"], "no such trace: none.csv"),
        (["calibrate", "none.csv", "--device", "unheard-of"], "say what it is by --multiprocessors, --peak-tflops, --bandwidth"),
    ],
)
def test_bad_input_gets_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgewise:")]
    assert len(error) == 1 and message in error[0]


def test_predict_adds_a_column_and_calibrate_fits_it_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (batch, read, written, size)
        for batch in (4, 16, 32)
        for read in (16, 64, 200)
        for written in (32, 70, 128, 250)
        for size in (8, 15, 28, 40)
    ]
    source, priced = tmp_path / "in.csv", tmp_path / "out.csv"
    with source.open("w", newline="") as stream:
        csv.writer(stream).writerows([("batch", "in_channels", "out_channels", "size"), *rows])
    assert _run("predict", "--device", "V100", "--csv", source, "--out", priced, "--no-residual") == 0
    table = list(csv.DictReader(priced.read_text().splitlines()))
    assert len(table) == len(rows) and all(float(row["predicted_ms"]) > 0 for row in table)
    traced = tmp_path / "trace.csv"
    traced.write_text(priced.read_text().replace("predicted_ms", "latency_ms", 1))
    fitted = tmp_path / "own.json"
    assert (
        _run("calibrate", traced, "--device", "my-gpu", "--multiprocessors", 80, "--peak-tflops", 14.0, "--bandwidth", 900, "--out", fitted)
        == 0
    )
    assert "with the learned residual: mean error" in capsys.readouterr().out
    report = tmp_path / "p.json"
    assert _run("predict", "--device", f"gpu:{fitted}", "--csv", traced, "--out", tmp_path / "again.csv", "--json", report) == 0
    assert json.loads(report.read_text())["error"]["mean"] < 0.1


def test_unknown_devices_name_all_kinds() -> None:
    with pytest.raises(UnknownNameError, match="titan-v"):
        run_profile(ProfileRequest(model=ModelRequest(model="resnet20"), device=DeviceRequest(device="toaster")))
    with pytest.raises(UsageError, match="--threads means nothing"):
        run_simulate(ModelRequest(model="resnet20"), DeviceRequest(device="v100", threads=2))


def test_figures_are_drawn_and_never_mix_their_kinds(tmp_path: Path) -> None:
    rows = make_tables(("gpu-fig6", "gpu-fig7"))
    assert all(row.measured is None for row in rows)
    candidates = next(row for row in rows if row.column == "candidates")
    assert candidates.quoted == 5 and candidates.simulated is not None and candidates.simulated <= 10
    assert {row.simulated for row in rows if row.column == "width after, 2.04M network"} == {None}
    assert [file.name for file in draw_pictures(tmp_path, ("gpu-fig6", "gpu-fig7"))] == ["gpu-fig6.svg", "gpu-fig7.svg"]
    assert 'class="used"' in (tmp_path / "gpu-fig6.svg").read_text()


def test_table_4_says_what_is_inconsistent_and_how_far_off_it_is() -> None:
    rows = make_tables(("gpu-4",))
    flops = [row for row in rows if row.column == "FLOP/s"]
    assert flops and all(row.simulated is None and "not reproducible" in row.note for row in flops)
    times = [row for row in rows if row.column == "time, ms"]
    assert all(row.quoted and row.simulated and "simulated is" in row.note for row in times)
    assert all(row.simulated is None for row in rows if row.column == "accuracy, %")
