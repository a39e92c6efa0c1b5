"""Memory that a process frees and soon needs again stays with it."""

from __future__ import annotations

import ctypes
import sys

# names and numbers of glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
MOST_KEPT = 2**31 - 1
PAD = 2**28


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep large blocks; False where there is no glibc.

    By default every block of more than some megabytes is fetched from the system anew, zeroed page
    by page, and given back. A network on masked photos does so at every layer: measured on two
    cores, SSD-MobileNetV1 reads 150 pictures a second with this and 67 without. It is a setting of
    the whole process, so commands make it; the library leaves a user's process alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        return False
    wanted = ((_MMAP_THRESHOLD, MOST_KEPT), (_TRIM_THRESHOLD, MOST_KEPT), (_TOP_PAD, PAD))
    return all(mallopt(option, size) == 1 for option, size in wanted)
