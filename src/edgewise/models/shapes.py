"""Reading the input shape that a person typed."""

import math
import re

from edgewise._core.errors import UsageError

_FORM = "fixed numbers such as 1x3x224x224"
_DYNAMIC = re.compile(r"-\d+|\?|\*|[a-z_]+", re.IGNORECASE)
_MOST_VALUES = 2**30


def parse_input_shape(text: str, *, flag: str = "--input") -> tuple[int, ...]:
    """The shape in a text such as ``1x3x224x224``: batch, channels, then positions.

    Args:
        text: What was typed.
        flag: Name of the argument, for the error.

    Returns:
        At least two numbers, all positive, the first of them 1.

    Raises:
        UsageError: Not such numbers, a dynamic size, a batch other than 1, or more than 2^30 values.

    Example:
        >>> parse_input_shape("1x3x32x32")
        (1, 3, 32, 32)
    """
    parts = [part.strip() for part in text.strip().lower().split("x")]
    if len(parts) < 2:
        raise UsageError(f"{flag} must be {_FORM}, got {text!r}")
    shape = tuple(_size(part, text, flag=flag) for part in parts)
    if shape[0] != 1:
        raise UsageError(f"{flag} must begin with a batch of 1, got {text!r}; the batch to measure with is --batch {shape[0]}")
    if math.prod(shape) > _MOST_VALUES:
        raise UsageError(f"{flag} must hold at most 2^30 values, got {text!r} with {math.prod(shape)}")
    return shape


def format_input_shape(shape: tuple[int, ...]) -> str:
    """The shape as it would be typed.

    Example:
        >>> format_input_shape((1, 3, 32, 32))
        '1x3x32x32'
    """
    return "x".join(str(size) for size in shape)


def _size(part: str, text: str, *, flag: str) -> int:
    if _DYNAMIC.fullmatch(part):
        raise UsageError(f"{flag} must be {_FORM}; dynamic sizes cannot be priced, got {text!r} with {part!r}")
    # isascii keeps out other scripts' digits, which int() would take.
    if not (part.isascii() and part.isdigit()) or len(part) > 9 or int(part) < 1:
        raise UsageError(f"{flag} must be {_FORM}, every number at least 1, got {text!r} with {part!r}")
    return int(part)
