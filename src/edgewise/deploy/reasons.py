"""The one line of a third-party error that says what is wrong."""

import re

_LONGEST = 300
_NOISE = re.compile(r"^(Exception from \S+|Check '.*' failed at .*|While validating .*|Traceback .*|.{0,3})$")
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def one_line(error: BaseException) -> str:
    r"""The first line of an error's text that tells something, without the places in foreign sources.

    Example:
        >>> one_line(RuntimeError("Exception from src/core.cpp:84:\nUnable to read the model"))
        'Unable to read the model'
        >>> one_line(ValueError())
        'ValueError'
    """
    lines = [_PREFIX.sub("", line.strip()) for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not _NOISE.match(line)] or lines
    return telling[0][:_LONGEST] if telling else type(error).__name__
