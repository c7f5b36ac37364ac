"""The report in a real browser: chromium without a window."""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgewise.report import from_json, render_comparison, render_run

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=2000", "--enable-logging=stderr"),
)
_DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium found; in CI the browser tests must run: install Debian's package chromium")
        pytest.skip("no chromium found")
    return found


@pytest.fixture
def page(tmp_path: Path, vgg_fit) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_run(from_json(vgg_fit, name="runs/vgg")), encoding="utf-8")
    return path


def browse(browser: str, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """One visit with a profile of its own; what the page logged is on standard error."""
    home = page.parent / f"browser-{len(list(page.parent.iterdir()))}"
    command = [browser, *_FLAGS, f"--user-data-dir={home}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert not re.search(r"CONSOLE.*", done.stderr), re.findall(r".*CONSOLE.*", done.stderr)
    return done


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
    for name, flags in (("light", ()), ("dark", (_DARK,))):
        shot = page.with_name(f"{name}.png")
        browse(browser, page, "--window-size=1200,900", f"--screenshot={shot}", *flags)
        with image.open(shot) as picture:
            assert picture.size == (1200, 900)
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 50
            corners.append(sum(picture.convert("RGB").getpixel((4, 4))))
    assert corners[0] > 700 > 120 > corners[1]


def test_it_prints(browser, page):
    paper = page.with_name("report.pdf")
    browse(browser, page, f"--print-to-pdf={paper}", _DARK)
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 30_000


def measured(browser: str, page: Path, frames: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Width of each frame, and by how much its content is wider.

    Frames, since no window of chromium is as narrow as a phone.
    """
    copies = "".join(_frame(text, width, index) for index, (text, width) in enumerate(frames))
    page.write_text(f"<!DOCTYPE html><title>t</title>{copies}", encoding="utf-8")
    document = browse(browser, page, "--dump-dom").stdout
    found = {int(index): (int(width), int(over)) for index, width, over in re.findall(r'data-seen="(\d+) (\d+) (-?\d+)"', document)}
    return [found[index] for index in range(len(frames))]


def _frame(text: str, width: int, index: int) -> str:
    """A copy of the page that tells its frame how wide it is; the page's own policy would not let the probe run, so the copy has none."""
    probe = (
        "<script>const seen = document.documentElement; "
        f"frameElement.dataset.seen = `{index} ${{innerWidth}} ${{seen.scrollWidth - seen.clientWidth}}`;</script></body>"
    )
    copy = text.replace('http-equiv="Content-Security-Policy"', "data-policy").replace("</body>", probe)
    return f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(copy)}"></iframe>'
