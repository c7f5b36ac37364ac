import logging
import sys
import warnings

import pytest

from edgewise.deploy.quiet import quietly
from edgewise.deploy.reasons import one_line


def test_places_in_foreign_sources_are_left_out() -> None:
    text = "Exception from src/core.cpp:84:\nCheck 'a == b' failed at x.cpp:3:\nUnable to read the model: bad\nmore"
    assert one_line(RuntimeError(text)) == "Unable to read the model: bad"


def test_onnxruntime_codes_are_left_out() -> None:
    assert one_line(RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model failed")) == "Load model failed"


def test_there_is_always_a_line() -> None:
    assert one_line(KeyError()) == "KeyError"
    assert one_line(RuntimeError("Exception from here")) == "Exception from here"
    assert len(one_line(RuntimeError("x" * 5000))) == 300


def test_quiet_drops_what_succeeds_and_keeps_errors(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="kept"), quietly():
        print("out")  # noqa: T201
        print("err", file=sys.stderr)  # noqa: T201
        logging.getLogger("third.party").error("log")
        warnings.warn("warning", stacklevel=1)
        raise ValueError("kept")
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []
    logging.getLogger("third.party").error("heard again")
    assert len(caplog.records) == 1
