"""Memory of large tensors goes back to the system, in a process of its own."""

import subprocess
import sys

import pytest

MEGABYTE = 2**20
SCRIPT = """
import sys
from espnet_adaptive_dropout.experiments.large_tensors import return_large_tensors

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if sys.argv[1] == "returned":
    return_large_tensors()
first = bytearray(30 * 2**20)
del first  # after this the C library keeps blocks of up to 30 MB
blocks = [bytearray(b"x" * (8 * 2**20)) for _ in range(20)]
before = resident()
del blocks[::2]
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of the C library of Linux")
def test_memory_between_others_returns():
    freed = [
        int(subprocess.check_output([sys.executable, "-c", SCRIPT, how], text=True))
        for how in ("returned", "kept")
    ]
    assert freed[0] > 75 * MEGABYTE > freed[1]
