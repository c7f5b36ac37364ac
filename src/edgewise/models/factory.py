"""Networks that a function in a user's own file makes."""

import contextlib
import hashlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from torch import nn

from edgewise._core.errors import RunError, SpecError, UnknownNameError, UsageError, unknown_name


def hash_file(path: Path) -> str:
    """SHA-256 of a factory file, as 64 hexadecimal digits.

    Raises:
        UsageError: There is no such file, or it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def build_from_file(path: Path, factory: str, *, sha256: str) -> nn.Module:
    """The network that ``factory()`` in a Python file returns. Runs that file.

    Args:
        path: The user's file.
        factory: Name of a function in it that takes no arguments.
        sha256: The hash that the file must have: what was recorded is what runs.

    Returns:
        What the function returned.

    Raises:
        RunError: The file is gone or no longer the one recorded.
        UnknownNameError: The file defines no such function.
        SpecError: The file or the function raised an error, or did not return an ``nn.Module``.
    """
    if not path.is_file():
        raise RunError(f"the model's file {path} is gone; put it back where it was")
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(f"{path} has changed since its hash was recorded; restore that version, or fit the new one into a new run folder")
    with _beside(path.parent):
        module = _executed(path, content, name=f"edgewise_factory_{sha256[:16]}")
        make = getattr(module, factory, None)
        if not callable(make):
            own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise _no_such_factory(path, factory, own)
        try:
            model = make()
        except (Exception, SystemExit) as error:
            raise _user_error(path, error) from error
    if not isinstance(model, nn.Module):
        raise SpecError(f"{factory}() of {path} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no file {path}; FILE.py:FACTORY needs a Python file that exists") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def _executed(path: Path, content: bytes, *, name: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and type hints look their module up by name while the file runs.
    sys.modules[name] = module
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _user_error(path, error) from error
    return module


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Lets the file import its neighbours, as a script may."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _no_such_factory(path: Path, factory: str, own: list[str]) -> UnknownNameError:
    if not own:
        return UnknownNameError(f"{path} defines no function {factory!r}, nor any other")
    return unknown_name(f"function of {path}", factory, own)


def _user_error(path: Path, error: BaseException) -> SpecError:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return SpecError(f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"{path}:{lines[-1]}" if lines else str(path)
    said = " ".join(str(error).split())
    return SpecError(f"{place}: {type(error).__name__}: {said}" if said else f"{place}: {type(error).__name__}")
