"""Folders of sketch-photo pairs in the layouts of the published sets; nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from sightline.errors import TaskError, unknown_name
from sightline.image.read import SUFFIXES
from sightline.sketch.collection import hashed_splits
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.training.class_folders import SPLIT_NAMES

PairLayout = Literal["sketchy", "shoev2"]
OnMissing = Literal["raise", "skip"]

LISTED = 10
"""Files that a message names; of more it tells the count."""

DRAWN = ("sketches", "sketch")
EXPECTED = {
    "sketchy": (
        "photo/<category>/<id>.jpg beside sketch/<category>/<id>-<k>.png or "
        "sketches/<category>/<id>-<k>.svg, with or without a tx_... folder above the categories"
    ),
    "shoev2": (
        "photo/<id>.png beside sketch/<id>_<k>.png or .svg; or trainA, trainB, testA and testB "
        "(A drawings, B photos)"
    ),
}
_NUMBERED = {"sketchy": re.compile(r"(.+)-\d+"), "shoev2": re.compile(r"(.+)_\d+")}


@dataclass(frozen=True)
class PairedDrawing:
    """A drawing of the object on a photo.

    Args:
        name: path in the folder, with ``/``.
        photo: file.
        drawing: file: SVG has strokes, anything else is a picture.
        category: where the set has categories.
        instance: what is on the photo, as `PairFolder.photos` names it.
    """

    name: str
    photo: Path
    drawing: Path
    category: str | None
    instance: str


@dataclass(frozen=True, eq=False)
class PairFolder:
    """Photos, the drawings made of them, and which instance is for what.

    Args:
        photos: by instance, those without a drawing too: they stand in the gallery.
        drawings: by name.
        left_out: files that were left out on reading, each with the reason; lines of a list of
            test photos that name none.
        splits: of every instance: train, valid or test.
    """

    photos: Mapping[str, Path]
    drawings: tuple[PairedDrawing, ...]
    left_out: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of drawings."""
        return len(self.drawings)

    @property
    def digest(self) -> str:
        """A hash of what a training on it would see: names, pairs, splits and sizes of files.

        Where the folder itself stands makes no difference. Files that are gone raise OSError.
        """
        drawn = [
            (d.name, d.instance, os.path.relpath(d.photo, d.drawing.parent), _bytes_of(d.drawing))
            for d in self.drawings
        ]
        shown = [(i, self.splits.get(i), p.name, _bytes_of(p)) for i, p in self.photos.items()]
        return hashlib.sha256(json.dumps([drawn, shown]).encode()).hexdigest()[:16]

    def split(self, name: str) -> PairFolder:
        """The instances of one split with their drawings.

        Raises:
            TaskError: an unknown split, or one without a drawing.
        """
        if name not in SPLITS:
            raise TaskError(unknown_name("split", name, SPLITS))
        kept = {i: path for i, path in self.photos.items() if self.splits.get(i) == name}
        drawings = tuple(drawing for drawing in self.drawings if drawing.instance in kept)
        if not drawings:
            raise TaskError(
                f"no drawing in the split {name!r} of {len(self.photos)} instances; choose another "
                "seed, or give more pairs"
            )
        return PairFolder(kept, drawings, (), dict.fromkeys(kept, name))


def read_pair_folder(
    folder: str | os.PathLike[str],
    layout: PairLayout | None = None,
    *,
    transform: str | None = None,
    seed: int = 0,
    on_missing: OnMissing = "raise",
) -> PairFolder:
    """Find drawings and their photos by name. Files are not opened, and none is run.

    Convention:
        ``"sketchy"``, the Sketchy database: ``photo/tx_000100000000/cup/n01_7.jpg`` and
        ``sketch/tx_000100000000/cup/n01_7-2.png``, or the drawings as strokes in
        ``sketches/cup/n01_7-2.svg``. The level ``tx_...`` (how photo and drawing were cut out)
        may be absent. Instances are named ``cup/n01_7``. Photos that ``testset.txt`` or
        ``info/testset.txt`` lists (``cup/n01_7.jpg``, a line each) are the test; lines that name
        no photo are told in ``left_out``.

        ``"shoev2"``, ShoeV2 and ChairV2 of QMUL: ``photo/25.png`` and ``sketch/25_1.png`` or
        ``.svg``; or ``trainA/25_1.png`` (drawings) and ``trainB/25.png`` (photos), and the same
        with ``test`` and ``valid``. There a drawing may also have its photo's very name, which
        goes first: ``25_1`` is of the photo 25_1 where there is one, and not of 25, unless other
        drawings are numbered after it (``25_1_1``).

        Either may stand once in each of the folders train, valid (val) and test. Where a drawing
        is there both as SVG and as a picture, the strokes are read. Splits are those of the
        folders; without a split for validation a tenth of the training instances is taken.
        Without any, 80, 10 and 10 % of the instances by a hash of instance and seed. No instance
        is in two splits. Hidden files and files of other kinds are passed over.

    Args:
        folder: of the pairs.
        layout: by default found out: photos that stand in folders of categories are Sketchy's.
        transform: the ``tx_...`` folder to read, where there are several.
        seed: of the hash.
        on_missing: a drawing without its photo, or a link that leads out of the folder, is an
            error that lists them; or (``"skip"``) it is left out, and told in ``left_out``.

    Raises:
        TaskError: no such folder, no pair in it, drawings without photos, links that leave the
            folder, an instance with two photos, several ``tx_...`` folders.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("photo/25.png", "photo/31.png", "sketch/25_1.svg", "sketch/25_2.svg"):
        ...     (root / name).parent.mkdir(exist_ok=True)
        ...     (root / name).touch()
        >>> pairs = read_pair_folder(root)
        >>> sorted(pairs.photos), [drawing.instance for drawing in pairs.drawings]
        (['25', '31'], ['25', '25'])
    """
    folder = Path(folder)
    if on_missing not in get_args(OnMissing):
        raise TaskError(unknown_name("on_missing", on_missing, get_args(OnMissing)))
    if layout is not None and layout not in EXPECTED:
        raise TaskError(unknown_name("layout", layout, EXPECTED))
    homes = _homes(folder)
    found = _Found(folder, layout or _layout_of(homes[0]), transform)
    for home in homes:
        found.read(home)
    return found.as_folder(seed, on_missing)


class _Home(NamedTuple):
    """Where photos and drawings of one split are; None without splits."""

    split: str | None
    photos: Path
    drawings: tuple[Path, ...]


class _Found:
    """What a folder holds, as far as it was read."""

    def __init__(self, root: Path, layout: PairLayout, transform: str | None) -> None:
        self.root, self.layout, self.transform = root, layout, transform
        self.real = Path(os.path.realpath(root))
        self.photos: dict[str, Path] = {}
        self.told: dict[str, str] = {}
        self.drawings: list[PairedDrawing] = []
        self.missing: list[str] = []
        self.leaving: list[str] = []

    def read(self, home: _Home) -> None:
        """Pair what one split holds."""
        own: dict[str, Path] = {}
        for category, path in self._inside(home.photos, SUFFIXES):
            instance = _instance(category, path.stem)
            if before := self.photos.get(instance):
                raise TaskError(
                    f"{self._name(before)} and {self._name(path)} are both the photo of "
                    f"{instance!r}; an instance has one photo and one split: remove one of them"
                )
            own[instance] = self.photos[instance] = path
            if home.split is not None:
                self.told[instance] = home.split
        drawings, number = self._drawings(home), _NUMBERED[self.layout]
        numbered = {cut[1] for _, stem in drawings if (cut := number.fullmatch(stem))}
        for (category, _), path in drawings.items():
            self._pair(category, path, own, numbered)

    def _drawings(self, home: _Home) -> dict[tuple[str | None, str], Path]:
        """By category and stem, so that a drawing in two forms is one: that with strokes."""
        every: dict[tuple[str | None, str], Path] = {}
        for place in home.drawings:
            for category, path in self._inside(place, (".svg", *SUFFIXES)):
                key = (category, path.stem)
                if key not in every or path.suffix.lower() == ".svg":
                    every[key] = path
        return every

    def _pair(
        self, category: str | None, path: Path, photos: Mapping[str, Path], numbered: set[str]
    ) -> None:
        cut = _NUMBERED[self.layout].fullmatch(path.stem)
        stems = [cut[1]] if cut else []
        if self.layout == "shoev2":
            # the very name first, unless other drawings have it with a number of their own
            stems.insert(len(stems) if path.stem in numbered else 0, path.stem)
        instance = next((i for s in stems if (i := _instance(category, s)) in photos), None)
        if instance is None:
            self.missing.append(self._name(path))
        else:
            photo, name = photos[instance], self._name(path)
            self.drawings.append(PairedDrawing(name, photo, path, category, instance))

    def _inside(self, place: Path, suffixes: Sequence[str]) -> Iterator[tuple[str | None, Path]]:
        """Category and file; those that a link leads out of the folder are noted instead."""
        for category, path in self._listed(place):
            if path.suffix.lower() not in suffixes or path.name.startswith("."):
                continue
            if not Path(os.path.realpath(path)).is_relative_to(self.real):
                self.leaving.append(self._name(path))
            elif path.is_file():
                yield category, path

    def _listed(self, place: Path) -> Iterator[tuple[str | None, Path]]:
        if self.layout == "shoev2":
            yield from ((None, path) for path in _sorted(place))
            return
        for category in _folders(self._transformed(place)):
            yield from ((category.name, path) for path in _sorted(category))

    def _transformed(self, place: Path) -> Path:
        """Below the level ``tx_...``, where there is one."""
        levels = [path for path in _folders(place) if path.name.startswith("tx_")]
        chosen = [path for path in levels if self.transform in (None, path.name)]
        if len(chosen) == 1:
            return chosen[0]
        if not levels:
            return place
        names = ", ".join(path.name for path in levels)
        raise TaskError(
            f"{place} holds {names}; say which one to read, such as transform={levels[0].name!r}"
            + (f" ({self.transform!r} is not there)" if self.transform else "")
        )

    def as_folder(self, seed: int, on_missing: OnMissing) -> PairFolder:
        """The pairs, once nothing is missing, or what is may be left out."""
        for names, what, cure in (
            (self.leaving, "lead out of the folder by links", "copy them into it"),
            (self.missing, "have no photo", f"expected {EXPECTED[self.layout]}; add the photos"),
        ):
            if names and on_missing == "raise":
                raise TaskError(
                    f"{self.root}: {len(names)} files {what}: {_some(names)}; {cure}, or leave "
                    "them out with on_missing='skip' (--skip-missing)"
                )
        if not self.drawings:
            raise TaskError(
                f"{self.root} has no pair in the layout {self.layout!r}: {len(self.photos)} photos "
                f"and {len(self.missing)} drawings that fit none; expected {EXPECTED[self.layout]}"
            )
        left = [f"{name}: leads out of the folder" for name in self.leaving]
        left += [f"{name}: has no photo" for name in self.missing]
        photos = dict(sorted(self.photos.items()))
        drawings = sorted(self.drawings, key=lambda drawing: drawing.name)
        named, strange = self._test_set()
        left += strange
        told = self.told | dict.fromkeys(named, "test")
        return PairFolder(photos, tuple(drawings), tuple(left), _splits(photos, told, seed))

    def _test_set(self) -> tuple[set[str], list[str]]:
        """Instances that Sketchy's own list keeps for the test, and its lines that are none."""
        lists = (self.root / "testset.txt", self.root / "info" / "testset.txt")
        path = next((p for p in lists if p.is_file()), None)
        if path is None or self.layout != "sketchy":
            return set(), []
        if not Path(os.path.realpath(path)).is_relative_to(self.real):
            raise TaskError(f"{path} leads out of the folder by a link; refused")
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise TaskError(f"{path} is no list of photos: it is not UTF-8") from error
        meant = {line: line.rsplit(".", 1)[0] for line in lines if line}
        named = set(meant.values()) & set(self.photos)
        if not named:
            raise TaskError(f"{path} names none of the {len(self.photos)} photos of the folder")
        where = self._name(path)
        strange = [f"{where}: {line!r} is no photo" for line, i in meant.items() if i not in named]
        return named, strange

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _homes(folder: Path) -> list[_Home]:
    if not folder.is_dir():
        raise TaskError(f"{folder} is no folder; give one of sketch-photo pairs")
    places: list[tuple[str | None, Path]] = [(None, folder)]
    homes = []
    for path in _folders(folder):
        name = path.name.lower()
        if name in SPLIT_NAMES:
            places.append((SPLIT_NAMES[name], path))
        photos = path.with_name(path.name[:-1] + "B")
        if path.name.endswith("A") and name[:-1] in SPLIT_NAMES and photos.is_dir():
            homes.append(_Home(SPLIT_NAMES[name[:-1]], photos, (path,)))
    for split, place in places:
        drawn = tuple(place / name for name in DRAWN if (place / name).is_dir())
        if drawn and (place / "photo").is_dir():
            homes.append(_Home(split, place / "photo", drawn))
    if not homes:
        known = "; or ".join(f"{told} ({name})" for name, told in EXPECTED.items())
        held = ", ".join(path.name for path in _sorted(folder)[:LISTED]) or "nothing"
        raise TaskError(f"{folder} holds no pairs, but {held}; expected {known}")
    return homes


def _layout_of(home: _Home) -> PairLayout:
    flat = any(path.suffix.lower() in SUFFIXES for path in _sorted(home.photos))
    return "shoev2" if flat else "sketchy"


def _splits(instances: Iterable[str], told: Mapping[str, str], seed: int) -> dict[str, str]:
    """Of every instance, as folders tell; what they leave open, by a hash of its name alone."""
    names = list(instances)
    hashed = [SPLITS[int(place)] for place in hashed_splits(names, seed)]
    if not told:
        return dict(zip(names, hashed, strict=True))
    chosen = {name: told.get(name, "train") for name in names}
    if "valid" not in told.values():
        tenth = [n for n, by in zip(names, hashed, strict=True) if by == "valid"]
        chosen |= {name: "valid" for name in tenth if chosen[name] == "train"}
    return chosen


def _instance(category: str | None, stem: str) -> str:
    return stem if category is None else f"{category}/{stem}"


def _bytes_of(path: Path) -> int:
    return path.stat().st_size


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.name)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _sorted(folder) if path.is_dir() and not path.name.startswith(".")]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
