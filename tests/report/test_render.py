"""The page: whole, closed, escaped, bounded."""

import re

import pytest

from edgewise.report import BenchRow, from_json, profile_from_json, render_bench, render_comparison, render_profile, render_run
from edgewise.report.data import RunReport
from report.pages import HOSTILE, checked


def test_a_fit_shows_every_part(vgg_fit):
    page = render_run(from_json(vgg_fit, name="runs/vgg"))
    found = checked(page)
    assert {"decision", "why", "widths", "stairs", "predicted", "fine-tuning", "left-alone", "provenance"} <= set(found.identifiers)
    assert page.index("0.61x") < page.index("Where the time went")
    assert "its output width is the number of classes" in page


@pytest.mark.parametrize(
    ("missing", "section"),
    [
        ("why", "why"),
        ("widths", "widths"),
        ("profile", "stairs"),
        ("fine_tune", "fine-tuning"),
        ("left_alone", "left-alone"),
        ("provenance", "provenance"),
    ],
)
def test_what_is_missing_is_not_shown(vgg_fit, missing, section):
    del vgg_fit[missing]
    if missing == "widths":
        del vgg_fit["widths_before"]
    assert section not in checked(render_run(from_json(vgg_fit))).identifiers


def test_every_single_part_alone_is_a_page(vgg_fit):
    for key, value in vgg_fit.items():
        checked(render_run(from_json({key: value})))
    checked(render_run(RunReport()))


def test_a_fit_without_data_says_why_there_is_no_accuracy(vgg_fit):
    for figures in ("baseline", "result"):
        vgg_fit[figures].update(accuracy=None, accuracy_validation=None)
    assert "accuracy was not measured" in render_run(from_json({**vgg_fit, "fine_tune": None}))


def test_refitted_layers_are_counted(vgg_fit):
    assert "refitted" not in render_run(from_json(vgg_fit))
    assert "1 layer refitted to make up for what is gone" in render_run(from_json({**vgg_fit, "refitted": ["conv2"]}))
    assert "2 layers refitted" in render_run(from_json({**vgg_fit, "refitted": ["conv2", "conv3"]}))


def test_names_from_files_never_become_tags(vgg_fit):
    def poisoned(value):
        if isinstance(value, dict):
            return {key: poisoned(part) for key, part in value.items()} | ({HOSTILE: 8} if "features.conv0" in value else {})
        if isinstance(value, list):
            return [poisoned(part) for part in value]
        return value + HOSTILE if isinstance(value, str) else value

    report = from_json({**poisoned(vgg_fit), "warnings": [HOSTILE]}, name=HOSTILE)
    checked(render_run(report))
    checked(render_comparison([report, report]))


def test_scripts_other_than_ours_are_forbidden(vgg_fit):
    page = render_run(from_json(vgg_fit))
    assert re.search(r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[A-Za-z0-9+/]{43}='", page)


def test_equal_staircases_are_drawn_once(vgg_fit):
    page = render_run(from_json(vgg_fit))
    assert page.count('<figure class="stairs-card"') == 10
    assert "and 1 like it" in page


def test_a_hundred_layers_stay_below_two_megabytes(deep_fit):
    page = render_run(from_json(deep_fit))
    checked(page)
    assert len(page.encode()) < 2_000_000
    assert "more staircases" in page


def test_a_profile_and_a_bench_alone(vgg_profile, bench_result):
    page = render_profile(profile_from_json(vgg_profile), model="vgg16")
    assert "predicted from its layers 2.18 ms" in page
    assert "width before" not in page
    assert "0.60x" in render_run(from_json(bench_result))
    checked(render_bench([BenchRow(model="a"), BenchRow(model="b", device="cuda", noisy=True)]))


def test_runs_are_compared_and_their_front_drawn(vgg_fit):
    first = from_json(vgg_fit, name="one")
    other = from_json({**vgg_fit, "result": {**vgg_fit["result"], "latency_s": 1e-3, "accuracy": 0.9}}, name="two")
    page = render_comparison([first, other])
    assert "front" in checked(page).identifiers
    assert "different settings" not in page
    assert "different settings" in render_comparison([first, from_json({**vgg_fit, "device": "openvino-cpu"})])


def test_runs_without_accuracy_have_no_front():
    assert "front" not in checked(render_comparison([RunReport(name="a"), RunReport(name="b")])).identifiers
