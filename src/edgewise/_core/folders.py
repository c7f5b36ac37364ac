"""Where edgewise keeps what it may need again."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$EDGEWISE_HOME``, or else edgewise's part of the platform's cache folder. Nothing is made.

    Args:
        environment: Environment variables; this process's by default.

    Example:
        >>> cache_folder({"EDGEWISE_HOME": "/var/edgewise"}).as_posix()
        '/var/edgewise'
    """
    known = os.environ if environment is None else environment
    if known.get("EDGEWISE_HOME"):
        return Path(known["EDGEWISE_HOME"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgewise"
    return Path(known.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewise"
