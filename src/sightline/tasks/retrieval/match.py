"""A match with both of its explanations: kept, read again, drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.explanation import Explanation
from sightline.image.coco import safe_name
from sightline.models.encoder import MEASURES, Item, Measure
from sightline.sketch.sketch import Sketch
from sightline.tasks.records import read_record, write_record
from sightline.tasks.retrieval.gallery_sources import name_of

FORMAT = "sightline match 1"


@dataclass(frozen=True, eq=False)
class Match:
    """Why a drawing found what it found, from both sides.

    Args:
        query: strokes of the drawing, scored by what they bring to the similarity (or, where
            ``over`` names others, to the margin above each of them).
        found: superpixels of the photo, or strokes of the drawing that was found, scored by what
            they bring to the similarity.
        similarity: of the two, in the encoder's measure; more is more alike.
        measure: ``"cosine"``, or ``"distance"``: minus the Euclidean distance.
        encoder: its fingerprint.
        place: of the found one in the gallery, from 1; equally near ones share the better.
        among: how many stand there; None, as ``place``, where no gallery was given.
        over: names of those that it stands above.
    """

    query: Explanation
    found: Explanation
    similarity: float
    measure: Measure
    encoder: str
    place: int | None = None
    among: int | None = None
    over: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, str]:
        """What the query and the found one are called."""
        return called(self.query.parts.subject), called(self.found.parts.subject)

    @property
    def title(self) -> str:
        """The match in one line."""
        query, found = self.names
        words = f"{query} finds {found}: {_alike(self.measure, self.similarity)}"
        return words if self.place is None else f"{words}, place {self.place} of {self.among}"

    def __repr__(self) -> str:
        return f"Match({self.title})"

    def as_dict(self) -> dict[str, Any]:
        """Everything but the two explanations, as plain values."""
        query, found = self.names
        return {
            "query": query,
            "found": found,
            "similarity": self.similarity,
            "measure": self.measure,
            "place": self.place,
            "among": self.among,
            "over": list(self.over),
            "encoder": self.encoder,
        }

    def save(self, stem: str | os.PathLike[str]) -> Path:
        """Write ``STEM-query.safetensors``, ``STEM-found.safetensors`` and ``STEM.json``.

        Returns:
            The last, which `load` reads; it is written when the others are there.
        """
        stem = Path(stem)
        sides = {"query": self.query, "found": self.found}
        files = {side: f"{stem.name}-{side}.safetensors" for side in sides}
        for side, why in sides.items():
            why.save(stem.with_name(files[side]))
        manifest = stem.with_name(f"{stem.name}.json")
        write_record(manifest, {"format": FORMAT, "files": files, **self.as_dict()})
        return manifest

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Match:
        """Read what `save` wrote, by its ``.json``; nothing in the files is executed.

        Raises:
            TaskError: no such file, or no such match.
        """
        with read_record(path, FORMAT, "a match") as told:
            files = (_beside(Path(path), told["files"][side]) for side in ("query", "found"))
            query, found = (Explanation.load(file) for file in files)
            return cls(query, found, **_numbers(told))

    def plot(self, path: str | os.PathLike[str], *, target: str | int = 0) -> None:
        """Write a picture: the drawing with scored strokes, the photo with scored superpixels.

        Args:
            path: the suffix chooses the format: .png, .pdf or .svg.
            target: of several in ``over``, above which one.
        """
        from sightline.tasks.retrieval.match_pictures import plot_match

        plot_match(self, path, target=self.query.target(target))


def called(item: Item, default: str = "") -> str:
    """The name of a drawing or photo as galleries have it, for messages and targets."""
    what = "the drawing" if isinstance(item, Sketch) else "the photo"
    return name_of(item) or default or what


def _alike(measure: Measure, similarity: float) -> str:
    return f"{measure} {similarity if measure == 'cosine' else -similarity:.2f}"


def _beside(manifest: Path, name: Any) -> Path:
    return manifest.parent / safe_name(name, "it")


def _numbers(told: dict[str, Any]) -> dict[str, Any]:
    """The manifest's values, each checked for its type."""
    place, among = told["place"], told["among"]
    counted = isinstance(place, int) and isinstance(among, int)
    if told["measure"] not in MEASURES or not (counted or place is among is None):
        raise ValueError(f"measure {told['measure']!r}, place {place!r} of {among!r}")
    return {
        "similarity": float(told["similarity"]),
        "measure": told["measure"],
        "encoder": str(told["encoder"]),
        "place": place,
        "among": among,
        "over": tuple(str(name) for name in told["over"]),
    }
