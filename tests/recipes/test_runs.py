"""Run folders: what a new process rebuilds, and what a broken folder says."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewise._core.errors import RunError, StorageError, UnknownNameError, UsageError, WeightsError
from edgewise.ir import TiePlan, WidthPlan
from edgewise.models import weights as weights_module
from edgewise.models.resnet import BasicBlock, ZeroPadShortcut, resnet
from edgewise.models.weights import save_weights
from edgewise.recipes import runs
from edgewise.recipes.records import LoadedModel, ModelRecord, example_inputs
from edgewise.recipes.requests import ModelRequest
from edgewise.recipes.runs import append_log, is_finished, load_model, load_request, load_run, prepare_folder, write_run
from edgewise.trace import apply_plan, choose_channels, score_channels, trace

RESULT = {"met": True, "target_s": 0.5}
SMALL = """
from edgewise.models.resnet import ResNet

def small():
    return ResNet(8, outputs=(6, 8, 12), mids=(4, 6, 8))
"""


def refit(loaded: LoadedModel, share: float) -> LoadedModel:
    """The model with every free tie at a share of its width (above 1 where it may grow)."""
    traced = trace(loaded.model, loaded.inputs())
    widths = {tie.name: max(1, round(tie.width * share)) for tie in traced.net.ties if (tie.growable if share > 1 else tie.free)}
    plan = choose_channels(traced, widths, score_channels(loaded.model, traced, kind="l2"))
    model = apply_plan(loaded.model, plan, traced).eval()
    return replace(loaded, model=model, record=loaded.record.followed_by(plan, trained=True))


@pytest.fixture(scope="module")
def twice_planned(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A small residual network shrunk, then grown, with batch statistics that differ from the initial ones."""
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(SMALL)
    loaded = refit(refit(load_model(f"{path}:small", shape="1x3x32x32"), 0.5), 1.34)
    generator = torch.Generator().manual_seed(3)
    loaded.model.train()
    with torch.no_grad():
        loaded.model(torch.randn((4, 3, 32, 32), generator=generator))
    loaded.model.eval()
    return loaded


@pytest.fixture
def run_folder(tmp_path: Path, twice_planned: LoadedModel) -> Path:
    write_run(tmp_path / "run", twice_planned.model, record=twice_planned.record, result=RESULT)
    return tmp_path / "run"


def edit_spec(folder: Path, **changes: object) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps({**spec, **changes}))


def refused(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestReload:
    def test_gives_identical_outputs_and_results(self, run_folder, twice_planned):
        run = load_run(run_folder)
        assert torch.equal(run.loaded.model(*twice_planned.inputs()), twice_planned.model(*twice_planned.inputs()))
        assert run.loaded.record == twice_planned.record and len(run.loaded.plans) == 2
        assert run.result == RESULT and run.folder == run_folder
        assert not any(module.training for module in run.loaded.model.modules())

    def test_gives_identical_outputs_in_a_new_process(self, run_folder, twice_planned, tmp_path):
        code = (
            "import sys, torch; from pathlib import Path; from edgewise.recipes.runs import load_model;"
            "from safetensors.torch import save_file; torch.set_num_threads(int(sys.argv[3]));"
            "loaded = load_model(sys.argv[1]);"
            "save_file({'scores': loaded.model(*loaded.inputs(batch=2)).detach()}, sys.argv[2])"
        )
        out = tmp_path / "scores.safetensors"
        subprocess.run([sys.executable, "-c", code, run_folder, out, str(torch.get_num_threads())], check=True)
        assert torch.equal(weights_module.read_tensors(out)["scores"], twice_planned.model(*twice_planned.inputs(batch=2)))

    def test_shortcuts_follow_the_plans(self, run_folder, twice_planned):
        counts = [
            [(module.before, module.after) for module in loaded.model.modules() if isinstance(module, ZeroPadShortcut)]
            for loaded in (twice_planned, load_run(run_folder).loaded)
        ]
        assert counts[0] == counts[1] and len(counts[0]) == 3

    def test_runs_compose(self, run_folder, tmp_path):
        again = refit(load_model(str(run_folder)), 0.5)
        write_run(tmp_path / "second", again.model, record=again.record, result={})
        reloaded = load_run(tmp_path / "second").loaded
        assert len(reloaded.plans) == 3
        assert torch.equal(reloaded.model(*again.inputs()), again.model(*again.inputs()))
        assert str(run_folder) not in (tmp_path / "second" / "spec.json").read_text()

    def test_a_run_without_plans(self, tmp_path):
        loaded = load_model("resnet20")
        write_run(tmp_path, loaded.model, record=loaded.record, result={})
        reloaded = load_run(tmp_path).loaded
        assert reloaded.plans == () and not reloaded.trained
        assert torch.equal(reloaded.model(*loaded.inputs()), loaded.model(*loaded.inputs()))

    def test_a_run_of_a_users_file(self, tmp_path):
        (tmp_path / "nets.py").write_text("from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())\n")
        loaded = load_model(f"{tmp_path}/nets.py:net", shape="1x3x8x8")
        write_run(tmp_path / "run", loaded.model, record=loaded.record, result={})
        assert load_run(tmp_path / "run").loaded.input_shape == (1, 3, 8, 8)
        (tmp_path / "nets.py").write_text("from torch import nn\ndef net():\n    return nn.Conv2d(3, 5, 3)\n")
        assert "has changed since its hash was recorded" in refused(tmp_path / "run")

    def test_nothing_is_downloaded(self, tmp_path, monkeypatch):
        loaded = load_model("torchvision:squeezenet1_1")
        record = replace(loaded.record, source=replace(loaded.source, pretrained=True))
        write_run(tmp_path, loaded.model, record=record, result={})

        def no_network(*arguments, **keywords):
            raise AssertionError("a run asked for a download")

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
        assert load_run(tmp_path).loaded.source.pretrained

    def test_holds_what_the_design_says(self, run_folder):
        assert sorted(path.name for path in run_folder.iterdir()) == ["model.safetensors", "result.json", "spec.json"]
        spec = json.loads((run_folder / "spec.json").read_text())
        assert spec["format"] == 1 and spec["source"]["factory"] == "small" and len(spec["plans"]) == 2
        assert list(spec["files"]) == ["model.safetensors"] and len(spec["files"]["model.safetensors"]) == 64


class TestBrokenFolders:
    def test_missing(self, tmp_path):
        assert refused(tmp_path / "absent") == f"no run folder {tmp_path / 'absent'}"

    def test_not_a_run(self, tmp_path):
        assert "is not a run folder: it has no spec.json" in refused(tmp_path)

    def test_half_written(self, run_folder):
        (run_folder / "spec.json").unlink()
        assert f"the run in {run_folder} is unfinished (it has no spec.json); finish it with --resume" in refused(run_folder)

    @pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
    def test_lost_files(self, run_folder, name):
        (run_folder / name).unlink()
        assert f"has lost its {name}" in refused(run_folder)

    @pytest.mark.parametrize("version", [2, 0, "1", None])
    def test_other_formats(self, run_folder, version):
        edit_spec(run_folder, format=version)
        assert f"is a run of format {version!r}, edgewise 0.1.0 reads format 1; use the version that wrote it" in refused(run_folder)

    def test_tampered_tensors(self, run_folder):
        path = run_folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert "has changed since the run was written (SHA-256" in refused(run_folder)

    @pytest.mark.parametrize("share", [0.0, 0.5])
    @pytest.mark.parametrize("name", ["spec.json", "result.json"])
    def test_truncated_json(self, run_folder, name, share):
        content = (run_folder / name).read_bytes()
        (run_folder / name).write_bytes(content[: int(len(content) * share)])
        assert f"{name} is damaged" in refused(run_folder)

    @pytest.mark.parametrize("text", ["[1]", "3", "\\xff", '{"format": 1}', "[" * 100_000])
    def test_other_json(self, run_folder, text):
        (run_folder / "spec.json").write_text(text)
        assert "spec.json is damaged" in refused(run_folder)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"source": {"kind": "pickle", "name": "x"}}, "not a model source"),
            ({"source": {"kind": "built-in", "name": "resnet1001"}}, "cannot build the model of the run"),
            ({"source": {"kind": "file", "name": "/absent/nets.py", "factory": "net", "sha256": "0" * 64}}, "nets.py is gone"),
            ({"source": {"kind": "built-in", "name": "resnet20"}}, "does not fit resnet20 as it is built here"),
            ({"plans": [{"kind": "gates"}]}, "holds a plan that this edgewise cannot read"),
            ({"plans": [{"kind": "widths", "ties": [{"tie": "no.such", "keep": [0], "grow": 0}]}]}, "does not fit nets.py:small as it is"),
            ({"plans": []}, "does not fit nets.py:small as it is built here"),
            ({"plans": 3}, "spec.json is damaged: plans"),
            ({"input_shape": [1, 3, -1, 32]}, "spec.json is damaged: input_shape.2"),
            ({"files": {"../../model.safetensors": "0"}}, "must name the hash of model.safetensors alone"),
            ({"files": {}}, "must name the hash of model.safetensors alone"),
        ],
    )  # fmt: skip
    def test_specs_that_do_not_fit(self, run_folder, changes, said):
        edit_spec(run_folder, **changes)
        assert said in refused(run_folder)

    def test_another_version_of_the_zoo_is_explained(self, tmp_path):
        loaded = load_model("timm:mobilenetv3_small_050")
        write_run(tmp_path, nn.Sequential(nn.Conv2d(3, 4, 3)), record=loaded.record, result={})
        edit_spec(tmp_path, versions={"edgewise": "0.1.0", "timm": "0.0.1"})
        message = refused(tmp_path)
        assert "does not fit timm:mobilenetv3_small_050 as it is built here" in message
        assert "install the versions that wrote it (timm 0.0.1 then, " in message

    def test_links_out_of_the_folder_do_not_matter(self, run_folder, tmp_path):
        (run_folder / "model.safetensors").rename(tmp_path / "elsewhere")
        (run_folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
        assert load_run(run_folder).loaded.trained


class TestWriting:
    def test_a_failure_on_the_way_leaves_it_unfinished(self, run_folder, twice_planned, monkeypatch):
        def full(path, value):
            raise StorageError(28, f"no room left on the disk to write {path}")

        monkeypatch.setattr(runs, "write_json", full)
        with pytest.raises(StorageError, match="no room left"):
            write_run(run_folder, twice_planned.model, record=twice_planned.record, result=RESULT)
        assert not is_finished(run_folder)
        assert "is unfinished" in refused(run_folder)

    def test_a_killed_process_leaves_a_run_or_none(self, tmp_path):
        folder = tmp_path / "run"
        process = multiprocessing.get_context("spawn").Process(target=write_forever, args=(folder,))
        process.start()
        outcomes = set()
        deadline = time.monotonic() + 300
        while not (folder / "spec.json").exists():
            assert time.monotonic() < deadline and process.is_alive()
            time.sleep(0.01)
        time.sleep(0.13)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        try:
            outcomes.add(load_run(folder).result["round"] >= 0)
        except RunError as error:
            outcomes.add("is unfinished" in str(error))
        assert outcomes == {True}

    def test_a_finished_run_is_replaced_whole(self, run_folder, twice_planned):
        other = load_model("resnet20")
        write_run(run_folder, other.model, record=other.record, result={"met": False})
        run = load_run(run_folder)
        assert run.loaded.plans == () and run.result == {"met": False}

    def test_results_must_be_finite(self, tmp_path, twice_planned):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_run(tmp_path, twice_planned.model, record=twice_planned.record, result={"latency_s": float("nan")})
        assert not is_finished(tmp_path)

    def test_a_folder_that_cannot_be_made(self, tmp_path, twice_planned):
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot write"):
            write_run(tmp_path / "file" / "run", twice_planned.model, record=twice_planned.record, result={})

    def test_the_log_grows_by_lines(self, tmp_path):
        append_log(tmp_path, {"event": "start"})
        append_log(tmp_path, {"event": "end", "latency_s": 0.1})
        lines = (tmp_path / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["start", "end"]
        with pytest.raises(StorageError, match=r"cannot write .*log\.jsonl"):
            append_log(tmp_path / "absent", {})


class TestPreparing:
    def test_new_and_empty_folders_are_taken(self, tmp_path):
        prepare_folder(tmp_path / "a" / "b", resume=False)
        prepare_folder(tmp_path / "a" / "b", resume=False)
        prepare_folder(tmp_path / "a" / "c", resume=True)
        assert (tmp_path / "a" / "b").is_dir() and (tmp_path / "a" / "c").is_dir()

    def test_runs_are_not_overwritten_by_accident(self, run_folder):
        with pytest.raises(UsageError, match="already holds a finished run; choose another folder"):
            prepare_folder(run_folder, resume=False)
        (run_folder / "spec.json").unlink()
        with pytest.raises(UsageError, match="holds an unfinished run; add --resume"):
            prepare_folder(run_folder, resume=False)
        prepare_folder(run_folder, resume=True)
        assert (run_folder / "model.safetensors").exists()

    def test_other_files_are_not_mixed_in(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("")
        with pytest.raises(UsageError, match=r"must be empty or new, got thesis\.tex in it"):
            prepare_folder(tmp_path, resume=False)
        with pytest.raises(UsageError, match="must be a folder for the run, got the file"):
            prepare_folder(tmp_path / "thesis.tex", resume=False)


class TestLoadModel:
    def test_names(self):
        loaded = load_model("ResNet20")
        assert (loaded.name, loaded.input_shape, loaded.trained) == ("resnet20", (1, 3, 32, 32), False)
        assert loaded.inputs(batch=3)[0].shape == (3, 3, 32, 32)

    def test_requests(self, tmp_path):
        save_weights(resnet(20), tmp_path / "w.safetensors")
        loaded = load_request(ModelRequest(model="resnet20", weights=tmp_path / "w.safetensors", input="1x3x16x16"))
        assert loaded.trained and loaded.input_shape == (1, 3, 16, 16)

    def test_weights_go_into_runs_too(self, run_folder, tmp_path, twice_planned):
        other = load_run(run_folder).loaded.model
        with torch.no_grad():
            next(other.parameters()).zero_()
        save_weights(other, tmp_path / "w.safetensors")
        loaded = load_model(str(run_folder), weights=tmp_path / "w.safetensors", shape="1x3x48x48")
        assert not next(loaded.model.parameters()).any() and loaded.input_shape == (1, 3, 48, 48)

    def test_built_in_names_win_over_folders(self, run_folder, monkeypatch, tmp_path):
        run_folder.rename(tmp_path / "resnet20")
        monkeypatch.chdir(tmp_path)
        assert load_model("resnet20").plans == ()
        assert len(load_model("./resnet20").plans) == 2

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            ("runs/absent", RunError, "no run folder runs/absent"),
            ("resnet57", UnknownNameError, "did you mean resnet56"),
            ("absent.py:net", UsageError, "no file"),
            ("deep/absent.py:net", UsageError, "no file"),
            ("timm:deep/name", UnknownNameError, "unknown timm model"),
        ],
    )
    def test_wrong_names(self, text, kind, said):
        with pytest.raises(kind, match=said):
            load_model(text)

    def test_wrong_weights_and_shapes(self, run_folder, tmp_path):
        with pytest.raises(WeightsError, match="no file of weights"):
            load_model("resnet20", weights=tmp_path / "absent.safetensors")
        with pytest.raises(UsageError, match="dynamic sizes cannot be priced"):
            load_model("resnet20", shape="1x3x-1x-1")
        with pytest.raises(UsageError, match="--pretrained does not go with a run folder"):
            load_model(str(run_folder), pretrained=True)

    def test_example_inputs_are_the_same_every_time(self):
        torch.manual_seed(5)
        first = example_inputs((1, 3, 4, 4), batch=2)
        torch.manual_seed(6)
        assert torch.equal(first[0], example_inputs((1, 3, 4, 4), batch=2)[0])

    def test_records_grow_by_plans(self):
        record = load_model("resnet20").record
        plan = WidthPlan(ties=(TiePlan(tie="conv1", keep=(0,)),))
        assert record.followed_by(plan, trained=True) == replace(record, plans=(plan,), trained=True)
        assert isinstance(record, ModelRecord) and record.plans == ()


class TestPlans:
    def test_widths_are_what_the_plans_made(self, run_folder):
        blocks = [module for module in load_run(run_folder).loaded.model.modules() if isinstance(module, BasicBlock)]
        assert len(blocks) == 3 and blocks[0].conv1.out_channels == 3


def write_forever(folder: Path) -> None:
    """Writes the same run again and again, until the process is killed."""
    loaded = load_model("resnet20")
    for place in range(1_000_000):
        write_run(folder, loaded.model, record=loaded.record, result={"round": place})
