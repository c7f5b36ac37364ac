"""The one OpenVINO core of this process."""

from functools import cache

import openvino


@cache
def openvino_core() -> openvino.Core:
    """The core that everything here shares, made at the first call.

    Each core's CPU plug-in puts the thread's signal handlers on a stack of its own, and puts back what it
    found when it goes (seen in 2026.4). With two of them that go in another order than they came, handlers are
    left on freed memory, and Ctrl-C ends in a segmentation fault; so there is one, which stays.

    Raises:
        RuntimeError: OpenVINO cannot start, for instance without its plug-ins' list.
    """
    return openvino.Core()
