"""What comes from files is checked, and what is missing is simply absent."""

import pytest

from edgewise._core.errors import RunError
from edgewise.report import from_json, profile_from_json
from edgewise.report.data import RunReport, Staircase


def test_reads_a_whole_fit(vgg_fit):
    report = from_json(vgg_fit, name="runs/vgg")
    assert (report.name, report.model, report.device, report.threads) == ("runs/vgg", "vgg16-hrank", "onnxruntime-cpu", 1)
    assert report.result.predicted_s == 1.33e-3
    assert len(report.layer_widths) == 13
    assert report.layer_widths[0].before == 35
    assert ("host.cpu", "Example CPU (synthetic)") in report.provenance
    assert [check.name for check in report.checks] == ["before", "after"]


def test_nothing_at_all_is_an_empty_report():
    assert from_json({}) == RunReport()


def test_null_means_absent(vgg_fit):
    for figures in ("baseline", "result"):
        vgg_fit[figures].update(accuracy=None, accuracy_validation=None)
    vgg_fit["left_alone"] = [{"name": "head", "reason": None}]
    report = from_json({**vgg_fit, "fine_tune": None, "solver": None})
    assert report.baseline.accuracy is None
    assert report.fine_tune is None
    assert report.solver == ""
    assert report.left_alone[0].reason == ""


def test_a_profile_alone_is_recognised(vgg_profile):
    report = from_json({**vgg_profile, "model": "vgg16"})
    assert report.profile.probes == 214
    assert (report.device, report.model) == ("onnxruntime-cpu", "vgg16")
    assert report == from_json({"model": "vgg16"}, vgg_profile)


def test_settings_are_found_in_the_provenance():
    report = from_json({"provenance": {"settings": {"device": "openvino-cpu", "threads": 2}}})
    assert (report.device, report.threads) == ("openvino-cpu", 2)


def test_a_described_device_gives_its_name(vgg_profile):
    assert profile_from_json({**vgg_profile, "device": {"name": "cuda", "memory": 8}}).device == "cuda"


@pytest.mark.parametrize(
    ("damaged", "named"),
    [
        ({"baseline": {"latency_s": "soon"}}, "baseline.latency_s"),
        ({"baseline": {"latency_s": float("nan")}}, "baseline.latency_s"),
        ({"result": {"accuracy": 93.6}}, "result.accuracy"),
        ({"widths": {"conv": -3}}, "widths.conv"),
        ({"why": [3]}, "why.0"),
        ({"profile": []}, "profile"),
        ({"fine_tune": {"history": [{"loss": 1.0}]}}, "fine_tune.history.0.epoch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_is_named(damaged, named):
    with pytest.raises(RunError, match=f"`{named}`.*run the command again"):
        from_json(damaged)


def test_a_list_is_not_a_result():
    with pytest.raises(RunError, match="a result must be a JSON object, got list"):
        from_json([])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"widths": (2, 1), "latency_s": (1.0, 2.0)}, "`widths` of layer 'c' must ascend"),
        ({"widths": (1, 2), "latency_s": (1.0,)}, "`latency_s` of layer 'c' must have one value for each of its 2 widths, got 1"),
        ({"widths": (1,), "latency_s": (1.0,), "latency_raw_s": (1.0, 2.0)}, "`latency_raw_s`"),
    ],
)
def test_a_staircase_needs_a_latency_for_every_width(fields, named):
    with pytest.raises(RunError, match=named):
        Staircase(name="c", **fields)


def test_edges_and_latency_by_hand():
    stairs = Staircase(name="c", widths=(15, 16, 17, 32, 33), latency_s=(1.0, 1.0, 2.0, 2.02, 3.0))
    assert stairs.edges == (16, 32)
    assert [stairs.latency_at(width) for width in (1, 16, 18, 33, 34)] == [1.0, 1.0, 2.02, 3.0, None]
