"""The page of a study in a real browser: its slider, its target, its chart by pointer and by keyboard, its table."""

import re

import pytest

from edgewise._core.units import parse_latency
from edgewise.report.explore import render_explore
from edgewise.report.explore_data import study_from_json
from report.browsing import DARK, browse, exercised, measured
from report.pages import HOSTILE
from report.studies import study

TARGETS = ("0.7x", "0.45x", "1.5ms", "1.9 MS", "1500us", "0.1x", "half", "")

_TOOLS = """
const one = (selector) => document.querySelector(selector);
const all = (selector) => Array.from(document.querySelectorAll(selector));
const chosen = () => Number(one('.choice:not([hidden])').dataset.number);
const said = () => one('#target-said').textContent;
const set = (selector, value) => { one(selector).value = value; one(selector).dispatchEvent(new Event('input', { bubbles: true })); };
const press = (node, key) => node.dispatchEvent(new KeyboardEvent('keydown', { key: key, bubbles: true, cancelable: true }));
const tip = () => one('#tooltip').hidden ? null : one('#tooltip').textContent;
const marks = all('.wide-only .front-chart .mark');
const mark = (number) => marks.find((node) => node.getAttribute('aria-label').startsWith('Point ' + number + ':'));
const column = (place) => all('.points tbody tr').map((row) => row.cells[place].textContent);
"""

_START = """
seen.fetched = performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => !name.startsWith('data:'));
seen.start = [chosen(), all('.mark.chosen').length, all('.points tr.chosen').length];
"""

_TARGET = f"""
set('#target-slider', 80);
seen.slider = [chosen(), one('#target-text').value, one('#target-slider').getAttribute('aria-valuetext')];
seen.line = one('.wide-only .target').classList.contains('set');
seen.typed = {list(TARGETS)}.map((text) => {{ set('#target-text', text); return [chosen(), said()]; }});
set('#target-text', '0.9x');
seen.slid = one('#target-slider').value;
"""

_CHART = """
const front = marks.filter((node) => node.classList.contains('on-front'));
const first = front[0], last = front[front.length - 1], faint = mark(49);
seen.front = [first, last].map((node) => Number(/\\d+/.exec(node.getAttribute('aria-label'))[0]));
first.querySelector('.shape').dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
seen.hover = tip();
document.body.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
seen.gone = tip();
last.focus();
seen.focus = tip();
press(last, 'Escape');
seen.escaped = tip();
faint.dispatchEvent(new MouseEvent('click', { bubbles: true }));
seen.click = [chosen(), said(), faint.getAttribute('aria-pressed')];
first.focus();
press(first, 'Enter');
seen.enter = chosen();
press(first, 'ArrowRight');
seen.walked = document.activeElement !== first && document.activeElement.matches('.mark');
press(document.activeElement, 'ArrowLeft');
seen.back = document.activeElement === first;
seen.stops = marks.filter((node) => node.tabIndex === 0).length;
const drawn = () => marks.filter((node) => node.matches('.m-dynamic') && getComputedStyle(node).display !== 'none').length;
const toggle = one('[data-method=m-dynamic] button');
seen.drawn = [drawn()];
toggle.click();
seen.drawn.push(drawn(), toggle.getAttribute('aria-pressed'));
"""

_TABLE = """
const heads = all('.points thead th');
const sort = (place) => { heads[place].querySelector('button').click(); return heads[place].getAttribute('aria-sort'); };
seen.up = [sort(4), column(4)];
seen.down = [sort(4), column(4)];
seen.methods = [sort(1), column(1), heads[4].getAttribute('aria-sort')];
seen.numbers = [sort(0), column(0)];
set('.filter', 'failed');
seen.filtered = all('.points tbody tr').filter((row) => !row.hidden).length;
set('.filter', '');
all('.points tbody tr')[4].cells[0].querySelector('button').click();
seen.row = chosen();
const written = [];
Object.defineProperty(navigator, 'clipboard', { value: { writeText: (text) => { written.push(text); return Promise.resolve(); } } });
all('.choice:not([hidden]) .copy').forEach((copy) => copy.click());
seen.written = written;
"""


@pytest.fixture(scope="module")
def value():
    return study()


@pytest.fixture(scope="module")
def page(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("explore") / "explore.html"
    path.write_text(render_explore(value), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def seen(browser, page):
    """What one visit saw that used all of the page."""
    return exercised(browser, page, _TOOLS + _START + _TARGET + _CHART + _TABLE, "--window-size=1200,2400")


def best(value, target):
    """The point that the same target gets in Python."""
    return study_from_json(value).best(parse_latency(target)).number


def test_it_asks_for_nothing_and_starts_with_the_recommendation(seen, value):
    first = next(one["number"] for one in value["trials"] if one["key"] == value["recommended"]["key"])
    assert seen["fetched"] == []
    assert seen["start"] == [first, 2, 1]


def test_the_slider_and_a_typed_target_recommend_what_python_does(seen, value):
    assert seen["slider"] == [best(value, "0.8x"), "0.80x", "0.80x (1.85 ms)"]
    assert seen["line"] is True
    assert [number for number, _ in seen["typed"][:5]] == [best(value, text.replace(" ", "").lower()) for text in TARGETS[:5]]
    assert seen["slid"] == "90"


def test_a_target_out_of_reach_and_one_that_is_none_say_so(seen, value):
    fastest = min((one for one in value["trials"] if one["key"] in value["front"]), key=lambda one: one["ratio"])["number"]
    assert seen["typed"][5][0] == fastest
    assert "no point of the front is that fast" in seen["typed"][5][1]
    assert "needs a positive number and a unit" in seen["typed"][6][1]
    assert seen["typed"][7][1] == ""


def test_marks_answer_to_pointer_and_keyboard(seen, value):
    first, last = seen["front"]
    assert seen["hover"].startswith(f"Point {first}: ")
    assert seen["hover"].endswith("\non the front")
    assert seen["gone"] is None and seen["escaped"] is None
    assert seen["focus"].startswith(f"Point {last}: ")
    assert seen["click"] == [49, "Point 49, chosen by hand.", "true"]
    assert seen["enter"] == first
    assert seen["walked"] and seen["back"]
    assert seen["stops"] == len(value["front"])


def test_methods_leave_the_chart(seen, value):
    n_dynamic = sum(one["method"] == "dynamic" and one["accuracy_validation"] is not None for one in value["trials"])
    assert seen["drawn"] == [n_dynamic, 0, "false"]


def test_the_table_sorts_filters_and_chooses(seen, value):
    known = sorted(one["accuracy_validation"] for one in value["trials"] if one["accuracy_validation"] is not None)
    unknown = ["–"] * (52 - len(known))
    assert seen["up"] == ["ascending", [f"{100 * one:.2f} %" for one in known] + unknown]
    assert seen["down"] == ["descending", [f"{100 * one:.2f} %" for one in reversed(known)] + unknown]
    assert seen["methods"] == ["ascending", sorted(one["method"] for one in value["trials"]), None]
    assert seen["numbers"] == ["ascending", [str(number) for number in range(1, 53)]]
    assert (seen["filtered"], seen["row"]) == (2, 5)


def test_commands_are_copied(seen):
    assert seen["written"][0].startswith("edgewise bench runs/explore-resnet20/trials/0005-")
    assert seen["written"][2].startswith("from edgewise.recipes.runs import load_model\nmodel = load_model('runs/")


def test_without_scripts_the_page_is_whole(browser, page):
    bare = page.with_name("bare.html")
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), encoding="utf-8")
    script = """
    const visible = (selector) => one(selector).getClientRects().length > 0;
    const parts = ['h1', 'code'].map((part) => '.choice:not([hidden]) ' + part);
    parts.push('.wide-only .front-chart .mark', '.points tbody tr', '.brought', '.time-bar');
    seen.shown = parts.map(visible);
    seen.hidden = [visible('.target-form'), all('button').length];
    """
    assert exercised(browser, bare, _TOOLS + script) == {"shown": [True] * 6, "hidden": [False, 0]}


def test_hostile_and_long_texts_stay_texts_and_in_their_place(browser, page, value):
    tail = HOSTILE + "b" * 300
    long = study(n_trials=12, energy=True)
    changes = dict.fromkeys(("why", "method", "run", "host", "runtime"), tail)
    long["trials"][1].update(changes, widths={tail: 8})
    recommended = {"key": long["trials"][1]["key"], "why": tail}
    names = {"model": tail, "device": tail, "settings": {tail: tail}, "warnings": [tail]}
    hostile = render_explore({**long, **names, "recommended": recommended})
    texts = (page.read_text(encoding="utf-8"), hostile)
    frames = [(text, width) for text in texts for width in (360, 620, 1200)]
    assert measured(browser, page.with_name("frames.html"), frames) == [(width, 0) for _, width in frames]


def test_light_and_dark(browser, page):
    image = pytest.importorskip("PIL.Image")
    corners = []
    for name, flags in (("light", ()), ("dark", (DARK,))):
        shot = page.with_name(f"{name}.png")
        browse(browser, page, "--window-size=1200,900", f"--screenshot={shot}", *flags)
        with image.open(shot) as picture:
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 100
            corners.append(sum(picture.convert("RGB").getpixel((4, 4))))
    assert corners[0] > 700 > 120 > corners[1]
