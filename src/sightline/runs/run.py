"""A run that lies in a folder: its photos, its rows, its failures."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sightline.errors import SightlineError
from sightline.runs.manifest import Manifest
from sightline.runs.rows import Failure, PhotoResult, Row, arrow, results_of, schema
from sightline.runs.shards import Held, Shard, failures_of, shard_files


@dataclass(frozen=True, eq=False)
class Item:
    """One explanation with the photo it belongs to."""

    photo: PhotoResult
    row: Row

    @property
    def name(self) -> str:
        """``photo/number/method``."""
        return self.photo.item(self.row)


class Run:
    """The folder of a run, open for reading; it may still be going on.

    Photos come in the order of the manifest, boxes in their order, whatever was killed, gone on
    with or tried again. Only what is asked for is read.
    """

    def __init__(self, folder: Path) -> None:
        arrow()
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self._shards = [Shard(path) for path in shard_files(folder)]
        places = [(held, shard) for shard in self._shards for held in shard.photos]
        self._places: list[tuple[Held, Shard]] = sorted(places, key=lambda place: place[0].index)
        self._refuse_strangers()

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Open a folder.

        Raises:
            SightlineError: no run, one of another version, a damaged file.
        """
        return cls(Path(folder))

    def __len__(self) -> int:
        """Number of explanations."""
        return sum(held.rows for held, _ in self._places)

    def __repr__(self) -> str:
        return (
            f"Run({self.manifest.detector}: {self.done} of {len(self.manifest.photos)} photos, "
            f"{len(self)} explanations, {len(self.errors())} failures)"
        )

    @property
    def done(self) -> int:
        """Photos explained, those without a box too."""
        return len(self._places)

    @property
    def finished(self) -> bool:
        """Whether every photo was explained or failed."""
        return self.done + len(self.errors()) == len(self.manifest.photos)

    def errors(self) -> list[Failure]:
        """Photos that failed, in the order of the manifest."""
        return list(self._errors)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """One Arrow table a photo that has rows; ``columns`` reads some only."""
        for held, shard in self._places:
            if held.rows:
                yield shard.table(held, columns)

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """All rows as one Arrow table."""
        pa = arrow()
        kind = schema() if columns is None else schema().empty_table().select(list(columns)).schema
        return pa.concat_tables([kind.empty_table(), *self.tables(columns)])

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """All rows as a pandas table.

        Raises:
            SightlineError: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped]  # noqa: F401
        except ImportError:
            raise SightlineError(
                "a pandas table needs pandas; install it with: pip install pandas (or use .table())"
            ) from None
        return self.table(columns).to_pandas()

    def photos(self) -> Iterator[PhotoResult]:
        """Photos with their explanations; those without a box are passed over."""
        for table in self.tables():
            yield from results_of(table)

    def photos_named(self, names: Collection[str]) -> Iterator[PhotoResult]:
        """Some photos with their explanations, without reading the others."""
        for held, shard in self._places:
            if held.rows and held.name in names:
                yield from results_of(shard.table(held))

    def rows(self) -> Iterator[Item]:
        """Explanations, one by one."""
        for photo in self.photos():
            for row in photo.explanations:
                yield Item(photo, row)

    def item(self, which: str | int) -> Item:
        """One explanation, by its name (``photo/number/method``) or its place from 0.

        Raises:
            SightlineError: there is none such.
        """
        if isinstance(which, int):
            return self._at(which)
        name = which.rsplit("/", 2)[0]
        for photo in self.photos_named({name}):
            for row in photo.explanations:
                if photo.item(row) == which:
                    return Item(photo, row)
        raise SightlineError(self._unknown(which))

    def items(self) -> Iterator[str]:
        """Names of all explanations."""
        for table in self.tables(["item"]):
            yield from table["item"].to_pylist()

    def photo_path(self, name: str) -> Path:
        """Where a photo of the run was read from."""
        return Path(self.manifest.photos_folder) / name

    def _at(self, place: int) -> Item:
        first = 0
        for held, shard in self._places:
            if 0 <= place - first < held.rows:
                (photo,) = results_of(shard.table(held))
                return Item(photo, photo.explanations[place - first])
            first += held.rows
        raise SightlineError(
            f"{self.folder} has {len(self)} explanations, counted from 0; there is no {place}"
        )

    @cached_property
    def _errors(self) -> list[Failure]:
        told = failures_of(self.folder, {held.name for held, _ in self._places})
        return [told[photo.name] for photo in self.manifest.photos if photo.name in told]

    def _refuse_strangers(self) -> None:
        names = [photo.name for photo in self.manifest.photos]
        seen: set[int] = set()
        for held, shard in self._places:
            known = 0 <= held.index < len(names) and names[held.index] == held.name
            if not known or held.index in seen:
                what = "a second time" if held.index in seen else "that is not of this run"
                raise SightlineError(
                    f"{shard.path} holds photo {held.name} {what}; take the file out of the folder"
                )
            seen.add(held.index)

    def _unknown(self, which: str) -> str:
        import difflib

        near = difflib.get_close_matches(which, list(self.items()), n=3, cutoff=0.3)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        return (
            f"{self.folder} has no explanation {which!r}{hint}; sightline show {self.folder} lists "
            "all"
        )
