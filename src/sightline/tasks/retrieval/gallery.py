"""The gallery: vectors of photos or drawings, what they are of, and who made them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import TaskError
from sightline.models.encoder import AT_ONCE, Encoder, Item, Measure
from sightline.sketch.formats.quickdraw import OnError, Skipped
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery_files import (
    Items,
    Root,
    Told,
    open_gallery,
    write_gallery,
)
from sightline.tasks.retrieval.gallery_sources import (
    Entry,
    entries_in_memory,
    entries_of,
    files_of,
    is_still,
    kind_of,
    name_of,
    read_drawings,
    read_photo_of,
)
from sightline.tasks.retrieval.indexing import Indexing, Tell
from sightline.tasks.retrieval.search import Engine, Found, Searcher

Source = str | os.PathLike[str] | Sequence[Item]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Items to be found, as vectors of one encoder.

    Args:
        vectors: one an item; of an opened gallery they are mapped from their file.
        items: what is known of each.
        encoder: name of the encoder; fingerprint: of its weights; measure: how it compares.
        roots: where items come from.

    Raises:
        TaskError: no items, or as many vectors as there are not items.

    Example:
        >>> from torch import nn
        >>> encoder = Encoder(sketch=nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()))
        >>> post = Sketch.from_strokes([[(0, 0), (0, 8)]], name="post")
        >>> beam = Sketch.from_strokes([[(0, 0), (8, 0)]], name="beam")
        >>> gallery = Gallery.of(encoder, [post, beam])
        >>> stick = Sketch.from_strokes([[(0, 0), (1, 8)]])
        >>> [gallery.names[i] for i in gallery.find(encoder, [stick], 2).indices[0]]
        ['post', 'beam']
    """

    vectors: Float[Tensor, "items dimension"]
    items: Items
    encoder: str
    fingerprint: str
    measure: Measure = "cosine"
    roots: tuple[Root, ...] = (Root("photos", Path()),)

    def __post_init__(self) -> None:
        if not len(self.items) or len(self.vectors) != len(self.items):
            raise TaskError(
                f"a gallery of {len(self.items)} items and {len(self.vectors)} vectors; expected "
                "at least one item, each with a vector"
            )

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        items: Source,
        *,
        batch: int = AT_ONCE,
        on_error: OnError = "raise",
        skipped: Skipped | None = None,
        tell: Tell | None = None,
    ) -> Gallery:
        """Encode photos or drawings.

        Args:
            encoder: that reads them; it is left as it came.
            items: a folder of photos, or of folders of them, one a category; a file or folder of
                drawings; or photos or drawings themselves. Photos are read as they are encoded,
                a batch at a time.
            batch: items that are read and encoded at once.
            on_error: stop at what cannot be read, naming it, or leave it out (``"skip"``).
            skipped: counts what was left out.
            tell: hears how far it is.

        Raises:
            TaskError: nothing to index, or nothing left.
            PhotoError: a photo that cannot be read.
            DrawingError: a broken drawing.
            ModelError: the encoder does not read such items.
        """
        skipped = Skipped() if skipped is None else skipped
        roots, entries = _entries(items, (), on_error, skipped)
        kept = Indexing(encoder, batch, on_error, skipped, tell).encoded(entries)
        if not kept:
            raise TaskError(f"nothing to index: no item is left; {skipped}")
        vectors = torch.cat([row for _, row in kept])
        found = tuple(item for some, _ in kept for item in some)
        return cls(vectors, found, encoder.name, encoder.fingerprint, encoder.measure, roots)

    def add(
        self,
        encoder: Encoder,
        items: Source,
        *,
        batch: int = AT_ONCE,
        on_error: OnError = "raise",
        skipped: Skipped | None = None,
        tell: Tell | None = None,
    ) -> Gallery:
        """A gallery with these as well; what came from the same file before is not read again.

        Arguments and errors are those of `of`.

        Returns:
            Another gallery; or this one itself, where nothing is new.

        Raises:
            TaskError: another encoder.
        """
        self.check(encoder)
        skipped = Skipped() if skipped is None else skipped
        roots, entries = _entries(items, self.roots, on_error, skipped)
        known = set(files_of(self.roots, self.items)) - {None}
        files = files_of(roots, [entry.item for entry in entries])
        new = [entry for entry, file in zip(entries, files, strict=True) if file not in known]
        kept = Indexing(encoder, batch, on_error, skipped, tell).encoded(new)
        if not kept:
            return self
        return replace(
            self,
            roots=roots,
            vectors=torch.cat([self.vectors, *(row.to(self.vectors) for _, row in kept)]),
            items=(*self.items, *(item for some, _ in kept for item in some)),
        )

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str] | None = None,
        check: bool = False,
    ) -> Gallery:
        """Open a saved gallery; vectors and items are read when they are used.

        Args:
            folder: of the gallery.
            root: where its photos or drawings are now, if they were moved.
            check: read all files once, against their checksums.

        Raises:
            TaskError: no gallery, damaged files (named), or a new root for one that has several.
        """
        told, vectors, items = open_gallery(folder, check=check)
        roots = told.roots
        if root is not None:
            if len(set(roots)) != 1:
                raise TaskError(
                    f"{folder} has items of {len(set(roots))} places; a new root is for those of "
                    "one: index again"
                )
            roots = tuple(replace(each, path=Path(root).resolve()) for each in roots)
        return cls(vectors, items, told.encoder, told.fingerprint, told.measure, roots)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the gallery, whole or not at all; one that is there is replaced."""
        told = Told(self.encoder, self.fingerprint, self.measure, self.roots)
        write_gallery(folder, told, self.vectors, self.items)

    def to(self, device: str | torch.device) -> Gallery:
        """The same, searched there; all vectors are read."""
        return replace(self, vectors=self.vectors.to(device))

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def __repr__(self) -> str:
        size = f"{len(self)} items, vectors of {self.vectors.shape[1]}"
        return f"Gallery({size}, {self.measure}, encoder {self.encoder or 'without a name'})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all items."""
        return tuple(item.name for item in self.items)

    def index_of(self, name: str) -> int:
        """The item of this name, or of this path in the folder of photos.

        Raises:
            TaskError: none, or several.
        """
        found = [i for i, known in enumerate(self.names) if known == name]
        if len(found) != 1:
            named = [i for i, item in enumerate(self.items) if item.source == name]
            found = named or found
        if len(found) == 1:
            return found[0]
        near = difflib.get_close_matches(name, self.names, n=5) or self.names[:5]
        raise TaskError(
            f"{len(found) or 'no'} items of the gallery are called {name!r}; "
            + (
                self._told_apart(found)
                if found
                else f"near are: {', '.join(near)} (of {len(self)})"
            )
        )

    def _told_apart(self, found: Sequence[int]) -> str:
        paths = [str(self.items[i].source) for i in found[:5]]
        if all(isinstance(self.items[i].source, str) for i in found):
            return f"give the path of one: {', '.join(paths)}"
        return f"choose one by its place, or by index: they are items {str(list(found[:5]))[1:-1]}"

    def read(self, index: int) -> Item:
        """The photo or drawing itself.

        Raises:
            TaskError: it was never in a file, its folder has moved, or another drawing is there.
            PhotoError: its path leaves the folder, or there is no such photo.
        """
        item = self.items[index]
        if item.source is None:
            raise TaskError(
                f"{item.name!r} was indexed from memory; the gallery has its vector only"
            )
        root = self.roots[item.root]
        if not root.path.exists():
            raise TaskError(
                f"{root.path}, where {item.name!r} comes from, is gone; if it was moved, say "
                "where to: --root of the commands, root= of Gallery.open"
            )
        if root.kind == "photos":
            return read_photo_of(root, item.source, f"item {index} of the gallery")
        drawings = self._drawings(item.root)
        if not isinstance(item.source, int) or not 0 <= item.source < len(drawings):
            raise TaskError(
                f"{root.path} has {len(drawings)} drawings, none is {item.source!r} "
                f"({item.name!r}); it was changed: index again"
            )
        drawing = drawings[item.source]
        if not is_still(item, drawing):
            now, then = _called(name_of(drawing), drawing.label), _called(item.name, item.label)
            raise TaskError(
                f"drawing {item.source} of {root.path} is {now}, was {then}; it was changed: index "
                "again"
            )
        return drawing

    def check(self, encoder: Encoder) -> None:
        """Make sure that an encoder's vectors can be compared with these.

        Raises:
            TaskError: its weights or its measure are not those of the gallery.
        """
        if encoder.fingerprint == self.fingerprint:
            return
        names = [name or "without a name" for name in (self.encoder, encoder.name)]
        raise TaskError(
            f"the gallery holds vectors of encoder {names[0]} (fingerprint {self.fingerprint}), "
            f"asked is encoder {names[1]} (fingerprint {encoder.fingerprint}); vectors of two "
            "encoders cannot be compared: index again with this one, or ask with that one"
        )

    def search(
        self,
        vectors: Float[Tensor, "queries dimension"],
        k: int = 10,
        *,
        engine: Engine = "auto",
        block: int | None = None,
    ) -> Found:
        """The ``k`` nearest items of each vector, as `Searcher.search` finds them.

        Whether the vectors are of the same encoder is for `check` to say; `find` does both.
        """
        return self._searcher.search(vectors, k, engine=engine, block=block)

    def find(
        self,
        encoder: Encoder,
        items: Sequence[Item],
        k: int = 10,
        *,
        engine: Engine = "auto",
    ) -> Found:
        """The ``k`` nearest items of each drawing or photo.

        Raises:
            TaskError: another encoder than the gallery's.
        """
        self.check(encoder)
        return self.search(encoder.encode(items), k, engine=engine)

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self.vectors, self.measure)

    @cached_property
    def _collections(self) -> dict[int, list[Sketch]]:
        return {}

    def _drawings(self, root: int) -> list[Sketch]:
        if root not in self._collections:
            # left out is what was left out when it was indexed, so numbers mean the same
            path = self.roots[root].path
            self._collections[root] = read_drawings(path, on_error="skip")
        return self._collections[root]


def _called(name: str, label: str | None) -> str:
    return f"{name!r}{f' ({label})' if label else ''}"


def _entries(
    items: Source, known: tuple[Root, ...], on_error: OnError, skipped: Skipped
) -> tuple[tuple[Root, ...], list[Entry]]:
    """All roots, those that are known first, and what there is in that of the items."""
    if not isinstance(items, str | os.PathLike):
        root, entries = entries_in_memory(items, 0)
        roots, number = _with(known, root)
        return roots, [replace(each, item=replace(each.item, root=number)) for each in entries]
    path = Path(items).resolve()
    root = Root(kind_of(path), path)
    roots, number = _with(known, root)
    return roots, entries_of(root, number, on_error=on_error, skipped=skipped)


def _with(roots: tuple[Root, ...], root: Root) -> tuple[tuple[Root, ...], int]:
    """Roots with this one among them, once; and its number."""
    every = roots if root in roots else (*roots, root)
    return every, every.index(root)
