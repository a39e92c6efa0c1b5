"""The manifest of a run: what is explained, by what, how; written first, compared on resuming."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.errors import SightlineError
from sightline.sketch.files import replace_file

FILE = "run.json"
FORMAT = "sightline run 1"

_KINDS: dict[str, type] = {
    **dict.fromkeys(("detector", "fingerprint", "photos_folder", "started"), str),
    **dict.fromkeys(
        ("methods", "settings", "seeds", "categories", "environment", "versions"), dict
    ),
    **dict.fromkeys(("photos", "sanity"), list),
}  # fmt: skip

RECORDED = ("started", "environment", "photos_folder", "sanity")
"""Fields that may differ when a run goes on: they change no number."""


def versions_now() -> dict[str, str]:
    """Of sightline and of what it computes with."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from sightline.version import __version__

    told = {"sightline": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "scikit-image", "pillow"):
        try:
            told[name] = version(name)
        except PackageNotFoundError:
            continue
    return told


def now() -> str:
    """The time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class PhotoFile:
    """A photo of the list.

    Args:
        name: path below the photos' folder, with '/'.
        bytes: size of the file; None where it is absent.
        sha256: of its bytes; None where it is absent.
        image_id: in the annotations.
    """

    name: str
    bytes: int | None = None
    sha256: str | None = None
    image_id: int | None = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.name)
        if not self.name or path.is_absolute() or ".." in path.parts:
            raise SightlineError(
                f"photo {self.name!r} does not stay in its folder; expected a path below it"
            )

    @classmethod
    def of(cls, folder: Path, name: str, *, image_id: int | None = None) -> PhotoFile:
        """As the file is now; one that is absent is listed all the same."""
        told = cls(name, image_id=image_id)
        path = folder / name
        if not path.is_file():
            return told
        return cls(name, path.stat().st_size, hash_file(path), image_id)


@dataclass(frozen=True)
class Manifest:
    """What a run is.

    Args:
        detector: its name; fingerprint: hash of its weights.
        methods: name -> settings.
        photos: in the order of work.
        photos_folder: where they lie.
        settings: of everything else that changes a number (threshold, parts, fill, metrics).
        seeds: by use.
        annotations: path and sha256 of the file of boxes, or None.
        categories: label -> category id of the annotations.
        environment: what changes no number (device, batch size): recorded, not compared.
        sanity: findings of the sanity checks, a sentence each.
        versions: of what computes.
        started: when, in UTC.

    Raises:
        SightlineError: no methods, or a photo listed twice.
    """

    detector: str
    fingerprint: str
    methods: dict[str, dict[str, Any]]
    photos: tuple[PhotoFile, ...]
    photos_folder: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    annotations: dict[str, str] | None = None
    categories: dict[str, int] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    sanity: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=versions_now)
    started: str = field(default_factory=now)

    def __post_init__(self) -> None:
        if not self.methods:
            raise SightlineError("a run needs at least one method; name some")
        seen: set[str] = set()
        for photo in self.photos:
            if photo.name in seen:
                raise SightlineError(f"photo {photo.name} is listed twice; list it once")
            seen.add(photo.name)

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False)
        with replace_file(folder / FILE) as stream:
            stream.write(text.encode())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """What a run's folder says of itself.

        Raises:
            SightlineError: no run, a damaged manifest, another version.
        """
        path = folder / FILE
        if not path.is_file():
            raise SightlineError(
                f"{folder} is no run (it has no {FILE}); make one with: sightline explain PHOTOS "
                f"--detector NAME --out {folder}"
            )
        try:
            told = json.loads(path.read_bytes())
            version = told.pop("format")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SightlineError(f"{path} is damaged; run anew into another folder") from None
        if version != FORMAT:
            raise SightlineError(f"{path} is {str(version)[:40]!r}; this program reads {FORMAT!r}")
        try:
            wrong = [name for name, kind in _KINDS.items() if not isinstance(told[name], kind)]
            if wrong:
                raise TypeError(f"{', '.join(wrong)} of another kind")
            photos = tuple(PhotoFile(**photo) for photo in told.pop("photos"))
            return cls(photos=photos, sanity=tuple(told.pop("sanity")), **told)
        except (KeyError, TypeError, AttributeError) as error:
            raise SightlineError(
                f"{path} is damaged ({error}); run anew into another folder"
            ) from None

    def refuse_other(self, asked: Manifest, folder: Path) -> None:
        """Refuse to go on with other settings.

        Raises:
            SightlineError: what differs, by its key.
        """
        differing = list(_differences(_compared(self), _compared(asked)))
        if differing:
            rest = f" (and {len(differing) - 3} more)" if len(differing) > 3 else ""
            raise SightlineError(
                f"{folder} holds a run of other settings: {'; '.join(differing[:3])}{rest}; give "
                "the same to go on, or another folder"
            )


def _compared(manifest: Manifest) -> dict[str, Any]:
    told = json.loads(json.dumps(asdict(manifest), allow_nan=False))
    told = {key: value for key, value in told.items() if key not in RECORDED}
    if told["annotations"]:
        del told["annotations"]["path"]  # the same file may have moved
    told["photos.names"] = [photo["name"] for photo in told["photos"]]
    told["photos"] = {photo.pop("name"): photo for photo in told["photos"]}
    return told


def _differences(there: Any, asked: Any, key: str = "") -> Iterator[str]:
    """``key was this, now that`` for every leaf that differs."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for name in dict.fromkeys([*there, *asked]):
            yield from _differences(there.get(name), asked.get(name), f"{key}.{name}".strip("."))
    elif key == "photos.names":
        if there != asked:
            yield f"photos were {len(there)}, now {len(asked)}{_first_other(there, asked)}"
    elif key.startswith("photos.") and (there is None or asked is None):
        return  # told by the names; or a file that was absent when the run began
    elif there != asked:
        yield f"{key} was {_short(there)}, now {_short(asked)}"


def _first_other(there: Sequence[str], asked: Sequence[str]) -> str:
    for place, (old, new) in enumerate(zip(there, asked, strict=False)):
        if old != new:
            return f" (number {place} was {old}, now {new})"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def hash_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
