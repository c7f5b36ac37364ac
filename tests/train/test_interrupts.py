"""Ctrl-C that waits for the end of a step."""

import signal
import threading
from collections.abc import Iterator

import pytest

from edgewise.train.interrupts import StepShield


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """Test processes in the background have another handler for SIGINT than a program that a person started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_within_a_step_waits_for_its_end() -> None:
    shield, finished = StepShield(), []
    with shield.installed(), pytest.raises(KeyboardInterrupt), shield.step():
        signal.raise_signal(signal.SIGINT)
        finished.append(shield.in_step)
    assert finished == [True]
    assert not shield.in_step


def test_a_second_ctrl_c_within_a_step_comes_through() -> None:
    shield, finished = StepShield(), []
    with shield.installed(), pytest.raises(KeyboardInterrupt), shield.step():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        finished.append(True)
    assert finished == []
    assert shield.in_step


def test_ctrl_c_between_steps_comes_at_once() -> None:
    shield = StepShield()
    with shield.installed():
        with shield.step():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_handler_of_the_users_own_and_other_threads_are_left_alone() -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        with StepShield().installed():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [True]
    done = []

    def work() -> None:
        with StepShield().installed():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
