"""Items found by as much of their path as a file of labels has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from sightline.errors import PhotoError


class Names:
    """Names of items, found by the end of their path.

    Example:
        >>> names = Names(["train/bird/duck.jpg", "train/bird/owl.jpg"])
        >>> names.find("owl.jpg"), names.find("photos/train/bird/duck.jpg"), names.find("cow.jpg")
        ('train/bird/owl.jpg', 'train/bird/duck.jpg', None)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_base: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            self._by_base.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, name: str) -> str | None:
        """The item of this name; else the one whose path ends with it, or that it ends with.

        Raises:
            PhotoError: several items that it can be.
        """
        near = self._by_base.get(PurePosixPath(name).name, [])
        if name in near:
            return name
        found = [item for item in near if _ends_alike(item, name)]
        if len(found) > 1:
            raise PhotoError(
                f"{name!r} can be any of {len(found)} photos, {', '.join(found[:3])}; give more of "
                "its path"
            )
        return found[0] if found else None


def _ends_alike(item: str, name: str) -> bool:
    """Whether one path is the end of the other, whole names of folders at a time."""
    ours, theirs = PurePosixPath(item).parts, PurePosixPath(name).parts
    shared = min(len(ours), len(theirs))
    return ours[-shared:] == theirs[-shared:]
