"""The tests of torchvision's detectors, in a process that finds torchvision; this one does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".torchvision"


@pytest.mark.slow
def test_torchvisions_detectors_where_torchvision_is():
    if find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed here, so tests/torchvision_door runs in this process")
    if not (FOLDER / "torchvision").is_dir():
        pytest.skip("no torchvision beside the tests: make .torchvision/.installed")
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    own |= {"PYTHONPATH": str(FOLDER), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/torchvision_door"],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    counts = re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])
    assert [word for _, word in counts if word in ("passed", "skipped")] == ["passed"]
    assert int(counts[0][0]) > 50
