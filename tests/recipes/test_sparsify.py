"""``edgewise sparsify`` from end to end, on embedded digits and with timings that are not real ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from edgewise._core.errors import DataError, DeviceError, PlanError, RunError, TargetError, UsageError
from edgewise._core.files import sha256_of
from edgewise._core.progress import SilentProgress
from edgewise._core.units import parse_latency
from edgewise.cli import main
from edgewise.dynamic import GatedNetwork, balancing, running, training
from edgewise.dynamic.choosing import Choice
from edgewise.dynamic.refining import MOST_TRIALS
from edgewise.dynamic.training import RatioAscent
from edgewise.ir.gates import GatePlan
from edgewise.measure.sampling import Sample
from edgewise.models.weights import save_weights
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_model, load_run
from edgewise.recipes.sparsify import ratios as ratios_module
from edgewise.recipes.sparsify import request as request_module
from edgewise.recipes.sparsify import training as course
from edgewise.recipes.sparsify.latency import DenseTimes, SideBySide
from edgewise.recipes.sparsify.request import RatioRequest
from edgewise.recipes.sparsify.run import PLAN_FILE, run_sparsify
from edgewise.recipes.training import CHECKPOINT_FILE
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import FineTune, FineTuneResult, Goal, fine_tune
from recipes.interrupted import Interrupted
from recipes.sparsify_runs import RUN_FILES, other_images, request, side_by_side


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("sparsify") / "run"
    run_sparsify(request(folder))
    return folder


def test_the_result_has_the_issues_names(finished: Path) -> None:
    value = json.loads((finished / "result.json").read_text())
    assert set(value["baseline"]) >= {"accuracy", "macs"} and value["latency"] is None
    assert set(value["result"]) >= {"accuracy", "macs_counted", "macs_executed", "reduction"}
    assert value["ratios"] == {"channel": [0.5, 0.5], "spatial": [0.0, 0.0], "removed": [0.0, 0.0]}
    assert value["widths"] == {} and value["result"]["reduction_removed"] == 0.0
    assert value["result"]["reduction"] == pytest.approx(1 - value["result"]["macs_counted"] / value["baseline"]["macs"])
    assert isinstance(value["result"]["macs_executed"], int) and 0 <= value["result"]["accuracy"] <= 1
    assert value["baseline"]["accuracy"] is None, "the demo's network was never trained, so its accuracy would mislead"
    assert value["refitted"] == value["balanced"] == [], "and its layers have nothing to make up for"
    assert len(value["fine_tune"]["history"]) == 2 and {row["side"] for row in value["redundancy"]} == {"channels"}
    assert all(row["pruned"] == pytest.approx(0.5) for row in value["redundancy"])
    page = (finished / "report.html").read_text()
    assert "fewer multiply-accumulates" in page and "Static against dynamic redundancy" in page and "<script src" not in page
    assert {path.name for path in finished.iterdir()} == {*RUN_FILES}


def test_a_run_folder_comes_back_as_a_gated_network(finished: Path) -> None:
    loaded = load_run(finished).loaded
    images = torch.randn(4, *loaded.input_shape[1:], generator=torch.Generator().manual_seed(0))
    assert isinstance(loaded.model, GatedNetwork) and loaded.gates is not None and loaded.gates.channel_ratios == (0.5, 0.5)
    dense = loaded.without_gates()
    assert dense.gates is None and dense.plans == () and not isinstance(dense.model, GatedNetwork)
    with torch.no_grad():
        gated, plain = loaded.model(images), dense.model(images)
        loaded.model.set_ratios(loaded.gates.scaled(0.0))
        assert torch.equal(loaded.model(images), plain) and not torch.equal(gated, plain)


def test_runs_compose(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(finished)]) == 0
    assert main(["report", str(finished), "--out", str(tmp_path / "page.html")]) == 0
    assert main(["sparsify", str(finished), "--channel-ratios", "0.25", "--no-latency", "--out", str(tmp_path / "again")]) == 0
    again = load_run(tmp_path / "again").loaded
    assert again.gates is not None and again.gates.channel_ratios == (0.25, 0.25) and len(again.plans) == 1
    assert main(["report", str(finished), str(tmp_path / "again"), "--out", str(tmp_path / "both.html")]) == 0
    capsys.readouterr()
    assert main(["crossbar", str(finished), "--json", str(tmp_path / "chip.json")]) == 0
    assert json.loads((tmp_path / "chip.json").read_text())["ratios"]["channel"] == [0.5, 0.5]
    capsys.readouterr()
    assert main(["crossbar", str(finished), "--channel-ratios", "0.5"]) == 2
    assert "brings the ratios that it was trained with" in capsys.readouterr().err
    assert main(["fit", str(finished), "--latency", "0.7x"]) == 2
    assert "pruned for each input while it runs, which this command does not take" in capsys.readouterr().err


def test_an_interrupted_run_ends_as_it_would_have(finished: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_sparsify(request(stopped), progress=Interrupted(14))
    assert {PLAN_FILE, CHECKPOINT_FILE} <= {path.name for path in stopped.iterdir()}
    with pytest.raises(UsageError, match="holds an unfinished run; add --resume"):
        run_sparsify(request(stopped))
    with pytest.raises(RunError, match=r"other settings: ramp \(0.2 there, 0.1 now\)"):
        run_sparsify(request(stopped, resume=True, ramp=0.1))
    run_sparsify(request(stopped, resume=True))
    assert sha256_of(stopped / "model.safetensors") == sha256_of(finished / "model.safetensors")
    assert {path.name for path in stopped.iterdir()} == {path.name for path in finished.iterdir()}
    before = json.loads((stopped / "result.json").read_text())
    assert run_sparsify(request(stopped, resume=True)).value == before


def test_a_resumed_run_is_taught_by_the_very_same_network(trained: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sparsify(request(tmp_path / "whole", model=trained, distill=True))
    with pytest.raises(KeyboardInterrupt):
        run_sparsify(request(tmp_path / "run", model=trained, distill=True), progress=Interrupted(14))
    assert course.BALANCED_FILE in {path.name for path in (tmp_path / "run").iterdir()}

    monkeypatch.setattr(course, "lessons_of", other_images)
    run_sparsify(request(tmp_path / "run", model=trained, distill=True, resume=True))
    assert sha256_of(tmp_path / "run" / "model.safetensors") == sha256_of(tmp_path / "whole" / "model.safetensors")
    assert course.BALANCED_FILE not in {path.name for path in (tmp_path / "run").iterdir()}


def test_layers_of_a_trained_network_are_refitted_to_what_the_gates_leave(trained: ModelRequest, tmp_path: Path) -> None:
    heard: list[str] = []
    progress = SilentProgress()
    progress.note = heard.append  # type: ignore[method-assign]
    untouched = run_sparsify(request(tmp_path / "run", model=trained, data=DataRequest(data="digits", epochs=0)), progress=progress)
    refitted = untouched.value["refitted"]
    assert refitted[0] == untouched.plan.gates[0].consumer and f"{len(refitted)} layers refitted to what is left to read" in heard
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"Before training, {len(refitted)} layers were refitted to what the gates leave." in page
    balanced = untouched.value["balanced"]
    assert balanced == [gate.consumer for gate in untouched.plan.gates]
    assert f"The channels of {len(balanced)} maps were scaled" in page
    before, after = load_model("digits-cnn").model.state_dict(), untouched.module.network.state_dict()
    weights = {name.removesuffix(".weight"): torch.equal(before[name], after[name]) for name in before if before[name].ndim > 1}
    assert {name for name, same in weights.items() if not same} == set(refitted) < set(weights)


def test_what_is_known_without_torch_is_that_of_training() -> None:
    assert balancing.CHANGING == request_module.CHANGING
    assert request_module.RAMP == training.RAMP == RatioAscent(plan=GatePlan(gates=())).ramp


@pytest.mark.parametrize(("distill", "one_for_all"), [(False, False), (True, False), (True, True)])
def test_distillation_teaches_maps_of_the_balanced_network(
    distill: bool, one_for_all: bool, trained: ModelRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Goal] = []

    def watched(*args: object, goal: Goal, **settings: object) -> FineTuneResult:
        seen.append(goal)
        return fine_tune(*args, goal=goal, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(course, "fine_tune", watched)
    asked = request(None, model=trained, distill=distill, one_for_all=one_for_all, data=DataRequest(data="digits", epochs=0.1))
    plan = run_sparsify(asked).plan
    goal = seen[0]
    assert (goal.teacher is not None) == (goal.hints is not None) == distill
    if goal.teacher is not None and goal.hints is not None:
        assert [own for _, own in goal.hints.modules] == [gate.consumer for gate in plan.gates]
        given, taught = load_model("digits-cnn").model, goal.teacher
        images = torch.rand(4, *load_model("digits-cnn").inputs()[0].shape[1:])
        with torch.no_grad():
            assert torch.allclose(taught.eval()(images), given.eval()(images), atol=1e-4)
        reader = plan.gates[0].consumer
        assert not torch.equal(taught.get_parameter(f"{reader}.weight"), given.get_parameter(f"{reader}.weight"))


def test_training_has_to_beat_the_weights_with_statistics_measured_anew(tmp_path: Path) -> None:
    """A gated network with the dense network's statistics is no rival: it scores far too low."""
    start = fine_tune(load_model("digits-cnn").model, open_data(DataSpec(text="digits")), config=FineTune(epochs=2, lr=0.1))
    save_weights(start.model, tmp_path / "start.safetensors")
    model = ModelRequest(model="digits-cnn", weights=tmp_path / "start.safetensors")
    run_sparsify(request(tmp_path / "plain", model=model, data=DataRequest(data="digits", epochs=0)))
    run_sparsify(request(tmp_path / "worse", model=model, lr=30.0))
    plain, worse = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("plain", "worse"))
    assert worse["result"]["untrained_validation"] == worse["result"]["accuracy_validation"] == plain["result"]["accuracy_validation"]
    assert worse["result"]["accuracy_validation"] > 0 and worse["result"]["accuracy"] == plain["result"]["accuracy"]
    assert any("the weights from before are kept" in warning for warning in worse["warnings"])


def test_a_damaged_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sparsify(request(tmp_path / "run"), progress=Interrupted(3))
    (tmp_path / "run" / PLAN_FILE).write_text("{")
    with pytest.raises(RunError, match=rf"{PLAN_FILE} is damaged"):
        run_sparsify(request(tmp_path / "run", resume=True))


@pytest.mark.parametrize("distill", [False, True])
def test_one_for_all_serves_budgets(distill: bool, tmp_path: Path) -> None:
    result = run_sparsify(request(tmp_path / "run", one_for_all=True, distill=distill, data=DataRequest(data="digits", epochs=1)))
    rows = result.value["budgets"]
    assert [row["share"] for row in rows] == [0.0, 0.25, 0.5, 0.75, 1.0] and rows[0]["reduction"] == 0.0
    assert [row["reduction"] for row in rows] == sorted(row["reduction"] for row in rows) and all(
        row["accuracy"] is not None for row in rows
    )
    assert result.value["result"]["accuracy"] == rows[-1]["accuracy"]
    network = load_run(tmp_path / "run").loaded.model
    assert isinstance(network, GatedNetwork) and len(network.budgets) == 5 and network.budget == 4
    network.switch(0)
    assert not network.plan.prunes


def test_ratios_are_chosen_for_macs(trained: ModelRequest, tmp_path: Path) -> None:
    ratios = RatioRequest(macs_at_most=0.8, images=64)
    with pytest.raises(UsageError, match="digits-cnn was never trained, so that what its blocks lose says nothing"):
        run_sparsify(request(tmp_path / "run", ratios=ratios))
    value = run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios, data=DataRequest(data="digits", epochs=0))).value
    assert value["result"]["macs_counted"] <= 0.8 * value["baseline"]["macs"] * (1 + 1e-9)
    assert value["chosen"]["target"] == "0.8x MACs" and value["chosen"]["sensitivity"]["images"] == 64
    assert len(value["chosen"]["sensitivity"]["points"]) == 2 * 2 * 5
    refined = value["chosen"]["refined"]
    assert refined["loss"] <= refined["loss_before"] and 1 < refined["trials"] <= MOST_TRIALS
    assert "Sensitivity of the blocks" in (tmp_path / "run" / "report.html").read_text()


def test_a_share_of_macs_out_of_reach_says_the_least(trained: ModelRequest, tmp_path: Path) -> None:
    ratios = RatioRequest(macs_at_most=0.3, images=16)
    with pytest.raises(
        TargetError, match=r"--macs-at-most 0.3x is out of reach: 0\.\d+x is the least that gates can leave; ask for more, or"
    ):
        run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios))
    assert not (tmp_path / "run").exists()


def test_latency_is_compared_with_the_fastest_dense_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edgewise.recipes.sparsify.run.time_side_by_side", side_by_side)
    run = tmp_path / "run"
    value = run_sparsify(request(run, measure=True, data=None, device=DeviceRequest(device="openvino-cpu", threads=2))).value
    assert (
        value["latency"] | {"dense_s": 4.5e-3, "dense_runtime": "fast", "dynamic_s": 2e-3, "speedup": 2.5, "threads": 2} == value["latency"]
    )
    assert value["latency"]["realised"] == pytest.approx(2.5 / value["latency"]["ideal_speedup"])
    assert value["result"]["accuracy"] is None and value["fine_tune"] is None
    assert "2.50×" in (run / "report.html").read_text()


def test_budgets_know_what_they_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edgewise.recipes.sparsify.run.time_side_by_side", side_by_side)
    asked = request(tmp_path / "run", one_for_all=True, measure=True, data=DataRequest(data="digits", epochs=0.2))
    run_sparsify(asked)
    network = load_run(tmp_path / "run").loaded.model
    assert isinstance(network, GatedNetwork)
    assert [budget.latency_s for budget in network.budgets] == pytest.approx([2e-3, 1.8e-3, 1.6e-3, 1.4e-3, 1.2e-3])
    assert network.switch_to_latency(1.7e-3).share == 0.5


@pytest.mark.parametrize("slowness", [1.05, 0.8])
def test_ratios_are_chosen_for_latency_and_corrected(slowness: float, trained: ModelRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that cost in proportion, and a network that is measured slower than they promise, or faster."""

    def costs(net, plan, *, threads: int, batch: int = 1):
        shares = {gate.consumer: (1 - gate.channel_ratio) * (1 - gate.spatial_ratio) for gate in plan.gates}
        return {name: running.KernelCost(dense_s=1e-3, dynamic_s=1e-3 * share, path="channels") for name, share in shares.items()}

    measured: list[float] = []

    def timed(request, loaded, left, networks, *, progress) -> SideBySide:
        seconds = slowness * (1e-3 + sum(cost.dynamic_s for cost in costs(None, networks[0].plan, threads=1).values()))
        measured.append(seconds)
        return SideBySide(dense=dense, dynamic=(Sample(times_s=(seconds,)),), runtime="known", threads=1, batch=1)

    monkeypatch.setattr(running, "kernel_costs", costs)
    monkeypatch.setattr("edgewise.recipes.sparsify.ratios.time_side_by_side", timed)
    dense = DenseTimes(samples={"fast": Sample(times_s=(4e-3,))})
    monkeypatch.setattr("edgewise.recipes.sparsify.run.time_dense", lambda *_, **__: dense)
    ratios = RatioRequest(latency=parse_latency("0.7x"), images=32)
    found = run_sparsify(request(None, model=trained, ratios=ratios, data=DataRequest(data="digits", epochs=0)))
    chosen = found.value["chosen"]
    assert chosen["met"] and chosen["target"] == "0.7x" and chosen["corrections"] == len(measured) - 1 >= 1
    assert any(found.value["ratios"]["channel"] + found.value["ratios"]["spatial"])
    taken = slowness * (1e-3 + sum(cost.dynamic_s for cost in costs(None, found.plan, threads=1).values()))
    assert taken in measured and taken <= 0.7 * 4e-3
    assert slowness > 1 or taken > min(measured), "the first choice is faster than asked, and a later one prunes less"


@pytest.mark.parametrize(
    ("reached", "losses", "best"),
    [((0.8, 0.97, 1.02), (0.3, 0.2, 0.1), 1), ((1.3, 1.1, 1.2), (0.1, 0.3, 0.2), 1), ((0.9,), (0.1,), 0)],
)
def test_the_least_loss_that_meets_the_target_or_else_the_fastest(reached: tuple[float, ...], losses: tuple[float, ...], best: int) -> None:
    tried = [
        ratios_module._Tried(choice=Choice(plan=GatePlan(gates=()), loss=loss, cost=0.0), predicted_s=1.0, reached=share)
        for share, loss in zip(reached, losses, strict=True)
    ]
    assert ratios_module._best(tried) is tried[best]


def test_ours_runs_in_pytorch_where_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[str]] = []

    def together(jobs, **_: object) -> list[Sample]:
        opened.append([job.runtime.settings.device for job in jobs])
        if jobs[-1].loaded.gates is not None and jobs[-1].runtime.settings.device == "openvino-cpu":
            raise DeviceError("no compiler")
        return [Sample(times_s=(1e-3,))] * len(jobs)

    monkeypatch.setattr("edgewise.recipes.sparsify.latency.time_together", together)
    value = run_sparsify(request(None, measure=True, data=None, dense_devices=("onnxruntime-cpu",))).value
    assert opened == [["onnxruntime-cpu", "openvino-cpu"], ["onnxruntime-cpu", "torch-cpu"]]
    assert value["latency"]["dynamic_runtime"] == "torch-cpu with edgewise kernels"


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"ratios": {"channels": (1.0,)}}, PlanError, r"--channel-ratios must lie in \[0, 1\), got 1"),
        ({"ratios": {"positions": (-0.1,)}}, PlanError, r"--spatial-ratios must lie in \[0, 1\), got -0.1"),
        ({"ratios": {}}, UsageError, "got none of them"),
        ({"ratios": {"channels": (0.5,), "macs_at_most": 0.5}}, UsageError, "got several"),
        ({"ratios": {"channels": (0.0,)}}, UsageError, "prune nothing, got only 0"),
        ({"ratios": {"macs_at_most": 1.5}}, UsageError, "between 0x and 1x, got 1.5x"),
        ({"ratios": {"channels": (0.5,), "images": 0}}, UsageError, "--images must be at least 1, got 0"),
        ({"ratios": {"macs_at_most": 0.5}, "data": None}, UsageError, "--macs-at-most and --latency needs images, and so --data"),
        ({"ratios": {"channels": (0.5,), "changing": (1.5,)}}, PlanError, r"--changing must be shares in \[0, 1\], got 1.5"),
        ({"ratios": {"channels": (0.5,), "changing": ()}}, PlanError, r"--changing must be shares in \[0, 1\], got none"),
        ({"ratios": {"channels": (0.5,), "remove": True}, "one_for_all": True}, UsageError, "--remove needs settled ratios"),
        ({"one_for_all": True, "data": None}, UsageError, "--one-for-all needs images, and so --data"),
        ({"distill": True, "data": None}, UsageError, "--distill needs images, and so --data"),
        ({"ramp": 1.5}, UsageError, r"--ramp must lie in \[0, 1\], got 1.5"),
        ({"lr": 0.0}, UsageError, "--lr must be positive, got 0"),
        ({"seed": -1}, UsageError, "--seed must be 0 or more, got -1"),
        ({"resume": True}, UsageError, "--resume needs --out RUN"),
        ({"device": DeviceRequest(precision="bf16")}, UsageError, "compute in fp32, got --precision bf16"),
        ({"dense_devices": ()}, UsageError, "at least one runtime"),
    ],
)
def test_requests_that_cannot_be(changes: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ratios = changes.get("ratios")
        request(None, **(changes if not isinstance(ratios, dict) else changes | {"ratios": RatioRequest(**ratios)}))


NOTHING = """
from torch import nn

def nothing():
    features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["resnet20", "--channel-ratios", "0.5,0.5"],
            "--channel-ratios needs 1 ratio or 3 (one for each block), got 2; the blocks are 32x32",
        ),
        (["resnet20", "--channel-ratios", "0.5", "--changing", "0,1"], "--changing needs 1 share or 3 (one for each block), got 2"),
        (["resnet20", "--channel-ratios", "1.2"], "--channel-ratios must lie in [0, 1), got 1.2"),
        (["resnet20", "--channel-ratios", "half"], "--channel-ratios must be numbers separated by commas"),
        (["resnet20", "--latency", "0.7"], "--latency"),
        (["resnet20"], "give either ratios"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["sparsify", *arguments, "--no-latency", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert text in said and said.count("\n") == 1 and not out.exists()


def test_a_network_with_nothing_to_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(NOTHING)
    status = main(["sparsify", f"{tmp_path / 'mine.py'}:nothing", "--input", "1x3x8x8", "--channel-ratios", "0.5", "--no-latency"])
    assert status == 2 and "has nothing to gate" in capsys.readouterr().err


def test_the_command_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "value.json"
    assert main(["sparsify", "vgg16", "--channel-ratios", ".2,.2,.6,.9,.9", "--no-latency", "--json", str(file)]) == 0
    value = json.loads(file.read_text())
    assert value["baseline"]["macs"] == 313_196_544 and value["result"]["macs_executed"] == 141_852_672 and len(value["gates"]) == 12
    assert round(value["result"]["reduction"], 4) == 0.5514 and value["provenance"]
    assert "55.14%" in capsys.readouterr().out


def test_block_outputs_are_an_option_and_never_on_the_shortcut() -> None:
    value = run_sparsify(
        request(None, model=ModelRequest(model="resnet20"), data=None, ratios=RatioRequest(channels=(0.5,), block_outputs=True))
    ).value
    producers = [gate["producer"] for gate in value["gates"]]
    assert len(producers) == 18 and any(name.endswith("add") for name in producers)
    assert all(gate["consumer"].endswith(("conv1", "conv2")) for gate in value["gates"])


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not read"):
        run_sparsify(request(tmp_path / "run", model=ModelRequest(model="resnet20")))
    assert not (tmp_path / "run").exists()


def test_a_copy_of_a_run_is_a_run(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    spec = json.loads((copy / "spec.json").read_text())
    spec["plans"].append({"kind": "widths", "ties": []})
    (copy / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(RunError, match="a plan of widths cannot follow one of gates"):
        load_run(copy)
