"""``edgewise report``: runs described in one self-contained HTML file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise._core.errors import RunError
from edgewise._core.files import write_text
from edgewise.recipes.requests import ReportRequest
from edgewise.recipes.runs import REPORT_FILE, RESULT_FILE, load_run
from edgewise.report import from_json, render_comparison, render_run
from edgewise.report.crossbar import as_run, is_crossbar, render_crossbar
from edgewise.report.explore import render_explore
from edgewise.report.search import render_search
from edgewise.report.sparsify import render_sparsify

_STUDY_FILE = "study.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportResult:
    """The file that ``report`` wrote.

    Attributes:
        file: Where it lies.
        n_bytes: Its size.
        runs: What it describes.
    """

    file: Path
    n_bytes: int
    runs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"file": str(self.file), "bytes": self.n_bytes, "runs": list(self.runs)}


def run_report(request: ReportRequest) -> ReportResult:
    """Describes one run, or several beside each other.

    Args:
        request: Run folders, study folders, or files that ``--json`` wrote, and where the page goes.

    Returns:
        The file written.

    Raises:
        RunError: A run is missing, unfinished or damaged.
        StorageError: The page cannot be written.
    """
    values = [_read(path) for path in request.runs]
    alone = values[0][0] if len(values) == 1 else {}
    if "architecture" in alone:
        page = render_search(alone)
    elif alone.get("command") == "sparsify":
        page = render_sparsify(alone)
    elif alone.get("command") == "explore":
        page = render_explore(alone)
    elif is_crossbar(alone):
        page = render_crossbar(alone)
    else:
        reports = [from_json(as_run(value) if is_crossbar(value) else value, name=name) for value, name in values]
        page = render_run(reports[0]) if len(reports) == 1 else render_comparison(reports)
    file = request.out or _beside(request.runs[0])
    write_text(file, page)
    return ReportResult(file=file, n_bytes=file.stat().st_size, runs=tuple(str(path) for path in request.runs))


def _beside(run: Path) -> Path:
    """The run's own report; a file of JSON has its page next to it."""
    return run / REPORT_FILE if run.is_dir() else run.with_suffix(".html")


def _read_study(folder: Path) -> dict[str, Any]:
    """The result over all runs of a study of ``explore``, with its folder, by which commands name the runs."""
    if not (folder / RESULT_FILE).is_file():
        raise RunError(f"the study in {folder} has no result yet; go on with it: edgewise explore ... --out {folder} --resume")
    return {**_read(folder / RESULT_FILE)[0], "run": str(folder)}


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """What a run wrote, and its name."""
    if (path / _STUDY_FILE).is_file():
        return _read_study(path), path.name
    if path.suffix != ".json":
        return load_run(path).result, path.name
    try:
        value: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"no such file: {path}; give a run folder, or a file that --json wrote") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not JSON: {' '.join(str(error).split())}; give a file that --json wrote") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object, got {type(value).__name__}; give a file that --json wrote")
    return value, path.stem
