"""Naming a model, building it, and what wrong names and broken files say."""

import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewise._core.errors import RunError, SpecError, UnknownNameError, UsageError, WeightsError
from edgewise.models import zoo
from edgewise.models.sources import ModelSource, build, input_shape, parse_source

FACTORY = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
"""


def write_factory(folder: Path, text: str = FACTORY, name: str = "nets.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


class TestNames:
    def test_case_of_built_in_names_does_not_matter(self):
        assert parse_source(" VGG16-HRank ") == ModelSource(kind="built-in", name="vgg16-hrank")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("resnet57", "unknown model 'resnet57'; did you mean resnet56"),
            ("toaster", "unknown model 'toaster'; built in are digits-cnn, fbnet-b, mnasnet-a1, mnasnet-b1, mobilenet-v1, mobilenet-v2"),
            ("", "unknown model ''"),
            ("hf:resnet18", "other forms are timm:NAME"),
            ("timm:resnet17", "unknown timm model 'resnet17'; did you mean resnet"),
            ("TIMM:zzzzqq", r"unknown timm model 'zzzzqq'; timm\.list_models\(\) lists all"),
            ("timm:", "unknown timm model ''"),
            ("timm:hf-hub:someone/model", "unknown timm model"),
            ("timm:resnet18.no_such_tag", "unknown tag in timm model 'resnet18.no_such_tag'"),
            ("torchvision:resnet17", "unknown torchvision model 'resnet17'; did you mean resnet"),
            ("torchvision:ResNet18", "unknown torchvision model 'ResNet18'"),
        ],
    )
    def test_unknown_names_are_taught(self, text, said):
        with pytest.raises(UnknownNameError, match=said) as caught:
            parse_source(text)
        message = str(caught.value)
        assert "\n" not in message and len(message) < 400

    def test_zoos_are_named_with_any_case_before_the_colon(self):
        assert parse_source("Timm:resnet18") == ModelSource(kind="timm", name="resnet18")
        assert parse_source("torchvision:resnet18", pretrained=True) == ModelSource(kind="torchvision", name="resnet18", pretrained=True)

    def test_a_missing_zoo_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(UsageError, match=r"need timm, which is not installed; run: pip install 'edgewise\[zoo\]'"):
            parse_source("timm:resnet18")

    def test_pretrained_needs_a_zoo(self, tmp_path):
        for text in ("resnet56", f"{write_factory(tmp_path)}:small"):
            with pytest.raises(UsageError, match="--pretrained is for timm and torchvision models only"):
                parse_source(text, pretrained=True)

    def test_labels_are_what_people_type(self, tmp_path):
        path = write_factory(tmp_path)
        labels = [parse_source(text).label for text in ("ResNet20", "timm:resnet18", f"{path}:small")]
        assert labels == ["resnet20", "timm:resnet18", "nets.py:small"]

    def test_built_ins_import_no_zoo(self):
        code = (
            "import sys; from edgewise.models.sources import build, parse_source; build(parse_source('resnet20'));"
            "sys.exit(bool({'timm', 'torchvision', 'onnx', 'openvino'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestJson:
    @pytest.mark.parametrize(
        "source",
        [
            ModelSource(kind="built-in", name="resnet56"),
            ModelSource(kind="timm", name="resnet18", pretrained=True),
            ModelSource(kind="file", name="/somewhere/nets.py", sha256="0" * 64, factory="small"),
        ],
    )
    def test_round_trip(self, source):
        assert ModelSource.from_json(source.to_json()) == source

    @pytest.mark.parametrize(
        "value", [{}, {"kind": "pickle", "name": "x"}, {"kind": "timm", "name": 3}, {"kind": "file", "name": "x", "sha256": 3}]
    )
    def test_other_values_are_refused(self, value):
        with pytest.raises(RunError, match="not a model source"):
            ModelSource.from_json(value)

    def test_only_files_have_factories(self):
        with pytest.raises(SpecError, match="exactly if it is a file"):
            ModelSource(kind="built-in", name="resnet56", factory="f", sha256="0")
        with pytest.raises(SpecError, match="exactly if it is a file"):
            ModelSource(kind="file", name="nets.py")


class TestBuild:
    @pytest.mark.parametrize("text", ["resnet20", "timm:mobilenetv3_small_050", "torchvision:squeezenet1_1"])
    def test_one_source_gives_the_same_tensors_and_leaves_the_generator_alone(self, text):
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        first = build(parse_source(text))
        assert torch.equal(torch.rand(3), expected)
        second = build(parse_source(text))
        assert not first.training and not any(module.training for module in first.modules())
        assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())

    def test_a_name_that_a_later_version_dropped(self):
        with pytest.raises(UnknownNameError, match="unknown model 'resnet1001'"):
            build(ModelSource(kind="built-in", name="resnet1001"))

    def test_detection_downloads_no_backbone(self, monkeypatch):
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _no_network)
        model = build(parse_source("torchvision:ssdlite320_mobilenet_v3_large"))
        assert isinstance(model, nn.Module)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_a_failed_download_is_one_line(self, monkeypatch, caplog):
        def failing(*arguments, **keywords):
            logging.getLogger("huggingface_hub").warning("retrying")
            raise OSError("no route\nto host")

        timm = pytest.importorskip("timm")
        torchvision = pytest.importorskip("torchvision")
        monkeypatch.setattr(timm, "create_model", failing)
        monkeypatch.setattr(torchvision.models, "get_model", failing)
        for text in ("timm:resnet18", "torchvision:resnet18"):
            with pytest.raises(WeightsError, match=rf"published weights of {text} \(no route to host\); check the network"):
                build(parse_source(text, pretrained=True))
            with pytest.raises(SpecError, match="cannot build 'resnet18': no route to host"):
                build(parse_source(text))
        assert caplog.records == []

    def test_models_without_published_weights_say_so(self, monkeypatch):
        timm = pytest.importorskip("timm")
        monkeypatch.setattr(timm, "create_model", _no_network)
        bare = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
        with pytest.raises(WeightsError, match=f"timm publishes no weights for '{bare}'"):
            build(parse_source(f"timm:{bare}", pretrained=True))

    @pytest.mark.parametrize("name", ["googlenet", "inception_v3", "fcn_resnet50"])
    def test_without_download_a_pretrained_network_has_the_same_form(self, name, monkeypatch):
        models = pytest.importorskip("torchvision.models")
        source = parse_source(f"torchvision:{name}", pretrained=True)
        again = build(source, download=False)
        weights = models.get_model_weights(name).DEFAULT
        # Stand in for the download: the published file has the network's own names and every auxiliary head.
        monkeypatch.setattr(type(weights), "get_state_dict", lambda *arguments, **keywords: {})
        monkeypatch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
        published = build(source)
        assert list(again.state_dict()) == list(published.state_dict())
        assert getattr(again, "transform_input", None) == getattr(published, "transform_input", None)


class TestInputShape:
    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            ("resnet56", (1, 3, 32, 32)),
            ("mobilenet-v2", (1, 3, 224, 224)),
            ("timm:resnet18", (1, 3, 224, 224)),
            ("timm:inception_v3", (1, 3, 299, 299)),
            ("torchvision:resnet18", (1, 3, 224, 224)),
            ("torchvision:inception_v3", (1, 3, 299, 299)),
            ("torchvision:fasterrcnn_resnet50_fpn", (1, 3, 320, 320)),
            ("torchvision:fcn_resnet50", (1, 3, 520, 520)),
            ("torchvision:r3d_18", (1, 3, 16, 112, 112)),
        ],
    )
    def test_is_known(self, text, shape):
        assert input_shape(parse_source(text)) == shape

    def test_can_be_given(self):
        assert input_shape(parse_source("resnet56"), "1x3x64x64") == (1, 3, 64, 64)

    def test_several_inputs_are_for_python(self):
        with pytest.raises(UsageError, match="takes two images; use edgewise from Python"):
            input_shape(parse_source("torchvision:raft_small"))

    def test_files_need_one(self, tmp_path):
        with pytest.raises(UsageError, match=r"input shape of nets\.py:small is not known; give it, for example --input 1x3x224x224"):
            input_shape(parse_source(f"{write_factory(tmp_path)}:small"))


class TestFactories:
    def test_builds_what_the_function_returns_and_may_import_neighbours(self, tmp_path):
        write_factory(tmp_path, "WIDTH = 5\n", name="neighbour_of_nets.py")
        path = write_factory(
            tmp_path, "from neighbour_of_nets import WIDTH\nfrom torch import nn\ndef net():\n    return nn.Linear(2, WIDTH)\n"
        )
        before = list(sys.path)
        model = build(parse_source(f"{path}:net"))
        assert isinstance(model, nn.Linear) and model.out_features == 5 and not model.training
        assert sys.path == before

    def test_dataclasses_work_in_the_file(self, tmp_path):
        text = """
            from dataclasses import dataclass
            from torch import nn

            @dataclass(kw_only=True)
            class Config:
                width: "int" = 3

            def net():
                return nn.Linear(2, Config().width)
        """
        assert isinstance(build(parse_source(f"{write_factory(tmp_path, text)}:net")), nn.Linear)

    def test_a_changed_file_is_refused(self, tmp_path):
        path = write_factory(tmp_path)
        source = parse_source(f"{path}:small")
        path.write_text(FACTORY.replace("4", "8"))
        with pytest.raises(RunError, match="has changed since its hash was recorded; restore that version"):
            build(source)
        path.unlink()
        with pytest.raises(RunError, match=r"nets\.py is gone; put it back"):
            build(source)

    @pytest.mark.parametrize(
        ("text", "factory", "said"),
        [
            ("def net():\n    x = 1\n    return 1 / 0\n", "net", r"nets\.py:3: ZeroDivisionError: division by zero$"),
            ("import torch\nraise ValueError('two\\nlines')\n", "net", r"nets\.py:2: ValueError: two lines$"),
            ("def net(:\n", "net", r"nets\.py:1: SyntaxError: "),
            ("import no_such_module_here\n", "net", r"nets\.py:1: ModuleNotFoundError: No module named"),
            ("import sys\nsys.exit(3)\n", "net", r"nets\.py:2: SystemExit: 3$"),
            ("def net():\n    raise KeyError\n", "net", r"nets\.py:2: KeyError$"),
            ("def net(width):\n    return width\n", "net", r"nets\.py: TypeError: net\(\) missing 1 required"),
            ("def net():\n    return 3\n", "net", r"net\(\) of .*nets\.py must return a torch.nn.Module, got int"),
            ("\0", "net", r"nets\.py: SyntaxError: |nets\.py: ValueError: |nets\.py:\d+: SyntaxError: "),
        ],
    )
    def test_errors_in_the_file_are_one_line(self, tmp_path, text, factory, said):
        path = write_factory(tmp_path, text)
        with pytest.raises(SpecError, match=said) as caught:
            build(parse_source(f"{path}:{factory}"))
        assert "\n" not in str(caught.value)

    def test_unknown_functions_are_taught(self, tmp_path):
        path = write_factory(tmp_path)
        with pytest.raises(UnknownNameError, match=r"unknown function of .*nets\.py 'smal'; did you mean small\?"):
            build(parse_source(f"{path}:smal"))
        with pytest.raises(UnknownNameError, match="defines no function 'net', nor any other"):
            build(parse_source(f"{write_factory(tmp_path, 'x = 1', name='empty.py')}:net"))

    @pytest.mark.parametrize("form", ["{}", "{}:", "{}:not-a-name", "{}:a:b"])
    def test_a_function_must_be_named(self, tmp_path, form):
        with pytest.raises((UsageError, UnknownNameError), match=r"FILE\.py:FACTORY"):
            parse_source(form.format(write_factory(tmp_path)))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(UsageError, match=r"no file .*absent\.py"):
            parse_source(f"{tmp_path}/absent.py:net")


def _no_network(*arguments, **keywords):
    raise AssertionError("a model without --pretrained asked for a download")
