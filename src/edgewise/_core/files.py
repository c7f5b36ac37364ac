"""Files that are whole or absent: written beside their name, then renamed onto it."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewise._core.errors import StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, syncs it and renames it onto ``path``.

    Whoever reads ``path`` sees the old content or the new, never a part: a killed process
    or a full disk leaves the old file in place and no temporary file of a finished call.

    Args:
        path: The file to make or replace; its folder is made where it is missing.
        write: Receives the temporary path (same suffix) and writes the content there.

    Raises:
        StorageError: The disk is full, or the folder is not writable.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8 to ``path``, whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path``, whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Writes ``value`` as indented JSON to ``path``, whole or not at all; refuses NaN."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file's content, as 64 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def storage_error(path: Path, error: OSError) -> StorageError:
    """The teaching form of an operating system error met while writing ``path``."""
    if error.errno in _NO_ROOM:
        return StorageError(error.errno, f"no room left on the disk to write {path}; free some space, then run again with --resume")
    return StorageError(error.errno or 0, f"cannot write {path}: {error.strerror or error}")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
