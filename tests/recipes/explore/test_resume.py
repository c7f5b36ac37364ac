"""A study that is killed goes on: no finished trial is lost or repeated, and all end with the same accuracies."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise._core.errors import RunError, UsageError
from edgewise._core.files import sha256_of
from edgewise.recipes.explore.budget import Clock, Pace
from edgewise.recipes.explore.folder import EVENTS_FILE, STUDY_FILE, StudyFolder
from edgewise.recipes.explore.result import ExploreResult
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.requests import DataRequest, ModelRequest
from recipes.explore import known

REPOSITORY = Path(__file__).resolve().parents[3]


def start(model: ModelRequest, out: Path, points: Path | None, moment: str, *, resume: bool) -> None:
    """A study in a process of its own, which kills itself."""
    paths = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    assert model.weights is not None
    words = [str(model.weights.parent), str(out), str(points or ""), moment, "resume" if resume else "new"]
    command = [sys.executable, "-m", "recipes.explore.killed_study", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    return [event for event in map(json.loads, (folder / EVENTS_FILE).read_text().splitlines()) if event["event"] == kind]


def test_a_study_killed_again_and_again_ends_as_it_would_have(
    listed: ExploreResult, model: ModelRequest, points: Path, known_study: None, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    # Events: planned, then asked, rung, measured, trial of each of five networks, then judgements.
    for number, moment in enumerate(["plan", "step:4", "torn:3", "after:5"]):
        start(model, out, points, moment, resume=number > 0)
    resumed = run_explore(known.request(model, out, points=points, trials=None, resume=True))
    for whole, one in zip(listed.trials, resumed.trials, strict=True):
        assert [whole[name] for name in ("key", "state", "accuracy", "accuracy_validation")] == [
            one[name] for name in ("key", "state", "accuracy", "accuracy_validation")
        ]
        assert sha256_of(listed.run(whole) / "model.safetensors") == sha256_of(resumed.run(one) / "model.safetensors")
    for kind in ("asked", "rung", "trial"):
        assert sorted(event["number"] for event in events(out, kind)) == list(range(5)), kind
    assert {path.name for path in (out / "trials").iterdir()} == {path.name for path in (listed.folder / "trials").iterdir()}
    assert not (out / "scratch").exists()


def test_the_sampler_goes_on_where_it_was(explored: ExploreResult, model: ModelRequest, known_study: None, tmp_path: Path) -> None:
    """A study cut off after any event proposes what it would have proposed."""
    lines = (explored.folder / EVENTS_FILE).read_text().splitlines(keepends=True)
    asked = [place for place, line in enumerate(lines) if json.loads(line)["event"] == "asked"]
    for cut in (asked[-1], asked[-2] + 1):
        copy = Path(shutil.copytree(explored.folder, tmp_path / f"cut-{cut}"))
        (copy / "result.json").unlink()
        (copy / EVENTS_FILE).write_text("".join(lines[:cut]))
        again = run_explore(known.request(model, copy, resume=True))
        assert [row["key"] for row in again.trials] == [row["key"] for row in explored.trials]
        assert [row["accuracy_validation"] for row in again.trials] == [row["accuracy_validation"] for row in explored.trials]


def test_no_trial_starts_that_does_not_fit(
    model: ModelRequest, points: Path, known_study: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every trial takes 100 s of a budget of 350 s, by a clock that the trials themselves move."""
    done: list[object] = []
    append = StudyFolder.append

    def counted(self: StudyFolder, event: dict[str, object]) -> None:
        append(self, event)
        done.extend([event] if event["event"] == "trial" else [])

    monkeypatch.setattr(StudyFolder, "append", counted)
    monkeypatch.setattr(Clock, "spent_s", property(lambda _: 100.0 * len(done)))
    monkeypatch.setattr(Pace, "trial_s", lambda *_: 100.0)
    found = run_explore(known.request(model, tmp_path / "run", points=points, trials=None, budget_s=350.0))
    assert len(found.trials) == 3 and found.value["budget_s"] == 350.0
    assert any("2 of the networks planned were not tried before the end" in text for text in found.value["warnings"])
    more = run_explore(known.request(model, tmp_path / "run", points=points, trials=None, budget_s=450.0, resume=True))
    assert len(more.trials) == 4


@pytest.fixture
def copy(listed: ExploreResult, tmp_path: Path) -> Path:
    """A finished study that may be spoilt."""
    return Path(shutil.copytree(listed.folder, tmp_path / "run"))


class TestRefusals:
    def test_without_resume_a_study_is_not_touched(self, copy: Path, model: ModelRequest, points: Path) -> None:
        with pytest.raises(UsageError, match="already holds a study; add --resume to go on with it"):
            run_explore(known.request(model, copy, points=points))

    def test_other_files_are_not_touched(self, model: ModelRequest, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("")
        for resume in (False, True):
            with pytest.raises(UsageError, match=r"must be empty, new or a study, got mine\.txt in it"):
                run_explore(known.request(model, tmp_path, resume=resume))

    def test_other_settings(self, copy: Path, model: ModelRequest, points: Path, known_study: None) -> None:
        data = DataRequest(data="digits", epochs=1.0)
        with pytest.raises(RunError, match=r"other settings: data .*, points"):
            run_explore(known.request(model, copy, points=points, data=data, resume=True))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"format": 2}, "is a study of format 2, edgewise .* reads format 1"),
            ({"version": "9.9"}, "was begun by edgewise 9.9, this is"),
            ({"settings": None}, "is damaged: it holds no settings"),
        ],
    )
    def test_another_version(
        self, copy: Path, model: ModelRequest, points: Path, known_study: None, change: dict[str, object], said: str
    ) -> None:
        path = copy / STUDY_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(RunError, match=said):
            run_explore(known.request(model, copy, points=points, trials=None, resume=True))

    @pytest.mark.parametrize(("name", "said"), [("plan.json", "plan.json .*damaged"), (EVENTS_FILE, r"trials\.jsonl .*damaged in line 2")])
    def test_damaged_files_are_named(self, copy: Path, model: ModelRequest, points: Path, known_study: None, name: str, said: str) -> None:
        path = copy / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([lines[0], '{"event": "asked"}\n', *lines[2:]]) if name == EVENTS_FILE else "{")
        with pytest.raises(RunError, match=said):
            run_explore(known.request(model, copy, points=points, trials=None, resume=True))

    def test_two_processes_in_one_study(self, copy: Path, model: ModelRequest, points: Path, known_study: None) -> None:
        with StudyFolder(copy).held(), pytest.raises(UsageError, match="another process is exploring in"):
            run_explore(known.request(model, copy, points=points, trials=None, resume=True))
