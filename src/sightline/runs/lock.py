"""One run writes to a folder; a second one is told who does."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import SightlineError

LOCK = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The system frees it when its holder ends, however it ends.

    The file stays, since whoever removed it could remove the lock of another. On systems without
    ``flock`` nothing is locked.

    Raises:
        SightlineError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(folder / LOCK, "a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SightlineError(
                f"{folder} is being written to by {_holder(folder)}; wait for it, end it, or give "
                "another folder"
            ) from None
        stream.truncate(0)
        stream.write(json.dumps(_this_process()))
        stream.flush()
        yield


def _this_process() -> dict[str, object]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(folder: Path) -> str:
    try:
        told = json.loads((folder / LOCK).read_text())
        return f"process {told['pid']} on {told['host']} (since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
