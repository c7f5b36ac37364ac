"""The page of a study: whole without scripts, closed, escaped, bounded."""

import re

import pytest

from edgewise._core.errors import RunError
from edgewise.report.explore import MOST_PANELS, render_explore
from report.pages import HOSTILE, checked
from report.studies import study, trial


@pytest.fixture
def value():
    return study(n_trials=24, energy=True)


def shown(page: str) -> list[str]:
    """Numbers of the points whose panel is not hidden."""
    return [number for number, rest in re.findall(r'<article class="choice"[^>]*data-number="(\d+)"([^>]*)>', page) if "hidden" not in rest]


def poisoned(value):
    """The value with what breaks out of tags, attributes and scripts appended to every text and name."""
    if isinstance(value, dict):
        return {key: poisoned(part) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part) for part in value]
    return value + "</script>" + HOSTILE if isinstance(value, str) and value not in _WORDS else value


_WORDS = {"complete", "stopped", "failed", "measured", "predicted", "simulated", "quoted"}


def test_every_part_is_there_without_a_script(value):
    page = render_explore(value)
    found = checked(page)
    assert {"decision", "front", "points", "methods", "budget", "settings", "provenance"} <= set(found.identifiers)
    recommended = next(one for one in value["trials"] if one["key"] == value["recommended"]["key"])
    assert shown(page) == [str(recommended["number"])]
    assert f"edgewise export runs/explore-resnet20/{recommended['run']} --format " in page
    assert page.count("<tr data-key=") == 24


def test_marks_say_method_and_kind_in_more_than_colour(value):
    page = render_explore(value)
    marks = re.findall(r'<g transform="[^"]*" class="mark (m-[\w-]+) (k-\w+)[^"]*" aria-label="Point (\d+): ([\w+]+)', page)
    assert {kind for _, kind, *_ in marks} == {"k-measured", "k-predicted", "k-simulated", "k-quoted"}
    assert {method for *_, method in marks} == {"given", "widths", "dynamic", "widths+dynamic", "searched", "searched+dynamic"}
    drawn = [one for one in value["trials"] if one["accuracy_validation"] is not None]
    assert len(marks) == 2 * len(drawn)


def test_points_far_below_do_not_squeeze_the_front():
    value = study()
    page = render_explore(value)
    heights = {
        number: float(y) for y, number in re.findall(r'translate\([\d.]+ ([\d.]+)\)" class="mark[^>]*aria-label="Point (\d+):', page)
    }
    front = [heights[str(one["number"])] for one in value["trials"] if one["key"] in value["front"]]
    assert max(front) - min(front) > 0.4 * 330
    assert heights["49"] == heights["51"] > max(front)


def test_texts_from_files_never_become_tags(value):
    page = render_explore(poisoned(value))
    checked(page)
    assert page.count("</script>") == 1
    assert "<img" not in page


def test_the_shell_and_python_see_one_word(value):
    value["recommended"] = {"key": value["trials"][0]["key"], "why": ""}
    value["trials"][0]["run"] = "trials/0001 x'; rm -rf ~"
    page = render_explore({**value, "trials": value["trials"][:1], "front": []})
    assert "edgewise bench &#39;runs/explore-resnet20/trials/0001 x&#39;&#34;&#39;&#34;&#39;; rm -rf ~&#39;" in page
    assert "load_model(&#34;runs/explore-resnet20/trials/0001 x&#39;; rm -rf ~&#34;)" in page


def test_a_policy_names_the_one_script(value):
    assert re.search(r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[A-Za-z0-9+/]{43}='", render_explore(value))


@pytest.mark.parametrize(
    ("missing", "section"),
    [("contributions", "methods"), ("training_s", "budget"), ("settings", "settings"), ("provenance", "provenance"), ("trials", "points")],
)
def test_what_is_missing_is_not_shown(missing, section):
    value = {**study(n_trials=12), **({"front": [], "recommended": None} if missing == "trials" else {}), missing: None}
    assert section not in checked(render_explore(value)).identifiers


def test_every_single_part_alone_is_a_page():
    value = study(n_trials=12)
    for key in value.keys() - {"front", "recommended"}:
        checked(render_explore({key: value[key]}))
    assert "Nothing was tried" in render_explore({})


def test_a_study_whose_trials_all_failed_says_so():
    page = render_explore({"trials": [trial(1, "widths", None, None, state="failed", why="out of memory", run=None)]})
    checked(page)
    assert "No point was trained to the end" in page
    assert "failed: out of memory" in page


def test_one_point_alone_is_drawn():
    one = trial(1, "alchemy", 0.5, 0.9)
    page = render_explore({"trials": [one], "front": [one["key"]]})
    checked(page)
    assert "m-other k-measured on-front" in page
    assert shown(page) == ["1"]


def test_a_simulated_chip_is_priced_again_by_its_command():
    one = trial(1, "widths", 0.5, 0.9, kind="simulated", runtime="")
    page = render_explore({"device": "isaac", "trials": [one], "front": [one["key"]]})
    assert f"edgewise crossbar {one['run']} --chip isaac" in page
    assert "edgewise bench" not in page


def test_hundreds_of_points_stay_below_two_megabytes():
    page = render_explore(study(n_trials=330))
    assert page.count('<article class="choice"') == MOST_PANELS
    assert page.count("<tr data-key=") == 330
    assert len(page.encode()) < 2_000_000


def test_damage_is_one_clear_error(value):
    with pytest.raises(RunError, match=r"`baseline.macs`"):
        render_explore({**value, "baseline": {"macs": "many"}})
