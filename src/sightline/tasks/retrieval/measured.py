"""Queries against a gallery: what is relevant to each, and how well it is found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import TaskError, unknown_name
from sightline.image.photo import Photo
from sightline.models.encoder import Encoder
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.gallery_sources import Item, name_of
from sightline.tasks.retrieval.scores import Relevance, RetrievalScores, relevance_in_order

By = Literal["auto", "label", "instance"]
BYS: tuple[By, ...] = ("auto", "label", "instance")
CELLS = 2**23
"""Scores that are held at once."""

Items = Int[np.ndarray, " _"]

_NUMBERED = re.compile(r"(.+)[-_]\d+")


def measure_retrieval(
    gallery: Gallery,
    encoder: Encoder,
    queries: Sequence[Photo] | Sequence[Sketch],
    *,
    by: By = "auto",
    labels: Sequence[str | None] | None = None,
    at: Sequence[int] = (1, 5, 10),
    seed: int = 0,
) -> RetrievalScores:
    """Score how well queries find what they are of.

    Convention:
        Relevant is the same label, or the same instance: a query named ``lamp-17-2``,
        ``lamp-17_2`` or ``lamp-17`` is of the instance ``lamp-17``; where both have labels, these
        agree too. A query that stands in the gallery itself (the same name, both drawings or both
        photos) does not find itself: that item is left out. Ties are counted against the query.

    Args:
        gallery: that is searched.
        encoder: that made it.
        queries: drawings or photos.
        by: ``"label"``, ``"instance"``, or ``"auto"``: instances, where any query has one.
        labels: of the queries; by default their own.
        at: the k of the accuracies.
        seed: of the resampling.

    Raises:
        TaskError: another encoder, or no query with anything relevant.
    """
    if by not in BYS:
        raise TaskError(unknown_name("by", by, BYS))
    gallery.check(encoder)
    own = labels if labels is not None else [getattr(query, "label", None) for query in queries]
    known, given = _Known.of(gallery), cast("Sequence[Item]", queries)
    asked = [
        _Query(name_of(query), label, isinstance(query, Sketch))
        for query, label in zip(given, own, strict=True)
    ]
    same = _chosen(known, asked) if by == "auto" else by
    wanted = [known.relevant(query, same) for query in asked]
    kept = [i for i, found in enumerate(wanted) if len(found)]
    if not kept:
        raise TaskError(_nothing_relevant(len(queries), len(gallery), same))
    vectors = encoder.encode([queries[i] for i in kept])  # type: ignore[arg-type]
    left_out = [known.itself(asked[i]) for i in kept]
    return RetrievalScores.of(
        _relevance(gallery, vectors, [wanted[i] for i in kept], left_out),
        at=at,
        by=same,
        gallery=len(gallery),
        unmatched=len(queries) - len(kept),
        seed=seed,
        encoder=gallery.encoder,
        fingerprint=gallery.fingerprint,
    )


class _Query(NamedTuple):
    name: str
    label: str | None
    drawn: bool


@dataclass(frozen=True, eq=False)
class _Known:
    """Items of a gallery by their labels, their instances, and themselves."""

    labels: Mapping[str, list[int]]
    instances: Mapping[str, list[tuple[int, str | None]]]
    themselves: Mapping[tuple[str, bool], list[int]]

    @classmethod
    def of(cls, gallery: Gallery) -> _Known:
        known = cls(defaultdict(list), defaultdict(list), defaultdict(list))
        for index, item in enumerate(gallery.items):
            if item.label is not None:
                known.labels[item.label].append(index)
            if item.instance is not None:
                known.instances[item.instance].append((index, item.label))
            drawn = gallery.roots[item.root].kind == "drawings"
            known.themselves[item.name, drawn].append(index)
        return known

    def instance(self, query: _Query) -> str | None:
        """``lamp-17`` of ``lamp-17-2``; or the name itself."""
        numbered = _NUMBERED.fullmatch(query.name)
        for name in (numbered[1] if numbered else None, query.name):
            if name in self.instances:
                return name
        return None

    def relevant(self, query: _Query, by: str) -> Items:
        """Indices, without the query's own."""
        if by == "label":
            found = self.labels.get(query.label or "", [])
        else:
            same = self.instances.get(self.instance(query) or "", [])
            found = [i for i, label in same if None in (label, query.label) or label == query.label]
        return np.setdiff1d(np.array(found, np.int64), self.itself(query))

    def itself(self, query: _Query) -> Items:
        """Where the query stands in the gallery."""
        own = self.themselves.get((query.name, query.drawn), []) if query.name else []
        return np.array(own, np.int64)


def _chosen(known: _Known, asked: Sequence[_Query]) -> Literal["label", "instance"]:
    paired = any(len(known.relevant(query, "instance")) for query in asked)
    return "instance" if paired else "label"


def _relevance(
    gallery: Gallery,
    vectors: Float[Tensor, "queries dimension"],
    wanted: Sequence[Items],
    left_out: Sequence[Items],
) -> Iterator[Relevance]:
    """Of each query; some of them at once, since each has a score for every item."""
    size = max(1, CELLS // len(gallery))
    for start in range(0, len(vectors), size):
        found = gallery.search(vectors[start : start + size], len(gallery), engine="torch")
        order, scores = found.indices.cpu().numpy(), found.scores.cpu().numpy()
        for row in range(len(order)):
            relevant = np.isin(order[row], wanted[start + row])
            asked = ~np.isin(order[row], left_out[start + row])
            yield relevance_in_order(scores[row][asked], relevant[asked])


def _nothing_relevant(queries: int, items: int, by: str) -> str:
    cure = (
        "queries and items need labels that agree"
        if by == "label"
        else "a query is named as its item is, or so with a number: lamp-17-2 or lamp-17_2 of "
        "lamp-17"
    )
    return f"none of {queries} queries has the {by} of any of {items} items; {cure}"
