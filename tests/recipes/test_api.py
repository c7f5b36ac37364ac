"""Fitting from Python: several inputs and outputs, and training of one's own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import edgewise
from edgewise._core.errors import RunError, SpecError, TargetError, UsageError, WeightsError
from edgewise.recipes.own_training import Training
from edgewise.recipes.runs import write_run
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import FineTune, Loaders
from recipes.known_device import KnownDevice


class Detector(nn.Module):
    """Two inputs, and outputs in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.prior = nn.Conv2d(1, 24, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(24, 72, 3, padding=1), nn.ReLU(), nn.Conv2d(72, 56, 3, padding=1), nn.ReLU())
        self.classes = nn.Conv2d(56, 5, 1)
        self.boxes = nn.Conv2d(56, 4, 1)

    def forward(self, image: Tensor, prior: Tensor) -> dict[str, Tensor]:
        maps = self.body(self.image(image) + self.prior(prior))
        return {"classes": self.classes(maps), "boxes": self.boxes(maps)}


INPUTS = (torch.randn(1, 3, 8, 8), torch.randn(1, 1, 8, 8))


def detection_loss(outputs: dict[str, Tensor], target: Tensor) -> Tensor:
    return (outputs["classes"].mean(dim=(2, 3)) - target).square().mean() + outputs["boxes"].square().mean()


def batches() -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        ((torch.randn(4, 3, 8, 8, generator=generator), torch.randn(4, 1, 8, 8, generator=generator)), torch.zeros(4, 5)) for _ in range(3)
    ]


def score(model: nn.Module) -> float:
    with torch.no_grad():
        return -sum(float(detection_loss(model(*inputs), target)) for inputs, target in batches())


def test_several_inputs_and_outputs(known_device: KnownDevice, tmp_path: Path):
    model = Detector()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fitted = edgewise.fit(model, inputs=INPUTS, latency="0.7x")
    assert fitted.met and fitted.speed_ratio <= 0.7
    assert type(fitted.module) is Detector and not fitted.module.training
    outputs = fitted.module(*INPUTS)
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {"classes": (1, 5, 8, 8), "boxes": (1, 4, 8, 8)}
    assert model.training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert fitted.value["baseline"]["accuracy_validation"] is None
    fitted.write_report(tmp_path / "report.html")
    assert "Detector" in (tmp_path / "report.html").read_text()


def test_a_result_is_saved_and_read_by_the_code_of_the_original(known_device: KnownDevice, tmp_path: Path):
    fitted = edgewise.fit(Detector(), inputs=INPUTS, latency="0.7x")
    fitted.save(tmp_path / "kept")
    again = edgewise.load(Detector(), inputs=INPUTS, saved=tmp_path / "kept").model
    assert all(torch.equal(again(*INPUTS)[name], tensor) for name, tensor in fitted.module(*INPUTS).items())
    with pytest.raises(RunError, match="give the folder that a fitted module was saved to"):
        edgewise.load(Detector(), inputs=INPUTS, saved=tmp_path)
    with pytest.raises(RunError, match="damaged, or not of this network"):
        edgewise.load(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)), inputs=INPUTS[0], saved=tmp_path / "kept")


def test_no_run_folder_is_written_of_what_no_file_can_build(known_device: KnownDevice, tmp_path: Path):
    profiled = edgewise.profile(Detector(), inputs=INPUTS)
    with pytest.raises(UsageError, match="lives in memory only"):
        write_run(tmp_path / "run", profiled.loaded.model, record=profiled.loaded.record, result={})
    assert not (tmp_path / "run").exists()


def test_the_exported_file_computes_the_same(known_device: KnownDevice, tmp_path: Path):
    fitted = edgewise.fit(Detector(), inputs=INPUTS, latency="0.8x")
    assert fitted.export(tmp_path / "detector.onnx").relative_diff < 1e-4
    with pytest.raises(UsageError, match=r"must end with .onnx or .xml"):
        fitted.export(tmp_path / "detector.pt")


def test_a_loop_of_ones_own(known_device: KnownDevice):
    seen: list[nn.Module] = []

    def train(model: nn.Module) -> None:
        seen.append(model)
        with torch.no_grad():
            model.boxes.bias.fill_(3.0)

    fitted = edgewise.fit(Detector(), inputs=INPUTS, latency="0.7x", train=train, evaluate=lambda model: float(model.boxes.bias[0]))
    assert seen[0] is fitted.module
    assert fitted.value["score"]["result"] == 3.0 and fitted.value["score"]["baseline"] != 3.0
    with pytest.raises(UsageError, match="same tensors as it was given"):
        edgewise.fit(Detector(), inputs=INPUTS, latency="0.7x", train=lambda model: Detector())


def test_own_batches_loss_and_score(known_device: KnownDevice):
    tuning = FineTune(epochs=2, lr=0.01)
    fitted = edgewise.fit(Detector(), inputs=INPUTS, latency="0.7x", data=batches(), loss=detection_loss, evaluate=score, fine_tune=tuning)
    value = fitted.value
    assert len(value["fine_tune"]["history"]) == 2
    assert value["score"]["result"] == score(fitted.module) != value["score"]["baseline"]
    assert value["fine_tune"]["history"][-1]["accuracy_validation"] is None
    assert value["result"]["accuracy_validation"] is None


@pytest.mark.parametrize("own", [{}, {"evaluate": lambda model: 1.0}], ids=["named", "own"])
def test_training_goes_at_the_rate_asked_for(known_device: KnownDevice, own: dict[str, Any]):
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labelled = [(images, (images.mean(dim=(1, 2, 3)) > 0).long())] * 20
    model = nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fitted = edgewise.fit(model, inputs=images[:1], latency="0.9x", data=labelled, epochs=1, lr=0.002, **own)
    assert fitted.value["fine_tune"]["history"][-1]["lr"] == pytest.approx(0.002 / 1000)


def test_data_by_its_name_is_normalised_for_an_own_loss_too(known_device: KnownDevice, monkeypatch: pytest.MonkeyPatch):
    asked: list[DataSpec] = []
    monkeypatch.setattr("edgewise.train.data.open_data", lambda spec: asked.append(spec) or open_data(spec))
    edgewise.fit("digits-cnn", latency="0.8x", data="digits", epochs=0, evaluate=lambda model: 1.0, mean=(0.25,) * 3, std=(0.5,) * 3)
    assert [(spec.mean, spec.std) for spec in asked] == [((0.25,) * 3, (0.5,) * 3)]


def test_classifiers_are_scored_by_their_validation_accuracy(known_device: KnownDevice):
    features = nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 40, 3), nn.ReLU())
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 2))
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labelled = [(images, (images.mean(dim=(1, 2, 3)) > 0).long())]
    data = Loaders(train=labelled, validation=labelled)
    value = edgewise.fit(model, inputs=images[:1], latency="0.8x", data=data, epochs=1, distill=True, importance="taylor").value
    assert 0 <= value["baseline"]["accuracy_validation"] <= 1 and 0 <= value["result"]["accuracy_validation"] <= 1


class TestBadInput:
    @pytest.mark.parametrize("inputs", [(), torch.randn(2, 3, 8, 8), (torch.randn(1, 3, 8, 8), torch.tensor(1.0))])
    def test_inputs_need_a_batch_of_one(self, inputs):
        with pytest.raises(UsageError, match="tensors with a batch of one"):
            edgewise.fit(Detector(), inputs=inputs, latency="0.7x")

    def test_inputs_that_the_model_does_not_read(self, known_device: KnownDevice):
        with pytest.raises(SpecError, match="must run on inputs"):
            edgewise.fit(Detector(), inputs=INPUTS[0], latency="0.7x")

    def test_a_target_without_a_unit(self):
        with pytest.raises(UsageError, match=r"`latency` needs one of the units"):
            edgewise.fit(Detector(), inputs=INPUTS, latency="0.7")

    def test_a_target_out_of_reach(self, known_device: KnownDevice):
        with pytest.raises(TargetError, match="fastest network is predicted at"):
            edgewise.fit(Detector(), inputs=INPUTS, latency="0.01x")

    def test_weights_that_are_no_numbers(self, known_device: KnownDevice):
        model = Detector()
        with torch.no_grad():
            model.prior.weight[0] = torch.nan
        with pytest.raises(WeightsError, match=r"NaN in 'prior.weight'"):
            edgewise.fit(model, inputs=INPUTS, latency="0.7x")

    def test_a_network_without_convolutions(self, known_device: KnownDevice):
        with pytest.raises(SpecError, match="must have a convolution"):
            edgewise.profile(nn.Linear(3, 3), inputs=torch.randn(1, 3))

    def test_taylor_and_distillation_need_data(self):
        with pytest.raises(UsageError, match=r"taylor.* needs gradients"):
            edgewise.fit(Detector(), inputs=INPUTS, latency="0.7x", importance="taylor")
        with pytest.raises(UsageError, match="`distill` belongs to the built-in fine-tuning"):
            Training(distill=True)
