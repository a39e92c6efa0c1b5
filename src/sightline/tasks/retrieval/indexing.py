"""Items become vectors, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from sightline.errors import DrawingError, PhotoError, TaskError
from sightline.models.encoder import Encoder, Item
from sightline.sketch.formats.quickdraw import OnError, Skipped
from sightline.tasks.retrieval.gallery_files import GalleryItem
from sightline.tasks.retrieval.gallery_sources import Entry

Tell = Callable[[int, int], None]
"""Hears how many items are done, and of how many."""

Encoded = tuple[list[GalleryItem], Tensor]


@dataclass(frozen=True, eq=False)
class Indexing:
    """How items are encoded.

    Args:
        encoder: that reads them.
        batch: items that are read and encoded at once.
        on_error: stop at what cannot be read, or leave it out.
        skipped: counts what was left out.
        tell: hears how far it is.

    Raises:
        TaskError: a batch of less than 1.
    """

    encoder: Encoder
    batch: int
    on_error: OnError
    skipped: Skipped
    tell: Tell | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise TaskError(f"batch is {self.batch}; encode at least 1 item at once")

    def encoded(self, entries: Sequence[Entry]) -> list[Encoded]:
        """Batches of items with their vectors; only what can be read."""
        found: list[Encoded] = []
        for start in range(0, len(entries), self.batch):
            some = entries[start : start + self.batch]
            found += self._vectors([pair for entry in some for pair in self._read(entry)])
            if self.tell is not None:
                self.tell(start + len(some), len(entries))
        return found

    def _read(self, entry: Entry) -> Iterator[tuple[GalleryItem, Item]]:
        try:
            yield entry.item, entry.read()
        except PhotoError as error:
            self._leave_out(error)

    def _vectors(self, read: list[tuple[GalleryItem, Item]]) -> Iterator[Encoded]:
        if not read:
            return
        items, things = [item for item, _ in read], [thing for _, thing in read]
        try:
            vectors = self.encoder.encode(things, batch=len(things))
        except (DrawingError, PhotoError) as error:
            if len(read) == 1:
                self._leave_out(error)
                return
            for one in read:  # alone, the broken one names itself
                yield from self._vectors([one])
            return
        yield items, vectors

    def _leave_out(self, error: DrawingError | PhotoError) -> None:
        if self.on_error == "raise":
            raise error
        self.skipped.add(str(error))
