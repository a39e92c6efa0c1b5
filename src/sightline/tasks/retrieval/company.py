"""Who stands at the first places of a gallery, as pictures show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.errors import TaskError
from sightline.models.encoder import Item

if TYPE_CHECKING:
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.search import Found


@dataclass(frozen=True, eq=False)
class Company:
    """Who stands at the first places of a gallery, the first first.

    Args:
        items: photos or drawings.
        names: of these.
        scores: how near each is to the query.
        chosen: which of them a match is about; None where it stands further down, or none is meant.

    Raises:
        TaskError: not one name and score each, or a choice that is not among them.
    """

    items: Sequence[Item]
    names: Sequence[str]
    scores: Sequence[float]
    chosen: int | None = None

    def __post_init__(self) -> None:
        count = len(self.items)
        if not count or {len(self.names), len(self.scores)} != {count}:
            raise TaskError(
                f"{count} items, {len(self.names)} names, {len(self.scores)} scores; expected at "
                "least one item, each with a name and a score"
            )
        if self.chosen is not None and not 0 <= self.chosen < count:
            raise TaskError(f"item {self.chosen} of {count} is no choice")

    @classmethod
    def of(cls, gallery: Gallery, found: Found, chosen: int | None = None) -> Company:
        """What one query found, with the items themselves.

        Args:
            gallery: that was searched.
            found: by one query; the first row counts.
            chosen: index in the gallery of the one that a match is about.

        Raises:
            TaskError: items that are not in files, or whose folder has moved.
            PhotoError: a photo that cannot be read.
        """
        rows = found.indices[0].tolist()
        return cls(
            [gallery.read(row) for row in rows],
            [gallery.names[row] for row in rows],
            found.scores[0].tolist(),
            rows.index(chosen) if chosen in rows else None,
        )
