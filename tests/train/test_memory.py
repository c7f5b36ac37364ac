"""Memory kept between steps: freed blocks are used again without the system's help, and given back at the end."""

import platform
import resource
import threading

import pytest
import torch

from edgewise.train.memory import kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
_VALUES, _PAGES = 16 << 20, (16 << 20) * 4 // 4096
"""A block of 64 MB."""


def faults_of_a_block() -> int:
    """Pages that the system had to provide for a block that is written and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(_VALUES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_blocks_are_used_again() -> None:
    assert faults_of_a_block() >= _PAGES / 2
    with kept_memory():
        faults_of_a_block()
        assert faults_of_a_block() < _PAGES / 20
        with kept_memory():
            pass
        assert faults_of_a_block() < _PAGES / 20
    assert faults_of_a_block() >= _PAGES / 2


def test_two_threads_may_overlap() -> None:
    entered, over = threading.Event(), threading.Event()

    def other() -> None:
        with kept_memory():
            entered.set()
            over.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(30)
    with kept_memory():
        faults_of_a_block()
    assert faults_of_a_block() < _PAGES / 20
    over.set()
    thread.join()
    assert faults_of_a_block() >= _PAGES / 2
