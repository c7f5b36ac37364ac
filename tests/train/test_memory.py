"""Memory kept between steps: freed blocks are used again without the system's help, and given back at the end."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
_PAGES = 8 * (64 << 20) // 4096
"""Of eight blocks of 64 MB."""
_HEAD = """
import json, resource
import torch
from edgewise.train.memory import kept_memory

def faults():  # pages that the system had to provide for eight blocks, each written and freed
    for _ in range(12):  # the first blocks lie where small ones have yet to find their places
        torch.ones(16 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():  # pages
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
"""
_NESTED = """
usual = faults()
with kept_memory():
    found = [faults()]
    with kept_memory():
        pass
    found.append(faults())
    kept = resident()
print(json.dumps([usual, *found, kept - resident()]))
"""


def test_blocks_are_used_again_and_given_back_at_the_end() -> None:
    # In a process of its own: others may have left their heap in pieces.
    done = subprocess.run([sys.executable, "-c", _HEAD + _NESTED], capture_output=True, text=True, check=True, timeout=120)
    usual, alone, behind_another, given_back = json.loads(done.stdout)
    assert usual >= _PAGES / 2
    assert alone < _PAGES / 20 and behind_another < _PAGES / 20
    assert given_back >= 0.9 * _PAGES / 8, "less than one block was given back"
