"""Rules that hold for every file of the project."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from meta.finders import exports, long_functions, silent_verdicts, toothless_tests, unraised_errors, wide_signatures

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
BENCHMARKS = sorted((REPOSITORY / "benchmarks").rglob("*.py"))
EVERYTHING = SOURCES + TESTS + EXAMPLES + BENCHMARKS

MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 60
MOST_PARAMETERS = 6
# A command of the command line has one parameter for each of its flags, and so has its function in Python.
COMMANDS = frozenset(
    REPOSITORY / "src" / "edgewise" / "cli" / name
    for name in ("crossbar.py", "explore.py", "files.py", "fit.py", "measuring.py", "search.py", "simulated.py", "sparsify.py")
)
FUNCTIONS = frozenset(
    REPOSITORY / "src" / "edgewise" / "api" / name for name in ("adapting.py", "devices.py", "exploring.py", "networks.py", "pruning.py")
)
# Written in parts, so that this file does not contain what it forbids.
MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_.])/(wor" + r"k|far" + r"m|roo" + r"t|tmp/bas" + r"h_jobs|tmp/bi" + r"n)[./]")


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_no_verdict_is_thrown_away(path: Path) -> None:
    assert silent_verdicts(path.read_text()) == []


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_every_error_built_is_raised(path: Path) -> None:
    assert unraised_errors(path.read_text()) == []


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_FILE_LINES
    if path not in COMMANDS:
        assert long_functions(source, limit=MOST_FUNCTION_LINES) == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_signatures_stay_narrow(path: Path) -> None:
    assert path in COMMANDS | FUNCTIONS or wide_signatures(path.read_text(), limit=MOST_PARAMETERS) == []


@pytest.mark.parametrize("path", TESTS, ids=_name)
def test_every_test_can_fail(path: Path) -> None:
    assert toothless_tests(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_exported_names_exist_and_are_sorted(path: Path) -> None:
    source = path.read_text()
    names = exports(source)
    if names is None:
        return
    # Constants, then classes, then functions, each sorted: the order ruff keeps.
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    defined = {
        alias.asname or alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    defined |= {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    defined |= {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert set(names) <= defined


def test_no_file_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}
    assert [_name(path) for path in SOURCES if path.stem in vague] == []


def test_no_path_of_one_machine_stands_in_the_tree() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{_name(path)}:{number}" for number, line in enumerate(text.splitlines(), 1) if MACHINE_PATH.search(line)]
    assert found == []


def test_nothing_is_pickled() -> None:
    loaders = re.compile(
        r"^\s*(import|from) (pickle|cPickle|dill|joblib|shelve)\b|weights_only\s*=\s*False|allow_pickle\s*=\s*True", re.MULTILINE
    )
    assert [_name(path) for path in SOURCES if loaders.search(path.read_text())] == []
