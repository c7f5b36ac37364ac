"""The demo: once for real, and its folder in every state."""

import json
from pathlib import Path

import pytest

from edgewise._core.errors import UsageError
from edgewise.cli.entry import main
from edgewise.measure.sampling import Schedule
from edgewise.recipes import demo
from edgewise.recipes.demo import WEIGHTS_FILE, run_demo
from edgewise.recipes.requests import DemoRequest
from edgewise.recipes.runs import append_log, load_run
from recipes.known_device import KnownDevice


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """As little training as there can be: these tests ask what becomes of the folder."""
    size = demo._Size(epochs=0.2, tune_epochs=0, calibrate=False)
    monkeypatch.setattr(demo, "_SIZES", {"full": size, "smoke": size})


def test_a_small_demo_on_a_real_runtime(tmp_path: Path, brief_timing, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("edgewise.measure.pricing.PROBE_SCHEDULE", Schedule(warmup=1, repeats=2, min_seconds=0.0, max_seconds=0.01))
    run = tmp_path / "demo"
    status = main(["demo", "--smoke", "--out", str(run), "--db", str(tmp_path / "db.sqlite"), "--json", str(tmp_path / "demo.json")])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    last = shown.out.splitlines()[-1]
    assert "digits-cnn takes" in last and "before" in last and last.endswith(f"open {run / 'report.html'}")
    value = json.loads((tmp_path / "demo.json").read_text())
    assert value["profile"]["probes"] > 0 and value["result"]["min_s"] > 0
    assert value["result"]["accuracy"] is not None and value["baseline"]["accuracy"] is not None
    assert value["objective"] == "loss" and value["widths"] != value["widths_before"]
    assert load_run(run).loaded.trained
    assert (run / "report.html").stat().st_size > 10_000


def test_a_demo_takes_the_place_of_the_one_before(tmp_path: Path, known_device: KnownDevice, short):
    for seed in (0, 1):
        run_demo(DemoRequest(out=tmp_path / "demo", seed=seed))
    result = load_run(tmp_path / "demo").result
    assert result["settings"]["seed"] == 1
    events = [json.loads(line) for line in (tmp_path / "demo" / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["demo", "profiled", "solved"]


def test_an_unfinished_demo_is_replaced_or_resumed(tmp_path: Path, known_device: KnownDevice, short):
    folder = tmp_path / "demo"
    run_demo(DemoRequest(out=folder))
    weights = (folder / WEIGHTS_FILE).read_bytes()
    (folder / "spec.json").unlink()
    run_demo(DemoRequest(out=folder, resume=True))
    assert (folder / WEIGHTS_FILE).read_bytes() == weights and load_run(folder).result["met"]
    (folder / "spec.json").unlink()
    run_demo(DemoRequest(out=folder))
    assert load_run(folder).result["met"]


def test_what_is_no_demo_is_left_alone(tmp_path: Path, known_device: KnownDevice, short):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"must be empty or new, got notes\.txt"):
        run_demo(DemoRequest(out=tmp_path))
    other = tmp_path / "run"
    other.mkdir()
    append_log(other, {"event": "profiled"})
    with pytest.raises(UsageError, match="holds an unfinished run"):
        run_demo(DemoRequest(out=other))
    assert (tmp_path / "notes.txt").read_text() == "mine"
