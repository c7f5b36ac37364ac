"""The study folder: what a study writes down, so that a killed one goes on where it was."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgewise._core.errors import RunError, UsageError
from edgewise._core.files import storage_error, write_json
from edgewise._core.version import VERSION
from edgewise.recipes.explore.point import Point
from edgewise.recipes.unfinished import check_same

FORMAT = 1
"""Version of the layout of study folders that this edgewise reads and writes."""
STUDY_FILE = "study.json"
PLAN_FILE = "plan.json"
EVENTS_FILE = "trials.jsonl"
JOURNAL_FILE = "optuna.journal"
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
_LOCK_FILE = ".lock"
_GIVEN, _TRIALS, _SCRATCH = "given", "trials", "scratch"


class StudyFolder:
    """A study's files.

    ``trials.jsonl`` is the truth: one line for every event (a network proposed, a rung trained, a network measured, a
    trial done), appended and synced before anything relies on it. Everything else can be made anew from it and the run folders.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        appended: Events added by this process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.appended = 0

    @property
    def given(self) -> Path:
        """Run folder of the given network."""
        return self.path / _GIVEN

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.path / JOURNAL_FILE

    def trial(self, number: int, point: Point) -> Path:
        """Run folder of a trial that is done."""
        return self.path / _TRIALS / f"{number:04d}-{point.key}"

    def scratch(self, number: int, point: Point) -> Path:
        """Where a trial is worked on until it is done."""
        return self.path / _SCRATCH / f"{number:04d}-{point.key}"

    def check_new(self, *, resume: bool) -> None:
        """Refuses a folder that holds something else; nothing is written.

        Raises:
            UsageError: It holds a study and ``resume`` is not asked for, other files, or no study to go on with.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out must be a folder for the study, got the file {self.path}")
        names = sorted(one.name for one in self.path.iterdir() if one.name != _LOCK_FILE) if self.path.is_dir() else []
        if STUDY_FILE in names and not resume:
            raise UsageError(f"--out {self.path} already holds a study; add --resume to go on with it, or choose another folder")
        if names and STUDY_FILE not in names:
            raise UsageError(f"--out {self.path} must be empty, new or a study, got {', '.join(names[:3])} in it")

    @property
    def begun(self) -> bool:
        """Whether a study was begun in it."""
        return (self.path / STUDY_FILE).is_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from working on the study; the kernel lets go when this one ends in any way.

        Raises:
            UsageError: Another process is at work on it.
            StorageError: The folder cannot be made.
        """
        lock = self.path / _LOCK_FILE
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(lock, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise UsageError(f"another process is exploring in {self.path}; wait for it, or choose another --out") from None
        try:
            yield
        finally:
            os.close(handle)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Writes down what the study is.

        Raises:
            StorageError: The disk is full or not writable.
        """
        write_json(self.path / STUDY_FILE, {"format": FORMAT, "version": VERSION, "settings": dict(settings)})

    def abandon(self) -> None:
        """Takes back a study that never came to a plan; the folder goes where nothing else is in it."""
        (self.path / STUDY_FILE).unlink(missing_ok=True)
        if all(one.name == _LOCK_FILE for one in self.path.iterdir()):
            shutil.rmtree(self.path)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuses to go on with another study.

        Raises:
            RunError: It is of another format or version, damaged, or was begun with other settings; the text says which.
        """
        value = _read(self.path / STUDY_FILE)
        if value.get("format") != FORMAT:
            raise RunError(
                f"{self.path} is a study of format {value.get('format')!r}, edgewise {VERSION} reads format {FORMAT}; "
                "finish it with the version that began it, or choose another --out"
            )
        if value.get("version") != VERSION:
            raise RunError(
                f"the study in {self.path} was begun by edgewise {value.get('version')}, this is {VERSION}, which may train "
                "to other accuracies; finish it with that version, or choose another --out"
            )
        if not isinstance(value.get("settings"), Mapping):
            raise RunError(f"{self.path / STUDY_FILE} is damaged: it holds no settings; delete the folder and start again")
        check_same(self.path, value["settings"], settings)

    def keep_plan(self, plan: Mapping[str, Any]) -> None:
        """Writes the plan, whole or not at all."""
        write_json(self.path / PLAN_FILE, dict(plan))

    def kept_plan(self) -> dict[str, Any] | None:
        """The plan of a study that came so far, or none.

        Raises:
            RunError: It is damaged.
        """
        path = self.path / PLAN_FILE
        return _read(path) if path.exists() else None

    def append(self, event: Mapping[str, Any]) -> None:
        """Adds an event, on the disk before this returns.

        Raises:
            StorageError: The disk is full or not writable.
        """
        path = self.path / EVENTS_FILE
        try:
            with path.open("ab") as events:
                events.write(json.dumps(dict(event), allow_nan=False).encode() + b"\n")
                events.flush()
                os.fsync(events.fileno())
            self.appended += 1
        except OSError as error:
            raise storage_error(path, error) from error

    def events(self) -> list[dict[str, Any]]:
        """All events so far. A last line that was torn by a kill is taken off the file.

        Raises:
            RunError: A line before the last is damaged.
        """
        path = self.path / EVENTS_FILE
        if not path.exists():
            return []
        content = path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            with path.open("r+b") as events:
                events.truncate(len(content) - len(torn))
        found = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                event = json.loads(line)
                assert isinstance(event, dict) and isinstance(event["event"], str)
            except (ValueError, KeyError, AssertionError):
                raise RunError(f"{path} is damaged in line {number}; restore it, or start again in another folder") from None
            found.append(event)
        return found

    def keep_result(self, value: Mapping[str, Any]) -> None:
        """Writes the result, whole or not at all."""
        write_json(self.path / RESULT_FILE, dict(value))

    def kept_result(self) -> dict[str, Any] | None:
        """The result of a finished study, or none."""
        path = self.path / RESULT_FILE
        return _read(path) if path.exists() else None

    def clear(self, number: int, point: Point) -> None:
        """Removes what a finished trial needs no longer."""
        shutil.rmtree(self.scratch(number, point), ignore_errors=True)

    def clear_all(self) -> None:
        """Removes all that finished trials need no longer, and what a kill left of it."""
        shutil.rmtree(self.path / _SCRATCH, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); delete the folder and start again") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: must hold a JSON object, got {type(value).__name__}; delete the folder and start again")
    return value
