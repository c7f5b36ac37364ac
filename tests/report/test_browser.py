"""The report in a real browser: chromium without a window."""

from pathlib import Path

import pytest

from edgewise.report import from_json, render_comparison, render_run
from report.browsing import DARK, browse, measured


@pytest.fixture
def page(tmp_path: Path, vgg_fit) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_run(from_json(vgg_fit, name="runs/vgg")), encoding="utf-8")
    return path


def test_it_renders_and_its_script_runs(browser, page):
    document = browse(browser, page, "--dump-dom").stdout
    assert '<html lang="en" class="js">' in document
    assert 'data-tip="candidate' in document
    assert document.count("<svg") >= 15


def test_nothing_hangs_over_the_edge(browser, page, vgg_fit, deep_fit):
    deep_fit["left_alone"].append({"name": "a" * 300, "reason": "b" * 300})
    deep_fit["warnings"] = ["c" * 300]
    runs = [from_json(vgg_fit, name=f"runs/a-rather-long-name-of-a-run-{index}") for index in range(3)]
    texts = (page.read_text(encoding="utf-8"), render_run(from_json(deep_fit)), render_comparison(runs))
    frames = [(text, width) for text in texts for width in (360, 620, 820, 1200)]
    assert measured(browser, page, frames) == [(width, 0) for _, width in frames]


def test_the_probe_sees_what_hangs_over(browser, page):
    text = page.read_text(encoding="utf-8").replace("<main", '<div style="width:500px">x</div><main')
    assert measured(browser, page, [(text, 360)]) == [(360, 140)]


def test_light_and_dark(browser, page):
    image = pytest.importorskip("PIL.Image")
    corners = []
    for name, flags in (("light", ()), ("dark", (DARK,))):
        shot = page.with_name(f"{name}.png")
        browse(browser, page, "--window-size=1200,900", f"--screenshot={shot}", *flags)
        with image.open(shot) as picture:
            assert picture.size == (1200, 900)
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 50
            corners.append(sum(picture.convert("RGB").getpixel((4, 4))))
    assert corners[0] > 700 > 120 > corners[1]


def test_it_prints(browser, page):
    paper = page.with_name("report.pdf")
    browse(browser, page, f"--print-to-pdf={paper}", DARK)
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 30_000
