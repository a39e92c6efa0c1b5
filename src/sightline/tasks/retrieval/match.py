"""A match with both of its explanations: kept, read again, drawn."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.errors import PhotoError, SightlineError, TaskError, first_line
from sightline.explanation import Explanation
from sightline.image.coco import safe_name
from sightline.models.encoder import MEASURES, Measure
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch

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
        rank: place of the found one in the gallery, from 1; ``among`` how many stand there. None
            where no gallery was given.
        over: names of those that it stands above.
    """

    query: Explanation
    found: Explanation
    similarity: float
    measure: Measure
    encoder: str
    rank: int | None = None
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
        return words if self.rank is None else f"{words}, place {self.rank} of {self.among}"

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
            "rank": self.rank,
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
        told = {"format": FORMAT, "files": files, **self.as_dict()}
        with replace_file(manifest) as stream:
            stream.write(json.dumps(told, indent=1).encode())
        return manifest

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Match:
        """Read what `save` wrote, by its ``.json``; nothing in the files is executed.

        Raises:
            TaskError: no such file, or no such match.
        """
        path = Path(path)
        if not path.is_file():
            raise TaskError(f"{path} does not exist; give the .json that Match.save wrote")
        try:
            told = json.loads(path.read_bytes())
            if told["format"] != FORMAT:
                raise TaskError(f"{path} is not a match of this version ({FORMAT})")
            query, found = (
                Explanation.load(_beside(path, told["files"][side])) for side in ("query", "found")
            )
            return cls(query, found, **_numbers(told))
        except (AttributeError, KeyError, TypeError, ValueError, PhotoError) as error:
            if isinstance(error, SightlineError) and not isinstance(error, PhotoError):
                raise
            raise TaskError(f"{path} is no match, or damaged: {first_line(error)}") from None

    def plot(self, path: str | os.PathLike[str], *, target: str | int = 0) -> None:
        """Write a picture: the drawing with scored strokes, the photo with scored superpixels.

        Args:
            path: the suffix chooses the format: .png, .pdf or .svg.
            target: of several in ``over``, above which one.
        """
        from sightline.tasks.retrieval.match_pictures import plot_match

        plot_match(self, path, target=self.query.target(target))


def called(item: object, default: str = "") -> str:
    """The name of a drawing or photo, for messages and targets."""
    what = "the drawing" if isinstance(item, Sketch) else "the photo"
    return getattr(item, "name", None) or default or what


def _alike(measure: Measure, similarity: float) -> str:
    return f"{measure} {similarity if measure == 'cosine' else -similarity:.2f}"


def _beside(manifest: Path, name: Any) -> Path:
    return manifest.parent / safe_name(name, str(manifest))


def _numbers(told: dict[str, Any]) -> dict[str, Any]:
    """The manifest's values, each checked for its type."""
    rank, among = told["rank"], told["among"]
    counted = isinstance(rank, int) and isinstance(among, int)
    if told["measure"] not in MEASURES or not (counted or rank is among is None):
        raise ValueError(f"measure {told['measure']!r}, place {rank!r} of {among!r}")
    return {
        "similarity": float(told["similarity"]),
        "measure": told["measure"],
        "encoder": str(told["encoder"]),
        "rank": rank,
        "among": among,
        "over": tuple(str(name) for name in told["over"]),
    }
