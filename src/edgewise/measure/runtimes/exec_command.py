"""Any device that a user's own command can time: ``exec:CMD``.

The command is called as ``CMD model.onnx``, without a shell, and prints the seconds of one
inference as its last line. It may use ssh, adb, trtexec or whatever reaches the device.
"""

import hashlib
import math
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor, nn

from edgewise._core.errors import DeviceError, UsageError
from edgewise._core.files import sha256_of
from edgewise.deploy.onnx_export import export_onnx
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.runtimes.base import batched, readable_file
from edgewise.measure.settings import RuntimeSettings

DEFAULT_TIMEOUT_S = 600.0


class ExecSession:
    """A model file and the command that times it."""

    def __init__(self, words: Sequence[str], model_file: Path, *, timeout_s: float, folder: Path | None = None) -> None:
        self._words = (*words, str(model_file))
        self._timeout_s = timeout_s
        self._folder = folder

    def run(self) -> None:
        """One call of the command."""
        self.time_once_s()

    def time_once_s(self) -> float:
        """The seconds that one call of the command prints.

        Raises:
            DeviceError: It fails, takes too long, or prints no positive number last.
        """
        called = self._called()
        if called.returncode != 0:
            raise DeviceError(f"{self._name} ended with status {called.returncode}: {_last_line(called.stderr) or 'no message'}")
        return self._seconds(_last_line(called.stdout), _last_line(called.stderr))

    def close(self) -> None:
        """Removes the exported file, where it was ours."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def _name(self) -> str:
        return f"the command {self._words[0]!r} of device exec"

    def _called(self) -> subprocess.CompletedProcess[str]:
        try:
            return _run(self._words, timeout_s=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{self._name} did not end within {self._timeout_s:g} s; make it faster, or see why it hangs") from error
        except OSError as error:
            raise DeviceError(f"{self._name} cannot be started: {error.strerror}; give a program that may be executed") from error

    def _seconds(self, line: str, message: str) -> float:
        try:
            seconds = float(line)
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds > 0):
            hint = f"; it also said: {message}" if message else ""
            raise DeviceError(f"{self._name} must print a positive number of seconds as its last line, got {line[:80]!r}{hint}")
        return seconds


class ExecCommand:
    """A user's command that times an ONNX file on a device of theirs.

    Args:
        settings: With the device ``exec:CMD``.
        timeout_s: Seconds after which one call is given up.
    """

    def __init__(self, settings: RuntimeSettings, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._words = _words(settings.command or "")

    @property
    def settings(self) -> RuntimeSettings:
        """Device, threads, batch and precision; threads are for the command to know."""
        return self._settings

    @property
    def version(self) -> str:
        """First digits of the SHA-256 of the files that the command names: an edited script is another device."""
        digest = hashlib.sha256()
        for word in self._words:
            file = Path(shutil.which(word) or word)
            digest.update(sha256_of(file).encode() if file.is_file() else word.encode())
        return digest.hexdigest()[:12]

    def identity(self) -> DeviceIdentity:
        """What samples of this command belong to; the device's processor is not known here."""
        return DeviceIdentity(
            device=self._settings.device,
            cpu="",
            isa="",
            runtime="exec",
            version=self.version,
            threads=self._settings.threads,
            precision=self._settings.precision,
            batch=self._settings.batch,
        )

    def load_module(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> ExecSession:
        """Exports the network to a temporary file, which the command is given."""
        folder = Path(tempfile.mkdtemp(prefix="edgewise-exec-"))
        try:
            export_onnx(model, batched(inputs, self._settings.batch), folder / "model.onnx")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ExecSession(self._words, folder / "model.onnx", timeout_s=self._timeout_s, folder=folder)

    def load_file(self, path: Path) -> ExecSession:
        """Gives the command the file itself."""
        return ExecSession(self._words, readable_file(path, ".onnx").resolve(), timeout_s=self._timeout_s)

    def load_bytes(self, content: bytes) -> ExecSession:
        """Gives the command the content of an ONNX file, in a temporary file."""
        folder = Path(tempfile.mkdtemp(prefix="edgewise-exec-"))
        (folder / "model.onnx").write_bytes(content)
        return ExecSession(self._words, folder / "model.onnx", timeout_s=self._timeout_s, folder=folder)


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"the command of device exec:CMD must have matching quotes, got {command!r}: {error}") from error
    if not words:
        raise UsageError(f"device exec:CMD needs a command behind the colon, got {command!r}")
    return words


def _run(words: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    # In a session of its own: what it starts can be ended with it, and nothing of it asks for passwords on the terminal.
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            printed, complained = process.communicate(timeout=timeout_s)
        except BaseException:  # too slow, or Ctrl-C
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(words, process.returncode, printed, complained)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
