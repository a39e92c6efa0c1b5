"""These tests run where torchvision is found; see the Makefile's .torchvision."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torchvision") is None:
    collect_ignore_glob = ["*.py"]
else:
    from torchvision_door.operators import stand_in_where_missing

    stand_in_where_missing()
