"""Run folders as bytes: how a network gets to another machine and back."""

from collections.abc import Mapping
from pathlib import Path

from edgewise._core.errors import RunError
from edgewise._core.files import storage_error, write_bytes
from edgewise.recipes.runs import MODEL_FILE, RESULT_FILE, SPEC_FILE

LARGEST_BYTES = {MODEL_FILE: 1 << 32, RESULT_FILE: 1 << 26, SPEC_FILE: 1 << 26}
"""Files that travel, in the order in which they are written (a folder without its spec is unfinished), and their largest sizes."""

Files = Mapping[str, bytes]
"""Content of a run folder's files by name; the names are those of :data:`LARGEST_BYTES`, all of them and no others."""


def pack(folder: Path) -> dict[str, bytes]:
    """The files of a finished run folder.

    Raises:
        RunError: The folder is not finished, or a file is too large.
        StorageError: A file cannot be read.
    """
    files = {}
    for name, largest in LARGEST_BYTES.items():
        path = folder / name
        if not path.is_file():
            raise RunError(f"the run in {folder} is unfinished (it has no {name}), so it cannot be sent to another machine")
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise storage_error(path, error) from error
        _check_size(name, len(files[name]), largest)
    return files


def unpack(files: object, folder: Path) -> None:
    """Writes files that came from another machine into a folder, which is made. Nothing of them is believed.

    Args:
        files: What :func:`pack` gave there.
        folder: Where they go; a finished run in it is replaced.

    Raises:
        RunError: A name is missing or not one of those that travel, or a content is not bytes or is too large.
        StorageError: The disk is full or not writable.
    """
    if not isinstance(files, dict) or set(files) != set(LARGEST_BYTES):
        got = sorted(map(repr, files))[:5] if isinstance(files, dict) else type(files).__name__
        raise RunError(f"a run from another machine must hold exactly {', '.join(LARGEST_BYTES)}, got {got}")
    for name, largest in LARGEST_BYTES.items():
        if not isinstance(files[name], bytes):
            raise RunError(f"{name} of a run from another machine must be bytes, got {type(files[name]).__name__}")
        _check_size(name, len(files[name]), largest)
    try:
        (folder / SPEC_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    for name in LARGEST_BYTES:
        write_bytes(folder / name, files[name])


def _check_size(name: str, size: int, largest: int) -> None:
    if size > largest:
        raise RunError(f"{name} must have at most {largest} bytes to travel to another machine, got {size}")
