"""A study from end to end, on embedded digits with latencies that follow a formula."""

import json
import shutil
from pathlib import Path

import pytest

from edgewise._core.errors import TargetError, UsageError
from edgewise.cli import main
from edgewise.dynamic import GatedNetwork
from edgewise.recipes.explore.finishing import seen_before
from edgewise.recipes.explore.fronts import Value, front_of
from edgewise.recipes.explore.result import ExploreResult, value_of
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_run
from recipes.explore import known

KEYS = {
    "command", "model", "device", "threads", "batch", "precision", "kind", "budget_s", "seconds", "training_s", "measuring_s",
    "planning_s", "engine_share", "method_seconds", "baseline", "trials", "front", "contributions", "hypervolume", "reference",
    "recommended", "warnings", "settings", "provenance",
}  # fmt: skip
ROW = {
    "key", "number", "method", "origin", "state", "why", "rung", "epochs", "accuracy", "accuracy_validation", "latency_s", "min_s",
    "ratio", "kind", "runtime", "predicted_s", "macs", "macs_executed", "params", "energy_j", "channel_ratios", "spatial_ratios",
    "widths", "run", "host", "seconds",
}  # fmt: skip


class TestResult:
    def test_the_result_has_the_agreed_names(self, explored: ExploreResult) -> None:
        value = json.loads((explored.folder / "result.json").read_text())
        assert set(value) == KEYS and value["command"] == "explore" and value["kind"] == "measured"
        assert set(value["baseline"]) == {"latency_s", "min_s", "macs", "params", "accuracy", "accuracy_validation", "energy_j"}
        assert all(set(row) >= ROW for row in value["trials"])
        assert 0 <= value["engine_share"] <= 1 and set(value["reference"]) == {"ratio", "accuracy"}

    def test_the_given_network_comes_first_trained_on_and_unchanged(self, explored: ExploreResult) -> None:
        trained, unchanged = explored.trials[:2]
        assert [row["method"] for row in (trained, unchanged)] == ["given", "given"]
        assert (trained["epochs"], unchanged["epochs"]) == (pytest.approx(0.4), 0) and trained["ratio"] == unchanged["ratio"] == 1.0
        assert explored.value["baseline"]["accuracy_validation"] == unchanged["accuracy_validation"]
        assert explored.value["baseline"]["accuracy"] == unchanged["accuracy"] is not None

    def test_the_solvers_come_before_the_sampler(self, explored: ExploreResult) -> None:
        origins = [row["origin"] for row in explored.trials[2:]]
        assert origins == sorted(origins, key=["solver", "sampler"].index) and set(origins) == {"solver", "sampler"}
        assert {row["method"] for row in explored.trials if row["origin"] == "solver"} == {"widths", "dynamic", "widths+dynamic"}
        assert len(explored.trials) == 8 and len({row["key"] for row in explored.trials}) == 8

    def test_nothing_dominates_the_front(self, explored: ExploreResult) -> None:
        values = [value for row in explored.trials if (value := value_of(row)) is not None]
        front = [value_of(row) for row in explored.front]
        assert front == sorted(front, key=lambda value: value.ratio)
        assert not any(value.dominates(one) for value in values for one in front)
        assert {(one.accuracy, one.ratio) for one in front} == {(values[p].accuracy, values[p].ratio) for p in front_of(values)}

    def test_test_data_is_for_the_front_alone(self, explored: ExploreResult) -> None:
        front = set(explored.value["front"])
        for row in explored.trials:
            judged = row["key"] in front or (row["method"] == "given" and row["epochs"] == 0)
            assert (row["accuracy"] is not None) == judged

    def test_contributions_add_up(self, explored: ExploreResult) -> None:
        parts = explored.value["contributions"]
        assert sum(one["tried"] for one in parts.values()) == 8
        assert sum(one["on_front"] for one in parts.values()) == len(explored.front)
        assert all(max(one["hypervolume"], one["hypervolume_without"]) <= explored.value["hypervolume"] + 1e-12 for one in parts.values())

    def test_the_best_for_a_latency(self, explored: ExploreResult) -> None:
        assert explored.best(latency="1.05x") == explored.front[-1]
        fastest = explored.front[0]
        assert explored.best(latency=f"{fastest['latency_s'] * 1e3 + 1e-9}ms")["ratio"] <= 1
        with pytest.raises(TargetError, match=r"no network of the front is as fast as 0.01x; the fastest takes 0\.\d+x"):
            explored.best(latency="0.01x")
        assert explored.recommended is not None and explored.recommended["key"] == explored.value["recommended"]["key"]

    def test_people_see_it_everywhere(self, explored: ExploreResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "widths+dynamic" in explored._repr_html_()
        page = (explored.folder / "report.html").read_text()
        assert explored.trials[2]["run"] in page and "<script src" not in page
        assert main(["report", str(explored.folder), "--out", str(tmp_path / "page.html")]) == 0
        assert (tmp_path / "page.html").read_text() == page
        capsys.readouterr()

    def test_macs_of_gated_networks_are_those_executed(self, explored: ExploreResult) -> None:
        for row in explored.trials:
            dynamic = "dynamic" in row["method"]
            assert (row["macs_executed"] < row["macs"]) == dynamic == bool(row["channel_ratios"] or row["spatial_ratios"])
            assert bool(row["widths"]) == ("widths" in row["method"])


class TestRuns:
    def test_every_trial_is_a_run(self, explored: ExploreResult) -> None:
        for row in explored.trials:
            run = load_run(explored.run(row))
            assert run.result["trial"]["accuracy_validation"] == row["accuracy_validation"]
            plans = [type(plan).__name__ for plan in run.loaded.plans]
            assert ("WidthPlan" in plans) == ("widths" in row["method"]) and ("GatePlan" in plans) == ("dynamic" in row["method"])
            assert isinstance(run.loaded.model, GatedNetwork) == ("dynamic" in row["method"])
        assert {path.name for path in explored.folder.iterdir()} == {
            "given", "trials", "study.json", "plan.json", "trials.jsonl", "optuna.journal", "result.json", "report.html", ".lock",
        }  # fmt: skip

    def test_commands_take_a_trial(self, explored: ExploreResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        row = next(row for row in explored.trials if row["method"] == "widths")
        run = explored.run(row)
        assert main(["inspect", str(run), "--json", str(tmp_path / "seen.json")]) == 0
        assert json.loads((tmp_path / "seen.json").read_text())["macs"] == row["macs"]
        assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
        assert "mine.py:small" in (tmp_path / "page.html").read_text()
        assert main(["export", str(run), "--out", str(tmp_path / "a.onnx"), "--db", str(tmp_path / "db.sqlite")]) == 0
        capsys.readouterr()

    def test_listed_points_are_tried_in_full_and_no_others(self, listed: ExploreResult) -> None:
        methods = [row["method"] for row in listed.trials]
        assert methods == ["given", "given", "dynamic", "widths", "widths+dynamic"]
        assert all(row["state"] == "complete" and row["rung"] == 0 for row in listed.trials)
        assert all(row["epochs"] == 0.4 for row in listed.trials if row["number"] != 1)
        assert listed.trials[4]["channel_ratios"] == [0.5, 0.5] and listed.trials[3]["widths"] == {"0": 8, "3": 16}
        assert not (listed.folder / "optuna.journal").exists()

    def test_the_same_study_gives_the_same_trials(
        self, listed: ExploreResult, model: ModelRequest, points: Path, known_study: None, tmp_path: Path
    ) -> None:
        again = run_explore(known.request(model, tmp_path / "again", points=points, trials=None))
        assert outcome(again) == outcome(listed)

    def test_a_finished_study_is_read_and_more_trials_are_added(
        self, explored: ExploreResult, model: ModelRequest, known_study: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        copy, shown = Path(shutil.copytree(explored.folder, tmp_path / "copy")), tmp_path / "shown.json"
        words = ["explore", model.model, "--weights", str(model.weights), "--input", "1x1x8x8", "--data", "digits", "--epochs", "0.4"]
        words += ["--latencies", "0.8x,0.6x", "--strengths", "0.7x", "--trial-threads", "1", "--out", str(copy), "--resume"]
        assert main([*words, "--trials", "8", "--json", str(shown)]) == 0
        said = capsys.readouterr().out
        assert "is finished already" in said and "brought by" in said and f"run: {copy}" in said
        value = json.loads(shown.read_text())
        assert value["run"] == str(copy) and value["trials"] == explored.trials
        more = run_explore(known.request(model, copy, resume=True, trials=10))
        assert outcome(more)[:8] == outcome(explored)[:8] and len(more.trials) == 10


def outcome(result: ExploreResult) -> list[tuple[object, ...]]:
    """What must be the same of two studies."""
    return [(row["number"], row["key"], row["state"], row["accuracy_validation"], row["epochs"]) for row in result.trials]


class TestDevices:
    def test_a_simulated_gpu_prices_static_networks(self, model: ModelRequest, known_study: None, tmp_path: Path) -> None:
        found = run_explore(known.request(model, tmp_path / "run", device=DeviceRequest(device="titan-v"), trials=5))
        assert found.value["kind"] == "simulated" and {row["method"] for row in found.trials} == {"given", "widths"}
        assert all(row["kind"] == "simulated" and row["runtime"] == "titan-v" for row in found.trials)
        assert any("titan-v is simulated, and its model knows dense convolutions only" in text for text in found.value["warnings"])

    def test_a_chip_prices_energy_and_masks(self, model: ModelRequest, known_study: None, tmp_path: Path) -> None:
        found = run_explore(known.request(model, tmp_path / "run", device=DeviceRequest(device="isaac"), trials=6))
        rows = {row["method"]: row for row in found.trials}
        assert rows["dynamic"]["energy_j"] < rows["given"]["energy_j"] == found.value["baseline"]["energy_j"]
        assert rows["dynamic"]["runtime"] == "isaac, layer after layer" and rows["dynamic"]["ratio"] <= 1

    def test_real_timings(self, model: ModelRequest, brief_timing: None, points: Path, tmp_path: Path) -> None:
        found = run_explore(known.request(model, tmp_path / "run", points=points, trials=None))
        rows = {row["method"]: row for row in found.trials}
        assert rows["widths"]["runtime"] == "onnxruntime-cpu"
        assert rows["widths+dynamic"]["runtime"] == "openvino-cpu with edgewise kernels"
        assert all(row["min_s"] > 0 and row["ratio"] > 0 for row in found.trials)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--trials", "3"], "explore trains and judges networks, and so needs --data, got none"),
            (["--data", "digits"], "explore needs an end: --budget 2h, --trials N or --points FILE"),
            (["--data", "digits", "--budget", "5"], "--budget must be a positive time with a unit such as 2h, 40min or 90s, got '5'"),
            (["--data", "digits", "--budget", "0s"], "--budget must be a positive time"),
            (["--data", "digits", "--trials", "0"], "--trials must be at least 1, got 0"),
            (["--data", "digits", "--trials", "2", "--sampler", "nsga3"], "unknown sampler 'nsga3'; did you mean nsga2?"),
            (["--data", "digits", "--trials", "2", "--latencies", "1.2x"], "must be shorter than the given network's"),
            (["--data", "digits", "--trials", "2", "--strengths", "1x"], "--strengths must lie between 0x and 1x, got 1x"),
            (["--data", "digits", "--trials", "2", "--device", "tpu"], "unknown device 'tpu'"),
            (["--data", "digits", "--trials", "2"], "digits-cnn was never trained, and explore starts from what a network has learnt"),
            (["--data", "digits", "--points", "nowhere.json"], "--points needs a JSON file with a list of points, got nowhere.json"),
            (["--data", "digits", "--trials", "2", "--device", "lut:a.csv"], "a table of blocks prices whole blocks, not widths"),
        ],
    )
    def test_bad_input_is_one_line_and_status_2(
        self, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "run"
        assert main(["explore", "digits-cnn", "--out", str(out), *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0] and lines[0].startswith("edgewise: ") and not out.exists()

    def test_a_budget_too_small_says_how_long_one_trial_takes(self, model: ModelRequest, known_study: None, tmp_path: Path) -> None:
        data = DataRequest(data="digits", epochs=5000)
        with pytest.raises(UsageError, match=r"--budget 20 s is too small: one trial takes about \d+ .* here \(--epochs 5000\)"):
            run_explore(known.request(model, tmp_path / "run", data=data, budget_s=20.0))
        assert not (tmp_path / "run").exists()

    def test_data_without_a_held_out_part(self, model: ModelRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        import numpy as np

        path = tmp_path / "data.npz"
        images = np.zeros((10, 8, 8, 1), dtype=np.uint8)
        np.savez(path, x_train=images, y_train=np.arange(10) % 10)
        common = ["explore", model.model, "--weights", str(model.weights), "--input", "1x1x8x8", "--trials", "2"]
        assert main([*common, "--data", f"npz:{path}", "--out", str(tmp_path / "run")]) == 2
        assert "x_test" in capsys.readouterr().err
        np.savez(path, x_train=images, y_train=np.arange(10) % 10, x_test=images, y_test=np.arange(10) % 10)
        assert main([*common, "--data", f"npz:{path}", "--out", str(tmp_path / "run")]) == 2
        assert "every class needs at least 2 training images, so that one can validate" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("point", "said"),
        [
            ({"widths": {"conv9": 3}}, "has no tie 'conv9'"),
            ({"channel_ratios": [0.1, 0.2, 0.3]}, r"channel_ratios needs 1 ratio or 2 \(one for each block\), got 3"),
            ({"base": "searched", "architecture": ["3x3-3"]}, "searched networks come from the search of this very study"),
        ],
    )
    def test_points_that_do_not_fit(self, model: ModelRequest, tmp_path: Path, point: dict[str, object], said: str) -> None:
        path = tmp_path / "points.json"
        path.write_text(json.dumps([point]))
        with pytest.raises(UsageError, match=said):
            run_explore(known.request(model, tmp_path / "run", points=path))


def test_weights_that_know_the_validation_images_are_told() -> None:
    assert seen_before({"accuracy_validation": 0.93, "accuracy": 0.91}) == []
    assert seen_before({"accuracy_validation": None, "accuracy": None}) == []
    (said,) = seen_before({"accuracy_validation": 0.96, "accuracy": 0.88})
    assert "right on 96.0% of the validation images and on 88.0% of the test images" in said


def test_hypervolumes_of_methods_are_those_of_their_fronts(explored: ExploreResult) -> None:
    reference = explored.value["reference"]
    corner = Value(accuracy=reference["accuracy"], ratio=reference["ratio"])
    assert corner.ratio == 1.1 and corner.accuracy == pytest.approx(explored.value["baseline"]["accuracy_validation"] - 0.1)
