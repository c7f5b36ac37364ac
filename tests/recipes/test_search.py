"""``edgewise search``: from a space to a run folder, its JSON, its report, and what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewise._core.errors import TargetError, UsageError
from edgewise._core.progress import SilentProgress
from edgewise._core.units import parse_latency
from edgewise.cli import main
from edgewise.cost.gpu.library import open_gpu
from edgewise.ir import ArchPlan
from edgewise.measure.overheads import NO_OVERHEADS
from edgewise.measure.sampling import Sample
from edgewise.models.sources import ModelSource, parse_source
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.runs import load_model, load_run
from edgewise.recipes.search import run_search
from edgewise.recipes.search_request import SearchRequest
from edgewise.recipes.searching.aiming import aim, calibrated
from edgewise.recipes.searching.comparing import compared
from edgewise.recipes.searching.opening import stage_candidates
from edgewise.recipes.searching.prices import net_of, prices_on
from edgewise.singlepath.baselines import Scored
from edgewise.space import SPACES, counts_of
from edgewise.space.drawing import draw_in_window
from edgewise.space.prices import price_space
from edgewise.space.solve import Window, best_in_window

SPACE = SPACES["digits"]
HEADER = "block,kernel,expansion,latency_ms,in_channels,out_channels,stride,in_height_px,skip_allowed\n"
FIELDS = "target_s predicted_s measured_s architecture macs params accuracy search_epochs step_cost_ratio seconds"


def table_text(*, without: str = "") -> str:
    rows = []
    for block in SPACE.blocks:
        for choice in block.choices:
            if not choice.skip and f"{block.position}:{choice.label}" != without:
                shape = f"{block.in_channels},{block.out_channels},{block.stride},{block.in_hw[0]},{int(block.skippable)}"
                rows.append(f"{block.position},{choice.kernel},{choice.expansion},{choice.kernel * choice.expansion / 10},{shape}")
    return HEADER + "\n".join(rows) + "\nconstant,,,1,,,,,\n"


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "phone.csv"
    path.write_text(table_text())
    return f"lut:{path}"


def _search(arguments: list[str], path: Path) -> dict:
    brief = ["--space", "digits", "--data", "digits", "--search-epochs", "1", "--epochs", "1"]
    assert main(["search", *brief, *arguments, "--json", str(path)]) == 0
    return json.loads(path.read_text())


class TestRuns:
    def test_a_run_by_a_table(self, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "run"
        asked = ["--device", table, "--latency", "5ms", "--front", "0.4x,0.9x", "--compare", "4"]
        value = _search([*asked, "--out", str(out)], tmp_path / "a.json")
        assert set(FIELDS.split()) <= set(value)
        assert value["target_s"] == 5e-3 and value["predicted_s"] <= 5e-3 and value["measured_s"] is None and value["kind"] == "predicted"
        assert [set(block) for block in value["architecture"]] == [{"block", "kernel", "expansion", "se", "skip"}] * 4
        plan = ArchPlan.from_json({"kind": "architecture", "blocks": value["architecture"]})
        assert (counts_of(SPACE, plan).macs, counts_of(SPACE, plan).params) == (value["macs"], value["params"])
        assert len(value["front"]) == 3 and value["front"][1]["predicted_s"] <= 0.4 * 13e-3
        said = capsys.readouterr().out
        assert "target 5 ms" in said and "4 of that latency at random" in said
        assert value["compared"]["networks"] == 4 and value["compared"]["found"] == value["accuracy_inherited"]
        assert value["compared"]["random"]["best"] >= value["compared"]["random"]["mean"] > 0
        page = (out / "report.html").read_text()
        assert all(words in page for words in ("Decisions over time", "The network found", "Networks for other targets", "beside chance"))
        run = load_run(out)
        assert run.loaded.source.kind == "space" and run.loaded.plans == (plan,)
        spec = json.loads((out / "spec.json").read_text())
        assert spec["source"]["space"]["name"] == "digits" and sorted(path.name for path in out.iterdir()) == [
            "log.jsonl", "model.safetensors", "report.html", "result.json", "spec.json",
        ]  # fmt: skip
        assert main(["report", str(out)]) == 0 and main(["inspect", str(out)]) == 0
        assert main(["simulate", str(out), "--device", table, "--json", str(tmp_path / "s.json")]) == 0
        assert json.loads((tmp_path / "s.json").read_text())["latency_s"] == pytest.approx(value["predicted_s"])

    def test_a_run_on_a_measured_device(self, brief_timing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edgewise.recipes.searching.prices.overheads_of", lambda *_, **__: NO_OVERHEADS)
        value = _search(["--device", "torch-cpu", "--latency", "0.9x", "--from-scratch"], tmp_path / "a.json")
        assert (
            value["kind"] == "measured" and value["measured_s"] > 0 and value["target_s"] == pytest.approx(0.9 * value["baseline"]["min_s"])
        )
        assert 1 <= value["tries"] <= 4 and 0 <= value["accuracy"] <= 1 and value["step_cost_ratio"] > 0

    @pytest.mark.parametrize("device", ["titan-v", "isaac"])
    def test_a_run_on_a_simulated_device(self, device: str, tmp_path: Path) -> None:
        value = _search(["--device", device, "--latency", "0.8x"], tmp_path / "a.json")
        assert value["kind"] == "simulated" and value["measured_s"] is None and value["predicted_s"] <= value["target_s"]

    def test_an_unfinished_run_goes_on(self, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = tmp_path / "run"
        options = ["--device", table, "--latency", "5ms", "--compare", "4"]
        whole = _search(options, tmp_path / "a.json")

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("edgewise.recipes.search.fine_tune", killed)
            arguments = ["search", "--space", "digits", "--data", "digits", "--search-epochs", "1", "--epochs", "1", *options]
            assert main([*arguments, "--out", str(out)]) == 130
        assert main([*arguments, "--out", str(out)]) == 2
        assert main([*arguments[:-1], "5", "--out", str(out), "--resume"]) == 2
        resumed = _search([*options, "--out", str(out), "--resume"], tmp_path / "b.json")
        assert resumed["architecture"] == whole["architecture"] and resumed["accuracy"] == whole["accuracy"]
        assert resumed["compared"] == whole["compared"]
        again = _search([*options, "--out", str(out), "--resume"], tmp_path / "c.json")
        assert again["accuracy"] == whole["accuracy"]

    def test_what_was_found_stands_beside_chance_and_evolution(self) -> None:
        prices = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * choice.expansion * 1e-4)
        found = draw_in_window(prices, Window(least_s=4e-3, most_s=5e-3), np.random.default_rng(0))
        judged: list[ArchPlan] = []

        def score(plan: ArchPlan) -> float:
            judged.append(plan)
            return sum(choice.kernel == 5 for choice in plan.blocks) / len(plan.blocks)

        best = Scored(plan=found, score=score(found), predicted_s=prices.latency_s(found))
        beside = compared(best, prices, score, n=8, seed=3)
        latency_s = prices.latency_s(found)
        assert len(judged) > 8 and all(0.97 * latency_s <= prices.latency_s(plan) <= latency_s for plan in judged)
        drawn = [score(plan) for plan in judged[1:9]]
        assert beside["random"]["best"] == max(drawn) and beside["random"]["mean"] == pytest.approx(np.mean(drawn))
        assert beside["random"]["deviation"] == pytest.approx(np.std(drawn, ddof=1)) and beside["evolved"]["score"] <= 1
        assert beside == compared(best, prices, score, n=8, seed=3)

    def test_a_latency_without_other_networks_is_said(self) -> None:
        def refuses(_plan: ArchPlan) -> float:
            raise TargetError("no network of space 'digits' found between 1 and 2 ms")

        prices = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * 1e-3)
        smallest = Scored(plan=SPACE.smallest, score=0.5, predicted_s=prices.latency_s(SPACE.smallest))
        beside = compared(smallest, prices, refuses, n=4)
        assert beside == {"networks": 4, "found": 0.5, "why_not": "no network of space 'digits' found between 1 and 2 ms"}

    def test_two_processes_write_one_run(self, table: str, tmp_path: Path) -> None:
        out, port = tmp_path / "run", 29500 + os.getpid() % 2000
        arguments = ["search", "--space", "digits", "--data", "digits", "--search-epochs", "1", "--epochs", "1"]
        arguments += ["--device", table, "--latency", "5ms", "--out", str(out)]
        environment = {
            **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
        }  # fmt: skip
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "edgewise", *arguments], env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True
            )
            for rank in range(2)
        ]
        said = [run.communicate(timeout=240)[1] for run in runs]
        assert [run.returncode for run in runs] == [0, 0], said
        assert load_run(out).result["predicted_s"] <= 5e-3


class TestPrices:
    def test_simulated_prices_add_up_to_the_network(self) -> None:
        prices = prices_on(SPACE, DeviceRequest(device="titan-v"), database=None, progress=SilentProgress())
        for plan in (SPACE.largest, SPACE.smallest, SPACE.homogeneous(3, 6)):
            assert prices.latency_s(plan) == pytest.approx(open_gpu("titan-v").predict_s(net_of(SPACE, plan)), rel=0.02)

    def test_calibration_meets_both_measurements(self) -> None:
        prices = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * 1e-3)
        ends = [(prices.latency_s(plan), seconds) for plan, seconds in ((SPACE.smallest, 9e-3), (SPACE.largest, 25e-3))]
        better = calibrated(prices, ends)
        assert [better.latency_s(plan) for plan in (SPACE.smallest, SPACE.largest)] == pytest.approx([9e-3, 25e-3])
        noise = [(prices.latency_s(SPACE.smallest), 14e-3), (prices.latency_s(SPACE.largest), 14e-3)]
        assert calibrated(prices, noise).latency_s(SPACE.largest) == pytest.approx(21e-3)

    @pytest.mark.parametrize("skew", [0.8, 1.0, 1.3])
    def test_the_aim_is_corrected_by_what_is_measured(self, skew: float) -> None:
        prices = price_space(
            SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * choice.expansion * (1 + 0.01 * choice.block) * 1e-4
        )
        worth = [
            {choice.label: 0.0 if choice.skip else choice.kernel + choice.expansion for choice in block.choices} for block in SPACE.blocks
        ]

        def measure(plans):
            return Sample(times_s=(10e-3,)), [Sample(times_s=(skew * prices.latency_s(plan),)) for plan in plans]

        def choose(most_s: float):
            plan = best_in_window(prices, worth, Window(least_s=0.0, most_s=most_s))
            assert plan is not None
            return plan

        hit = aim(choose, prices, parse_latency("0.6x"), measure=measure, reference_s=10e-3, progress=SilentProgress())
        assert hit.target_s == pytest.approx(6e-3) and -0.12 < hit.miss <= 0.01 and (skew != 1.0 or hit.met)

    def test_a_disturbed_measurement_loses_nothing(self) -> None:
        """The first network seems to take four times as long, and nothing is so fast as the next aim."""
        prices = price_space(SPACE, constant_s=1e-3, price_s=lambda choice: choice.kernel * 1e-3)

        def choose(most_s: float) -> ArchPlan:
            if most_s < 4e-3:
                raise TargetError("no network is so fast")
            return SPACE.smallest

        def measure(plans: Sequence[ArchPlan]) -> tuple[Sample, list[Sample]]:
            return Sample(times_s=(10e-3,)), [Sample(times_s=(24e-3,)) for _ in plans]

        hit = aim(choose, prices, parse_latency("0.6x"), measure=measure, reference_s=10e-3, progress=SilentProgress())
        assert hit.plan == SPACE.smallest and hit.miss == pytest.approx(3.0) and not hit.met and hit.tries == 1
        with pytest.raises(TargetError, match="no network is so fast"):
            aim(choose, prices, parse_latency("0.1x"), measure=measure, reference_s=10e-3, progress=SilentProgress())

    def test_widths_come_from_a_profile(self, tmp_path: Path) -> None:
        path = tmp_path / "profile.json"
        rows = [{"tie": f"blocks.{place}.project", "candidates": widths} for place, widths in ((0, [4, 8, 12]), (2, [12, 24]))]
        path.write_text(json.dumps({"layers": rows}))
        assert [stage.width for stage in SPACE.snapped(stage_candidates(SPACE, path)).stages] == [8, 12]
        path.write_text(json.dumps({"layers": [{"tie": "conv1", "candidates": [8]}]}))
        with pytest.raises(UsageError, match="holds no widths of space 'digits'"):
            stage_candidates(SPACE, path)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--latency", "0.01x"], "lies outside what space 'digits' reaches here: 2.8 ms to 13 ms"),
            (["--latency", "2x"], "ask for a latency between, or use another space"),
            (["--latency", "5ms", "--space", "digts"], "unknown space 'digts'; did you mean digits?"),
            (["--latency", "5ms", "--loss", "hings"], "unknown loss 'hings'; did you mean hinge?"),
            (["--latency", "5ms", "--compare", "3"], "--compare must be 0 or at least 4, got 3"),
            (["--latency", "5ms", "--resume"], "--resume needs --out RUN"),
            (["--latency", "5"], "--latency needs one of the units"),
            (["--latency", "5ms", "--search-epochs", "0"], "--search-epochs must be positive"),
            (["--latency", "5ms", "--space", "cifar"], "use the space that the table was made for"),
        ],
    )
    def test_bad_input_is_one_line_and_status_2(
        self, arguments: list[str], said: str, table: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        space = [] if "--space" in arguments else ["--space", "digits"]
        assert main(["search", *space, "--device", table, "--data", "digits", *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert said in lines[-1] and lines[-1].startswith("edgewise: ")

    def test_a_search_needs_data(self, table: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["search", "--space", "digits", "--device", table, "--latency", "5ms"]) == 2
        assert "a search trains a network, and so needs --data" in capsys.readouterr().err

    def test_an_entry_that_a_table_lacks_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "less.csv"
        path.write_text(table_text(without="2:5x5-3"))
        assert main(["search", "--space", "digits", "--device", f"lut:{path}", "--data", "digits", "--latency", "5ms"]) == 2
        assert "less.csv has no entry for block 2 as 5x5-3; it has 3x3-3, 3x3-6, 5x5-6" in capsys.readouterr().err

    def test_images_below_the_total_stride(self, table: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["search", "--space", "imagenet", "--device", table, "--data", "digits", "--latency", "5ms"]) == 2
        assert "divides its images by 32, so they must be at least that large, got 8x8" in capsys.readouterr().err

    def test_inconsistent_channels(self, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "odd.toml"
        path.write_text("input_shape = [1, 1, 8, 8]\nstem = 8\nn_classes = 10\n[[stages]]\nin_channels = 16\nwidth = 8\ndepth = 1\n")
        assert main(["search", "--space", str(path), "--device", table, "--data", "digits", "--latency", "5ms"]) == 2
        assert "has inconsistent channels: stage 0 reads 16, but 8 are written before it" in capsys.readouterr().err

    def test_a_loss_that_is_not_a_number(self, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "run"
        arguments = ["--space", "digits", "--device", table, "--data", "digits", "--latency", "5ms", "--lr", "1e30", "--out", str(out)]
        assert main(["search", *arguments]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert "the loss of the search is" in said and "learning rate below 1e+30 (--lr)" in said and "last good state" in said
        assert (out / "search.safetensors").is_file() and not (out / "spec.json").exists()

    def test_no_folder_is_left_where_nothing_began(self, table: str, tmp_path: Path) -> None:
        out = tmp_path / "run"
        assert main(["search", "--space", "digits", "--device", table, "--data", "digits", "--latency", "9s", "--out", str(out)]) == 2
        assert not out.exists()


class TestSources:
    def test_a_space_is_a_model(self) -> None:
        loaded = load_model("space:Digits")
        assert sum(parameter.numel() for parameter in loaded.model.parameters()) == counts_of(SPACE, SPACE.largest).params
        source = parse_source("space:digits")
        assert ModelSource.from_json(json.loads(json.dumps(source.to_json()))) == source
        assert loaded.model(torch.zeros(1, 1, 8, 8)).shape == (1, 10)

    def test_python_callers_get_the_network(self, table: str) -> None:
        from edgewise.recipes.requests import DataRequest
        from edgewise.recipes.search_request import SearchCourse

        request = SearchRequest(
            space="digits",
            latency=parse_latency("5ms"),
            device=DeviceRequest(device=table),
            data=DataRequest(data="digits", epochs=0.5),
            course=SearchCourse(epochs=0.5),
        )
        found = run_search(request)
        assert found.model.model(torch.zeros(2, 1, 8, 8)).shape == (2, 10) and found.folder is None
        assert np.isfinite(found.value["search_seconds"]) and found.plan.labels[0] != "skip"
