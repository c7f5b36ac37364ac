"""Memory kept between steps: freed blocks are used again without the system's help, and given back at the end."""

import json
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
_PAGES = (64 << 20) // 4096
"""Of a block of 64 MB."""
_HEAD = """
import json, resource
import torch
from edgewise.train.memory import kept_memory

def faults():  # pages that the system had to provide for a block that is written and freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
_NESTED = """
found = [faults()]
with kept_memory():
    faults()
    found.append(faults())
    with kept_memory():
        pass
    found.append(faults())
print(json.dumps([*found, faults()]))
"""


def provided(script: str) -> list[bool]:
    """Whether the system had to provide the blocks, in a process of their own: others may have left their heap in pieces."""
    done = subprocess.run([sys.executable, "-c", _HEAD + script], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    assert all(count < _PAGES / 20 or count >= _PAGES / 2 for count in found), found
    return [count >= _PAGES / 2 for count in found]


def test_blocks_are_used_again() -> None:
    assert provided(_NESTED) == [True, False, False, True]
