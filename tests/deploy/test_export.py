import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from edgewise._core.errors import ExportError, StorageError, UsageError
from edgewise.deploy.inspect_onnx import onnx_conv_widths, onnx_op_counts
from edgewise.deploy.onnx_export import export_onnx, onnx_bytes
from edgewise.deploy.openvino_export import export_openvino
from edgewise.deploy.parity import check_parity


class Mixed(nn.Module):
    """A plain, a depthwise, a grouped and a transposed convolution, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 12, 1, groups=4)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.grouped(self.depthwise(self.stem(x)))
        return {"small": x, "large": self.up(x)}


class Unsupported(nn.Module):
    """Uses an operation that ONNX does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(x)[0]


@pytest.fixture(scope="module")
def mixed() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Mixed()
        nn.init.uniform_(model.stem[1].running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(model.stem[1].running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return model


@pytest.fixture(scope="module")
def image() -> tuple[torch.Tensor]:
    return (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)),)


@pytest.fixture(scope="module")
def files(mixed: nn.Module, image: tuple[torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mixed network in both formats, exported while in training mode."""
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(mixed, image, folder / "model.onnx")
    export_openvino(mixed, image, folder / "model.xml")
    return folder


def test_files_compute_what_the_network_computes(mixed: nn.Module, image: tuple[torch.Tensor], files: Path) -> None:
    for name, convolutions in (("model.onnx", 4), ("model.xml", 0)):
        parity = check_parity(mixed, files / name, image)
        assert 0 <= parity.relative_diff < 1e-5
        assert parity.output_scale > 0.1
        assert parity.convolutions_checked == convolutions


def test_other_inputs_than_the_exported_ones_agree_too(mixed: nn.Module, files: Path) -> None:
    assert check_parity(mixed, files / "model.onnx", (torch.ones(2, 3, 8, 8),)).relative_diff < 1e-5


def test_the_network_is_left_as_it_was(mixed: nn.Module) -> None:
    assert all(module.training for module in mixed.modules())


def test_only_the_files_asked_for_are_left(files: Path) -> None:
    assert sorted(path.name for path in files.iterdir()) == ["model.bin", "model.onnx", "model.xml"]


def test_batch_norm_is_folded_and_shapes_are_fixed(files: Path) -> None:
    counts = onnx_op_counts(files / "model.onnx")
    assert counts == {"Conv": 3, "ConvTranspose": 1, "Relu": 1}
    (graph_input,) = onnx.load(str(files / "model.onnx")).graph.input
    assert [size.dim_value for size in graph_input.type.tensor_type.shape.dim] == [2, 3, 8, 8]


def test_convolutions_keep_names_and_widths(files: Path) -> None:
    assert onnx_conv_widths(files / "model.onnx") == {"stem.0": (3, 8), "depthwise": (8, 8), "grouped": (8, 12), "up": (12, 6)}


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_a_wrong_file_is_caught(mixed: nn.Module, image: tuple[torch.Tensor], files: Path, name: str) -> None:
    other = Mixed()
    other.load_state_dict(mixed.state_dict())
    with torch.no_grad():
        other.up.bias += 0.01
    with pytest.raises(ExportError, match=r"must equal the network's within 0\.0001 of their scale, got a difference of 0\.01"):
        check_parity(other, files / name, image)


def test_a_file_whose_weights_are_not_numbers_is_caught(mixed: nn.Module, image: tuple[torch.Tensor], files: Path, tmp_path: Path) -> None:
    content = onnx.load(str(files / "model.onnx"))
    for weight in content.graph.initializer:
        if weight.name == "up.bias":
            weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * float("nan"), weight.name))
    onnx.save(content, str(tmp_path / "nan.onnx"))
    with pytest.raises(ExportError, match="got a difference of nan"):
        check_parity(mixed, tmp_path / "nan.onnx", image)


def test_other_channels_and_other_outputs_are_caught(files: Path, image: tuple[torch.Tensor]) -> None:
    class Renamed(nn.Module):
        """Computes the same, with a convolution of the same name but other channels that nobody uses."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = [model]
            self.grouped = nn.Conv2d(8, 16, 1)

        def forward(self, x: torch.Tensor) -> object:
            return self.model[0].eval()(x)

    class One(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    model = Mixed()
    export_onnx(model, image, files.parent / "renamed.onnx")
    with pytest.raises(ExportError, match=r"'grouped' of .* must have \(8, 16\) channels \(in, out\), got \(8, 12\)"):
        check_parity(Renamed(model), files.parent / "renamed.onnx", image)
    with pytest.raises(ExportError, match="must have the shapes"):
        check_parity(One(), files / "model.onnx", image)


def test_an_unsupported_operation_is_named_in_one_line(image: tuple[torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot write Unsupported as ONNX: .*linalg_svd") as caught:
        export_onnx(Unsupported(), image, tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_must_be_finite(value: float, image: tuple[torch.Tensor], tmp_path: Path) -> None:
    model = Mixed()
    with torch.no_grad():
        model.grouped.weight[0, 0] = value
    with pytest.raises(ExportError, match=r"NaN or infinity in 'grouped\.weight'"):
        export_openvino(model, image, tmp_path / "model.xml")


def test_exporting_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        onnx_bytes(nn.ReLU(), (torch.zeros(1, 2),))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_wrong_arguments(mixed: nn.Module, image: tuple[torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end with \.xml, got 'model\.onnx'"):
        export_openvino(mixed, image, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="must be one of fp32, got 'int8'"):
        export_onnx(mixed, image, tmp_path / "model.onnx", precision="int8")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for export, name in ((export_onnx, "model.onnx"), (export_openvino, "model.xml")):
        with pytest.raises(StorageError, match="cannot write"):
            export(nn.ReLU(), (torch.zeros(1, 2),), tmp_path / "file" / name)


@pytest.mark.parametrize("length", [0, 10, 400, -3])
def test_a_truncated_file_is_an_export_error(
    mixed: nn.Module, image: tuple[torch.Tensor], files: Path, tmp_path: Path, length: int
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((files / "model.onnx").read_bytes()[:length])
    with pytest.raises(ExportError, match=r"cut\.onnx"):
        onnx_conv_widths(cut)
    with pytest.raises(ExportError, match=r"cut\.onnx") as caught:
        check_parity(mixed, cut, image)
    assert "\n" not in str(caught.value)


def test_a_hostile_file_may_not_read_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\x00" * 64)
    (tmp_path / "inner").mkdir()
    weight = onnx.TensorProto(name="w.weight", data_type=onnx.TensorProto.FLOAT, dims=[4, 1, 2, 2], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret")
    node = onnx.helper.make_node("Conv", ["x", "w.weight"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    hostile = tmp_path / "inner" / "hostile.onnx"
    hostile.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert onnx_conv_widths(hostile) == {"w": (1, 4)}
    with pytest.raises(ExportError, match="cannot run"):
        check_parity(nn.ReLU(), hostile, (torch.zeros(1, 1, 4, 4),))
