"""Figures as people read them: milliseconds with three significant digits, ratios, shares."""

import math
from collections.abc import Sequence

MINUS = "−"


def ms(seconds: float | None, *, unit: bool = True) -> str:
    """A time in milliseconds with three significant digits; a dash where it is unknown.

    Example:
        >>> ms(0.0022612), ms(0.0000423), ms(0.1234, unit=False), ms(None)
        ('2.26 ms', '0.0423 ms', '123', '–')
    """
    if seconds is None:
        return "–"
    return f"{significant(seconds * 1e3)} ms" if unit else significant(seconds * 1e3)


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, never in powers of ten.

    Example:
        >>> significant(1.3), significant(1234.5), significant(0), significant(-0.04567)
        ('1.30', '1234', '0', '−0.0457')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}")))))
    return f"{value:.{decimals}f}".replace("-", MINUS)


def ratio(after: float | None, before: float | None) -> str:
    """``after`` as a share of ``before``, with an x behind it; a dash where either is unknown.

    Example:
        >>> ratio(1.38, 2.26), ratio(5, None)
        ('0.61x', '–')
    """
    return "–" if after is None or not before else f"{after / before:.2f}x"


def count(value: float | None) -> str:
    """A count with K, M or G and three or four digits; a dash where it is unknown.

    Example:
        >>> count(66_521_088), count(512), count(None)
        ('66.5 M', '512', '–')
    """
    if value is None:
        return "–"
    for suffix, scale in ((" G", 1e9), (" M", 1e6), (" K", 1e3)):
        if abs(value) >= scale:
            return significant(value / scale) + suffix
    return f"{value:g}"


def percent(share: float | None, *, digits: int = 2, sign: bool = False) -> str:
    """A share in per cent; a dash where it is unknown.

    Example:
        >>> percent(0.9361), percent(-0.047, digits=1, sign=True), percent(0.1, digits=0, sign=True)
        ('93.61 %', '−4.7 %', '+10 %')
    """
    if share is None:
        return "–"
    return (f"{share * 100:{'+' if sign else ''}.{digits}f} %").replace("-", MINUS)


def points(difference: float) -> str:
    """A difference of two shares, in percentage points.

    Example:
        >>> points(-0.0042)
        '−0.42 points'
    """
    return f"{difference * 100:+.2f} points".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """How long something took, as people say it.

    Example:
        >>> duration(4.21), duration(95), duration(7320), duration(None)
        ('4.2 s', '1 min 35 s', '2 h 2 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def shortened(text: str, limit: int) -> str:
    """The text within ``limit`` characters: its middle gives way to an ellipsis; control characters go.

    Example:
        >>> shortened("features.denseblock3.denselayer12.conv2", 21)
        'features.d…er12.conv2'
    """
    clean = printable(text)
    if len(clean) <= limit:
        return clean
    head = (limit - 1) // 2
    return f"{clean[:head]}…{clean[len(clean) - (limit - 1 - head) :]}"


def without_common_prefix(names: Sequence[str]) -> list[str]:
    """The names without the dotted parts that all of them begin with.

    Example:
        >>> without_common_prefix(["features.0", "features.3"]), without_common_prefix(["conv1", "layer1.0"])
        (['0', '3'], ['conv1', 'layer1.0'])
    """
    split = [name.split(".") for name in names]
    shortest = min((len(parts) for parts in split), default=1) - 1
    shared = next((depth for depth in range(shortest) if len({parts[depth] for parts in split}) > 1), shortest)
    return [".".join(parts[shared:]) for parts in split] if len(split) > 1 else list(names)


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey.

    Example:
        >>> printable("a" + chr(27) + "[2Jb")
        'a[2Jb'
    """
    return "".join(letter for letter in text if letter.isprintable())
