"""``inspect`` says what the references say."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edgewise._core.errors import SpecError, UnknownNameError, WeightsError
from edgewise.ir import Dim, LayerSpec, LeftAlone, NetSpec, Term, Tie
from edgewise.models.published_counts import parameters_without_norms, thop_operations
from edgewise.models.sources import build, parse_source
from edgewise.recipes.inspect import InspectResult, inspect_model, inspect_net
from edgewise.recipes.records import example_inputs
from edgewise.recipes.requests import ModelRequest
from edgewise.trace import trace


def seen(model: str) -> InspectResult:
    return inspect_model(ModelRequest(model=model))


@pytest.mark.parametrize(
    ("name", "macs", "params", "thop", "published"),
    [
        ("vgg16-hrank", 66_521_088, 1_901_836, 66_949_248, ("66.95M", "1.902M")),
        ("resnet56-hrank", 65_168_128, 485_413, 65_935_872, ("65.94M", "0.485M")),
        ("resnet56-hrank2", 34_197_184, 240_793, 34_781_760, ("34.78M", "0.241M")),
    ],
)
def test_pruned_baselines(name, macs, params, thop, published):
    net = trace(build(parse_source(name)), example_inputs((1, 3, 32, 32))).net
    result = inspect_net(net)
    assert (result.macs, result.params) == (macs, params)
    assert thop_operations(net) == thop
    assert (f"{thop_operations(net) / 1e6:.2f}M", f"{net.params / 1e6:.3f}M") == published


def test_the_published_base_of_vgg_leaves_norms_out():
    model = build(parse_source("vgg16"))
    net = trace(model, example_inputs((1, 3, 32, 32))).net
    # The base of the literature has biases in its 13 convolutions, ours has none.
    biases = sum(layer.out_channels for layer in net.layers if layer.op == "conv2d")
    assert parameters_without_norms(net) + biases == 14_982_474


def test_mobilenet_v2():
    result = seen("mobilenet-v2")
    assert (result.macs, result.params) == (300_774_272, 3_504_872)


def test_json_has_the_promised_form():
    value = seen("resnet20").to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert {"macs", "params", "layers", "left_alone"} <= set(value)
    assert value["macs"] == sum(layer["macs"] for layer in value["layers"]) == 40_551_040
    assert value["params"] == sum(layer["params"] for layer in value["layers"]) == 269_722
    names = {"name", "op", "in_channels", "out_channels", "macs", "params", "tie"}
    assert all(set(layer) == names for layer in value["layers"])
    layers = {layer["name"]: layer for layer in value["layers"]}
    assert layers["conv1"] == {
        "name": "conv1", "op": "conv2d", "in_channels": 3, "out_channels": 16, "macs": 3 * 16 * 9 * 1024, "params": 432, "tie": "conv1"
    }  # fmt: skip
    assert layers["bn1"]["op"] == "batch_norm" and layers["bn1"]["params"] == 32 and layers["bn1"]["macs"] == 0
    assert layers["linear"]["op"] == "linear" and layers["linear"]["tie"] == "linear"
    assert {tie["name"]: tie["free"] for tie in value["ties"]}["linear"] is False
    assert [entry["name"] for entry in value["left_alone"]] == ["linear"] and value["left_alone"][0]["reason"]


def test_residual_stages_are_tied():
    ties = {layer.name: layer.tie for layer in seen("resnet20").layers if layer.op == "conv2d"}
    stage1 = {ties[f"layer1.{block}.conv2"] for block in range(3)} | {ties["conv1"]}
    stage2 = {ties[f"layer2.{block}.conv2"] for block in range(3)}
    inner = [ties[f"layer{stage}.{block}.conv1"] for stage in (1, 2, 3) for block in range(3)]
    assert len(stage1) == 1 and len(stage2) == 1 and not stage1 & stage2
    assert len(set(inner)) == 9 and not set(inner) & (stage1 | stage2)


def test_layers_without_weights_are_left_out_and_shared_ones_kept():
    eight = Dim(terms=(Term(tie="fc"),))
    image = LayerSpec(name="x", op="input", in_channels=8, out_channels=8, in_dim=eight, out_dim=eight)
    first = replace(image, name="fc", op="linear", inputs=("x",))
    relu = replace(image, name="relu", op="relu", inputs=("fc",))
    again = replace(first, name="fc.again", inputs=("relu",), shares="fc")
    tie = Tie(name="fc", width=8, writers=("fc", "fc.again"), free=True, growable=False, reason="because")
    alone = (LeftAlone(name="fc", reason="because"),)
    net = NetSpec(name="n", input_shapes=((1, 8),), layers=(image, first, relu, again), ties=(tie,), left_alone=alone)
    result = inspect_net(net)
    assert [(layer.name, layer.macs, layer.params, layer.tie) for layer in result.layers] == [
        ("fc", 64, 64, "fc"),
        ("fc.again", 64, 0, "fc"),
    ]
    assert result.to_json()["ties"] == [
        {"name": "fc", "width": 8, "writers": ["fc", "fc.again"], "free": True, "growable": False, "reason": "because"}
    ]
    assert result.left_alone == alone


def test_bad_input(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean resnet56"):
        seen("resnet57")
    (tmp_path / "nets.py").write_text("from torch import nn\ndef net():\n    return nn.Linear(3, 4)\n")
    with pytest.raises(SpecError, match="must have a convolution"):
        inspect_model(ModelRequest(model=f"{tmp_path}/nets.py:net", input="1x3"))
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="truncated or not a safetensors file"):
        inspect_model(ModelRequest(model="resnet20", weights=tmp_path / "w.safetensors"))


def test_reading_a_built_in_imports_no_runtime_and_no_zoo():
    code = (
        "import sys; from edgewise.recipes.inspect import inspect_model; from edgewise.recipes.requests import ModelRequest;"
        "inspect_model(ModelRequest(model='resnet20'));"
        "sys.exit(', '.join({'timm', 'torchvision', 'onnx', 'onnxruntime', 'openvino', 'sklearn'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
