"""Where the files of an image folder lie: in a folder, or in a ``.zip`` that is read in place and not trusted."""

import hashlib
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from edgewise._core.errors import DataError

MAX_FILES = 20_000_000
"""More files than the largest public image sets have."""
MAX_FILE_BYTES = 256 * 2**20
"""Unpacked size above which a single image file is refused."""
MAX_RATIO = 200
"""Unpacked over packed size above which a file of over 1 MiB is refused; image files are packed already (about 1)."""
_RATIO_MATTERS_FROM = 2**20


@runtime_checkable
class FileSource(Protocol):
    """Files by name."""

    @property
    def path(self) -> Path:
        """The folder or archive."""
        ...

    def names(self) -> tuple[str, ...]:
        """Relative names of all files with forward slashes, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Content of a file."""
        ...

    def identity(self) -> str:
        """Hexadecimal digits that change when any file does."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSource:
    """Files below a folder."""

    path: Path

    def names(self) -> tuple[str, ...]:
        """Relative names of all files with forward slashes, sorted."""
        return tuple(sorted(each.relative_to(self.path).as_posix() for each in self.path.rglob("*") if each.is_file()))

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            DataError: It cannot be read, or is too large for an image.
        """
        file = self.path / name
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise DataError(f"{file} is too large for an image: {file.stat().st_size} bytes, at most {MAX_FILE_BYTES}")
            return file.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror or error}") from error

    def identity(self) -> str:
        """Hexadecimal digits that change when a file's name, size or time of change does."""
        stats = ((name, (self.path / name).stat()) for name in self.names())
        return _digest(f"{name}/{info.st_size}/{info.st_mtime_ns}" for name, info in stats)


class ZipSource:
    """Files of a zip archive, read in place; every entry is checked before the first is read.

    Refused are names that leave the archive (absolute, with a drive or ``..``), links, encrypted entries,
    entries given twice, and archives that unpack to far more than they hold.

    Args:
        path: The archive.

    Raises:
        DataError: Not a zip archive, damaged, or hostile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{path} cannot be read as a .zip archive ({error}); pack it again") from error
        entries = [info for info in self._archive.infolist() if not info.is_dir()]
        _check_entries(path, entries)
        self._entries = {info.filename: info for info in entries}

    def names(self) -> tuple[str, ...]:
        """Relative names of all files with forward slashes, sorted."""
        return tuple(sorted(self._entries))

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            DataError: The entry is damaged.
        """
        try:
            return self._archive.read(self._entries[name])
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise DataError(f"{name} in {self.path} is damaged ({error}); pack the archive again") from error
        except Exception as error:  # zlib.error, lzma.LZMAError: each packer has an error type of its own
            raise DataError(f"{name} in {self.path} is damaged ({error}); pack the archive again") from error

    def identity(self) -> str:
        """Hexadecimal digits that change when the archive's size, time of change or table of contents does."""
        info = self.path.stat()
        head = [f"{info.st_size}/{info.st_mtime_ns}"]
        return _digest(head + [f"{name}/{self._entries[name].file_size}/{self._entries[name].CRC}" for name in self.names()])


def open_source(path: Path) -> FolderSource | ZipSource:
    """The files of a folder or of a zip archive.

    Raises:
        DataError: It is neither.
    """
    if path.is_dir():
        return FolderSource(path=path)
    if path.is_file():
        return ZipSource(path)
    raise DataError(f"imagefolder: needs a folder or a .zip file, got {path}, which does not exist")


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_FILES:
        raise DataError(f"{path} holds {len(entries)} files, more than {MAX_FILES}")
    if sum(info.compress_size for info in entries) > path.stat().st_size:
        raise DataError(f"{path} is refused: its entries overlap, as in a zip bomb")
    seen: set[str] = set()
    for info in entries:
        fault = _fault(info) or ("given twice" if info.filename in seen else "")
        if fault:
            raise DataError(f"{path} is refused: entry {info.filename[:80]!r} is {fault}; pack plain image files only")
        seen.add(info.filename)


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with an entry, or nothing."""
    name = PurePosixPath(info.filename)
    mode = info.external_attr >> 16  # Unix keeps the file's mode in the upper half
    if name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in name.parts[0]:
        return "named outside the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link or a device"
    if info.flag_bits & 1:
        return "encrypted"
    if info.file_size > MAX_FILE_BYTES:
        return f"too large for an image ({info.file_size} bytes unpacked, at most {MAX_FILE_BYTES})"
    if info.file_size > _RATIO_MATTERS_FROM and info.file_size > MAX_RATIO * info.compress_size:
        return f"a zip bomb ({info.file_size} bytes packed into {info.compress_size})"
    return ""


def _digest(lines: Iterable[str]) -> str:
    total = hashlib.sha256()
    for line in lines:
        total.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return total.hexdigest()
