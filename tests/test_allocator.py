"""Memory that stays with the process is not fetched from the system again."""

import subprocess
import sys

import pytest

from sightline.allocator import keep_freed_memory

FAULTS = """
import resource, numpy
from sightline.allocator import keep_freed_memory
if {asked}: keep_freed_memory()
numpy.ones(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): numpy.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(asked: bool) -> int:
    code = FAULTS.format(asked=asked)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_large_blocks_are_kept():
    code = "from sightline.allocator import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    if done.stdout.strip() == "False":
        pytest.skip("no glibc here")
    assert faults(True) < faults(False) / 5


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
