"""Where a command writes several files of one name."""

from __future__ import annotations

from pathlib import Path


def stem_in(out: Path | None, default: str) -> Path:
    """The path of what a command writes, to which each file adds its suffix.

    Args:
        out: what ``--out`` says; a folder that is there, or a path without a name such as ``.``,
            gets files of the default name inside.
        default: name without suffix.

    Example:
        >>> stem_in(None, "cup-healed").as_posix(), stem_in(Path("."), "cup-healed").as_posix()
        ('cup-healed', 'cup-healed')
        >>> stem_in(Path("mended/cup"), "cup-healed").as_posix()
        'mended/cup'
    """
    if out is None:
        return Path(default)
    return out / default if not out.name or out.is_dir() else out


def beside(stem: Path, ending: str) -> Path:
    """One of the files of a stem, which may have points in its name.

    Example:
        >>> beside(Path("mended/cup.2"), ".png").as_posix()
        'mended/cup.2.png'
    """
    return stem.with_name(stem.name + ending)
