"""What the documentation says can be done, can be done."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

import edgewise
from edgewise.cli.app import app
from meta.documents import DOCUMENTS, REPOSITORY, blocks, commands, links

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
MOST_EXAMPLE_LINES = 100


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _group() -> typer.core.TyperGroup:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return group


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__document__"}
    for block in blocks(path):
        if block.language == "python":
            # Blank lines before it keep the line numbers of the document in a traceback.
            exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), names)
    assert "__name__" in names


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_are_understood(path: Path) -> None:
    group = _group()
    for block in blocks(path):
        for words in commands(block):
            if words[0] == "edgewise" and len(words) > 1 and not words[1].startswith("-"):
                command = group.commands[words[1]]
                # Reads the arguments without running the command; raises on what is not known.
                assert command.make_context(words[1], words[2:]).params is not None
            elif words[0] == "make":
                assert re.search(rf"^{re.escape(words[1])}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE), words


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


def test_every_command_is_documented() -> None:
    text = (REPOSITORY / "docs" / "command-line.md").read_text()
    assert [name for name in _group().commands if f"## {name}\n" not in text] == []


def test_every_flag_is_documented() -> None:
    text = (REPOSITORY / "docs" / "command-line.md").read_text()
    flags = {
        flag for command in _group().commands.values() for parameter in command.params for flag in parameter.opts if flag.startswith("--")
    }
    assert sorted(flag for flag in flags if f"`{flag}" not in text) == []


def test_readme_begins_with_the_two_commands() -> None:
    first = next(block for block in blocks(REPOSITORY / "README.md") if block.language == "console")
    assert commands(first) == [["make", "demo"], ["make", "test"]]


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text()
    extraction = next(line for line in script.splitlines() if line.startswith("mapfile"))
    program = f'{extraction}\nprintf "%s\\n" "${{commands[@]}}"'
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert [line.split("#")[0].split() for line in done.stdout.splitlines()] == [["make", "demo"], ["make", "test"]]


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{edgewise.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_examples_run_and_print_something(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text().splitlines()) < MOST_EXAMPLE_LINES
    environment = os.environ | {"EDGEWISE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(path), "--smoke"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
