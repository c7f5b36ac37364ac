"""The functions of ``import edgewise``: what they take, what they return, and that they know every flag."""

import importlib
import inspect as reading
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from typer.main import get_command

import edgewise
from edgewise._core.errors import DataError, RunError, TargetError, UnknownNameError, UsageError
from edgewise.api.arguments import python_words
from edgewise.cli.entry import app
from edgewise.measure.database import LatencyDatabase
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import Loaders
from recipes.known_device import KnownDevice

FUNCTIONS = [name for name in edgewise.__all__ if callable(getattr(edgewise, name)) and name.islower()]
COMMANDS = sorted(set(get_command(app).commands) - {"demo"})
RENAMED = {
    "input": "inputs",
    "no_latency": "measure",
    "bandwidth": "bandwidth_gb_per_s",
    "search_epochs": "course", "explore": "course", "loss": "course", "strength": "course", "form": "course", "runtime": "course",
    "lr": "course", "threshold_lr": "course", "whole": "course", "even": "course",
    "row_order": "layout", "aligned": "layout", "sort_channels": "layout", "replication": "layout", "schedule": "layout",
    "mechanisms": "layout", "adc_rule": "layout", "weight_bits": "layout", "input_bits": "layout", "cell_bits": "layout",
    "adc_bits": "layout", "convolutions_only": "layout", "skip_unsupported": "layout",
    "noise_model": "cells", "stuck": "cells", "read_noise": "cells", "drift": "cells", "wire_ohm": "cells",
    "out": "file",
}  # fmt: skip
NOT_ARGUMENTS = {"json", "help", "pretrained", "precision"}
"""`to_json` gives what --json writes; `load` takes `pretrained`; of pruned networks the precision is fp32."""


def images(count: int = 64) -> tuple[Tensor, Tensor]:
    found = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return found, (found.mean(dim=(1, 2, 3)) > 0).long()


def loader(count: int = 64) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(*images(count)), batch_size=16)


def classifier() -> nn.Module:
    convolutions = [nn.Conv2d(1, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 40, 3), nn.BatchNorm2d(40), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Conv2d(40, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def test_every_command_has_its_function():
    assert set(COMMANDS) <= set(FUNCTIONS)
    assert set(FUNCTIONS) - set(COMMANDS) == {"load"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_has_its_argument(name: str):
    arguments = set(reading.signature(getattr(edgewise, name)).parameters)
    flags = {str(parameter.name) for parameter in get_command(app).commands[name].params} - NOT_ARGUMENTS
    flags -= {"weights"} if name == "bench" else set()  # of several networks each is loaded with its own
    assert sorted(flag for flag in flags if flag not in arguments and RENAMED.get(flag) not in arguments) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_described(name: str):
    function = getattr(edgewise, name)
    words = reading.getdoc(function) or ""
    assert [one for one in reading.signature(function).parameters if f"    {one}: " not in words] == []


@pytest.mark.parametrize("name", ["report", "crossbar"])
def test_a_subpackage_does_not_hide_the_function_of_its_name(name: str):
    importlib.import_module(f"edgewise.{name}")
    assert callable(getattr(edgewise, name))


class TestNetworks:
    def test_a_name_a_module_a_shape_and_what_was_loaded(self, tiny: str):
        shape = "1x3x16x16"
        loaded = edgewise.load(tiny, inputs=shape)
        assert edgewise.inspect(loaded) == edgewise.inspect(tiny, inputs=torch.zeros(1, 3, 16, 16))
        again = edgewise.inspect(loaded.model, inputs=shape)
        assert (again.macs, again.params) == (edgewise.inspect(loaded).macs, edgewise.inspect(loaded).params)

    def test_the_module_stays_as_it_is(self):
        module = classifier().train()
        edgewise.load(module, inputs="1x1x8x8").model[0].weight.data.zero_()
        assert module.training and module[0].weight.abs().sum() > 0

    @pytest.mark.parametrize(
        ("model", "inputs", "words"),
        [
            (nn.Conv2d(3, 3, 1), None, "`inputs` must say what the module Conv2d is called with"),
            (3, None, "`model` must be a name, a run folder, a module, or a result"),
            ("resnet20", (torch.zeros(1, 3, 8, 8),), "must be a shape such as 1x3x224x224 or one tensor"),
            ("resnet20", "3x32x32", "`inputs` must begin with a batch of 1"),
        ],
    )
    def test_what_is_no_network(self, model, inputs, words: str):
        with pytest.raises(UsageError, match=words):
            edgewise.inspect(model, inputs=inputs)

    def test_a_loaded_network_brings_its_own_weights(self):
        with pytest.raises(UsageError, match="brings its own"):
            edgewise.inspect(edgewise.load("digits-cnn"), weights="other.safetensors")

    def test_no_run_folder_of_a_module(self, tmp_path: Path):
        with pytest.raises(UsageError, match="`out` needs a network that can be built again"):
            edgewise.fit(classifier(), inputs="1x1x8x8", latency="0.8x", out=tmp_path / "run")
        assert list(tmp_path.iterdir()) == []


class TestErrors:
    def test_they_name_arguments(self):
        with pytest.raises(UsageError, match=r"^`width_floor` must lie in \(0x, 1x\], got 3x$"):
            edgewise.profile("resnet20", width_floor=3.0)
        with pytest.raises(UsageError, match=r"^`latency` needs one of the units"):
            edgewise.fit("resnet20", latency="0.7")
        with pytest.raises(UnknownNameError, match="did you mean resnet32 or resnet20"):
            edgewise.inspect("resnet21")
        with pytest.raises(RunError, match="no run folder"):
            edgewise.report("runs/missing")

    def test_words_of_commands_that_are_no_flags_stay(self):
        assert python_words("run it -- with --no-latency, a--b") == "run it -- with `measure`, a--b"

    @pytest.mark.parametrize("data", [3, images(), (), (1, 2, 3, 4)])
    def test_what_is_no_data(self, data):
        with pytest.raises(UsageError, match="`data` must be a name such as 'digits'"):
            edgewise.fit(classifier(), inputs="1x1x8x8", latency="0.8x", data=data)

    def test_where_only_a_data_set_will_do(self):
        with pytest.raises(UsageError, match="a search needs data by its name"):
            edgewise.search("digits", latency="0.7x", data=loader())
        with pytest.raises(UsageError, match="a crossbar chip needs data by its name"):
            edgewise.crossbar("digits-cnn", data=loader())


class TestResults:
    def test_a_fit_shows_itself_and_goes_on(self, known_device: KnownDevice, tmp_path: Path):
        parts = (loader(), loader(32), loader(32))
        said: list[str] = []
        module = classifier()
        fitted = edgewise.fit(module, inputs="1x1x8x8", latency="0.8x", data=parts, epochs=1, progress=said.append)
        assert fitted.met and fitted.speed_ratio <= 0.8 and 0 <= (fitted.accuracy or 0) <= 1
        assert any("attempt 1" in line for line in said)
        assert repr(fitted).startswith("Sequential on onnxruntime-cpu: 0.")
        shown = fitted._repr_html_()
        assert "accuracy (test)" in shown and "data:image/svg+xml" in shown and "http" not in shown.replace("http://www.w3.org", "")
        assert json.loads(json.dumps(fitted.to_json()))["met"] is True
        assert "width" in fitted.plan._repr_html_()
        assert edgewise.inspect(fitted).params == fitted.value["result"]["params"]
        assert fitted.export(tmp_path / "a.onnx").relative_diff < 1e-4

    def test_a_profile_shows_itself(self, known_device: KnownDevice):
        found = edgewise.profile(classifier(), inputs="1x1x8x8")
        assert "candidate widths" in repr(found) and "measured" in repr(found)
        assert "staircase of" in found._repr_html_()

    def test_a_simulated_device_needs_no_measuring(self):
        fitted = edgewise.fit(classifier(), inputs="1x1x64x64", device="titan-v", batch=32, latency="0.9x")
        assert "(simulated)" in repr(fitted)
        assert edgewise.simulate(fitted, device="titan-v", batch=32).latency_s == pytest.approx(fitted.latency_s)
        with pytest.raises(TargetError):
            edgewise.fit(classifier(), inputs="1x1x32x32", device="titan-v", latency=1e-9)

    def test_a_bench_of_names_and_results(self, brief_timing: None, tmp_path: Path):
        module = classifier()
        found = edgewise.bench(module, "digits-cnn", inputs="1x1x8x8", db=tmp_path / "latency.sqlite")
        assert [row.model for row in found.rows] == ["Sequential", "digits-cnn"]
        assert "2 timings of one interleaved run (measured)" in repr(found)
        file = edgewise.export(module, tmp_path / "m.onnx", inputs="1x1x8x8", db=tmp_path / "latency.sqlite")
        assert file.format == "onnx" and file.file.exists() and "same as PyTorch" in repr(file)
        with LatencyDatabase(tmp_path / "latency.sqlite") as database:
            assert database is not None

    def test_lists_show_themselves(self):
        assert "can be used here" in repr(edgewise.devices()) and "<table" in edgewise.devices()._repr_html_()
        rows = edgewise.tables("reram-3")
        assert "quoted" in repr(rows) and rows.to_json()["rows"]


class TestPruning:
    def test_own_batches(self):
        found = edgewise.sparsify(classifier(), inputs="1x1x8x8", channel_ratios=0.5, data=(loader(), loader(32)), epochs=1, measure=False)
        assert found.accuracy is None and found.speedup is None
        assert found.plan.channel_ratios[0] == 0.5 and "50%" in repr(found.plan)
        assert "fewer MACs executed" in repr(found) and found.value["result"]["accuracy_validation"] is not None
        assert tuple(found.module(torch.zeros(1, 1, 8, 8)).shape) == (1, 2)

    def test_choosing_needs_a_validation_part(self):
        with pytest.raises(DataError, match="without a validation part"):
            edgewise.sparsify(classifier(), inputs="1x1x8x8", macs_at_most="0.8x", data=Loaders(train=loader()), measure=False)

    def test_a_data_set_in_memory(self, tmp_path: Path):
        data = open_data(DataSpec(text="digits"))
        found = edgewise.sparsify("digits-cnn", channel_ratios=0.5, data=data, epochs=0, measure=False, out=tmp_path / "run")
        assert found.folder == tmp_path / "run" and found.accuracy is not None
        assert edgewise.load(tmp_path / "run").gates == found.plan
        assert edgewise.report(tmp_path / "run").file.exists()
