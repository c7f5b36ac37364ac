"""``edgewise sparsify --remove``: channels that no image is to keep are gone for good."""

from functools import partial
from pathlib import Path

import pytest
import torch

from edgewise._core.errors import RunError
from edgewise._core.files import sha256_of
from edgewise.dynamic.refining import refine_ratios
from edgewise.recipes.requests import DataRequest, ModelRequest
from edgewise.recipes.runs import load_run
from edgewise.recipes.sparsify import training as course
from edgewise.recipes.sparsify.request import RatioRequest
from edgewise.recipes.sparsify.run import run_sparsify
from recipes.interrupted import Interrupted
from recipes.sparsify_runs import RUN_FILES, other_images, request, side_by_side


def test_channels_that_no_image_keeps_are_removed_for_good(trained: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.recipes.sparsify.run.time_side_by_side", side_by_side)
    ratios = RatioRequest(channels=(0.5,), remove=True, changing=(0.0, 0.5))
    found = run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios, distill=True, measure=True))
    value, plain = found.value, run_sparsify(request(None, model=trained)).value
    assert value["ratios"]["channel"] == [0.5, 0.5] and value["ratios"]["removed"] == pytest.approx([0.5, 0.25], abs=0.02)
    assert value["baseline"]["macs"] == plain["baseline"]["macs"] and value["baseline"]["params"] > value["result"]["params"]
    assert value["result"]["reduction"] > value["result"]["reduction_removed"] > plain["result"]["reduction"]
    assert [gate["kept_channels"] for gate in value["gates"]] == [gate["kept_channels"] for gate in plain["gates"]]
    assert all(row["pruned"] == pytest.approx(0.5) and row["static"] >= 0.25 for row in value["redundancy"])
    left = value["latency"]["left"]
    assert left["runtime"] == "fast" and (left["speedup"], left["gates_speedup"]) == pytest.approx((1.5, 1.5))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "by channels removed for good, the rest for each image" in page and "Channels removed" in page
    loaded = load_run(tmp_path / "run").loaded
    images = torch.randn(4, *loaded.input_shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded.model(images), found.module(images))
    assert [type(plan).__name__ for plan in loaded.plans] == ["WidthPlan", "GatePlan"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*RUN_FILES}


def test_a_resumed_removal_leaves_the_same_channels(trained: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = RatioRequest(channels=(0.5,), remove=True)
    run_sparsify(request(tmp_path / "whole", model=trained, ratios=ratios, distill=True))
    with pytest.raises(KeyboardInterrupt):
        run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios, distill=True), progress=Interrupted(14))
    monkeypatch.setattr(course, "lessons_of", other_images)
    run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios, distill=True, resume=True))
    assert sha256_of(tmp_path / "run" / "model.safetensors") == sha256_of(tmp_path / "whole" / "model.safetensors")


def test_damaged_widths_of_an_unfinished_run_are_named(trained: ModelRequest, tmp_path: Path) -> None:
    ratios = RatioRequest(channels=(0.5,), remove=True)
    with pytest.raises(KeyboardInterrupt):
        run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios), progress=Interrupted(3))
    for damaged in ("{", '{"kind": "gates"}'):
        (tmp_path / "run" / course.REMOVED_FILE).write_text(damaged)
        with pytest.raises(RunError, match=rf"{course.REMOVED_FILE} is damaged"):
            run_sparsify(request(tmp_path / "run", model=trained, ratios=ratios, resume=True))


def test_removal_needs_neither_images_nor_training(tmp_path: Path) -> None:
    asked = request(None, data=None, ratios=RatioRequest(channels=(0.5,), remove=True, changing=(0.0,)))
    found = run_sparsify(asked)
    assert found.value["result"]["reduction"] == found.value["result"]["reduction_removed"] > 0.4 and not found.plan.prunes


def test_ratios_are_chosen_for_macs_with_removal(trained: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.recipes.sparsify.ratios.refine_ratios", partial(refine_ratios, most_trials=4))
    ratios = RatioRequest(macs_at_most=0.6, images=32, remove=True)
    value = run_sparsify(request(None, model=trained, ratios=ratios, data=DataRequest(data="digits", epochs=0))).value
    assert value["result"]["macs_executed"] <= 0.6 * value["baseline"]["macs"]
    assert value["chosen"]["predicted"] == pytest.approx(1 - value["result"]["reduction_executed"])
    without = RatioRequest(macs_at_most=0.6, images=32)
    dearer = run_sparsify(request(None, model=trained, ratios=without, data=DataRequest(data="digits", epochs=0))).value
    assert value["chosen"]["predicted_loss"] <= dearer["chosen"]["predicted_loss"], "removal pays for part of it"
