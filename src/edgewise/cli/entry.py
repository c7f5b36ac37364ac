"""The way in and out: exit status, and one line on standard error for whatever went wrong.

=======  ====================================================================
status   meaning
=======  ====================================================================
0        done (a latency target that was missed is reported, not an error)
1        a bug in edgewise; ``EDGEWISE_DEBUG=1`` shows where
2        bad input: the line says what is wrong and what would be right
130      interrupted
141      whoever read the output went away
=======  ====================================================================
"""

import errno
import os
import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from edgewise._core.errors import EdgewiseError
from edgewise.cli.app import app

DONE, BUG, BAD_INPUT, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141

# typer publishes this class only as an ancestor of BadParameter.
_ArgumentError = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: What stands behind ``edgewise``; none for those of this process.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = get_command(app).main(args=words, prog_name="edgewise", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _fail(error, words)
    if status == INTERRUPTED:
        return _fail(KeyboardInterrupt(), words)
    return status if isinstance(status, int) else DONE


def _fail(error: BaseException, words: Sequence[str]) -> int:
    """Says on one line what went wrong, and returns the status for it."""
    if isinstance(error, SystemExit | BrokenPipeError):
        # typer turns a broken pipe into an exit of its own.
        return _leave_quietly()
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        _say(f"interrupted; {how_to_go_on(words)}")
        return INTERRUPTED
    if isinstance(error, _ArgumentError):
        _say(_usage_message(error, words))
        return BAD_INPUT
    if isinstance(error, EdgewiseError):
        _say(_message(error))
        return BAD_INPUT
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        _say(f"no room left on the disk to write {error.filename or 'a file'}; free some space, then run again")
        return BAD_INPUT
    if os.environ.get("EDGEWISE_DEBUG"):
        raise error
    _say(f"{type(error).__name__}: {_message(error)} (this is a bug in edgewise; EDGEWISE_DEBUG=1 shows where)")
    return BUG


def how_to_go_on(words: Sequence[str]) -> str:
    """What a person can do after an interrupt, given the words of the command.

    Example:
        >>> how_to_go_on(["fit", "resnet56", "--out", "runs/a"])
        'run the same command with --resume to go on'
    """
    if "--resume" in words:
        return "run the same command again to go on"
    # What has no run folder has nothing to go on with; the demo and a study always have one.
    if words[:1] in (["demo"], ["explore"]) or (words[:1] in (["fit"], ["search"], ["sparsify"]) and "--out" in words):
        return "run the same command with --resume to go on"
    return "run the same command again: what was measured is kept"


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _usage_message(error: BaseException, words: Sequence[str]) -> str:
    # The class has `format_message`, but typer does not publish its type.
    text = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
    command = next((word for word in words[:1] if word in _command_names()), None)
    where = f"edgewise {command} --help" if command else "edgewise --help"
    return f"{text[:1].lower()}{text[1:]}{'' if text.endswith('?') else ';'} see `{where}`"


def _command_names() -> frozenset[str]:
    return frozenset(info.name or getattr(info.callback, "__name__", "") for info in app.registered_commands)


def _say(text: str) -> None:
    """One line on standard error, whatever line breaks the text has."""
    sys.stderr.write(f"edgewise: {' '.join(text.split())}\n")
    sys.stderr.flush()


def _leave_quietly() -> int:
    # Python flushes standard output once more at exit, which must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE
