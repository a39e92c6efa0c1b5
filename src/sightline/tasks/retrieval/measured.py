"""Queries against a gallery: what is relevant to each, and how well it is found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import TaskError, unknown_name
from sightline.models.encoder import Encoder, Item
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.gallery_sources import File, files_of, name_of
from sightline.tasks.retrieval.scores import Relevance, RetrievalScores, relevance_in_order

By = Literal["auto", "label", "instance"]
BYS: tuple[By, ...] = ("auto", "label", "instance")
CELLS = 2**23
"""Scores that are held at once."""

ALIKE = 1e-3
"""Of the longer of two vectors: no further apart are two readings of the same item."""

Items = Int[np.ndarray, " _"]

_NUMBERED = re.compile(r"(.+)[-_]\d+")


def measure_retrieval(
    gallery: Gallery,
    encoder: Encoder,
    queries: Sequence[Item],
    *,
    by: By = "auto",
    labels: Sequence[str | None] | None = None,
    files: Sequence[File | None] | None = None,
    at: Sequence[int] = (1, 5, 10),
    seed: int = 0,
) -> RetrievalScores:
    """Score how well queries find what they are of.

    Convention:
        Relevant is the same label, or the same instance: a query named ``lamp-17`` is of the
        instance ``lamp-17``, and so are ``lamp-17-2`` and ``lamp-17_2`` where nothing is called
        so; where both have labels, these agree too. A query that stands in the gallery itself
        does not find itself: that item is left out. It is the same file, or has the same name,
        kind and label and nearly the same vector. Ties are counted against the query. Where an
        instance has several queries, intervals count instances.

    Args:
        gallery: that is searched.
        encoder: that made it.
        queries: drawings or photos.
        by: ``"label"``, ``"instance"``, or ``"auto"``: instances, where any query has one.
        labels: of the queries; by default their own.
        files: that the queries come from, as `files_of` tells them, where they come from files.
        at: the k of the accuracies.
        seed: of the resampling.

    Raises:
        TaskError: another encoder, or no query with anything relevant.
    """
    _refuse_unknown(by)
    gallery.check(encoder)
    none = [None] * len(queries)
    own = labels if labels is not None else [getattr(query, "label", None) for query in queries]
    asked = [
        Query(name_of(query), label, isinstance(query, Sketch), file)
        for query, label, file in zip(queries, own, files or none, strict=True)
    ]
    vectors = encoder.encode(queries) if len(queries) else gallery.vectors[:0]
    return measure_vectors(gallery, vectors, asked, by=by, at=at, seed=seed)


class Query(NamedTuple):
    """What is known of a query: its name and label, whether it is drawn, where it comes from."""

    name: str
    label: str | None
    drawn: bool
    file: File | None = None


def measure_vectors(
    gallery: Gallery,
    vectors: Float[Tensor, "queries dimension"],
    asked: Sequence[Query],
    *,
    by: By = "auto",
    at: Sequence[int] = (1, 5, 10),
    seed: int = 0,
) -> RetrievalScores:
    """`measure_retrieval` of queries that the gallery's encoder has read already.

    Raises:
        TaskError: no query with anything relevant.
    """
    _refuse_unknown(by)
    known = _Known.of(gallery)
    itself = [known.itself(*each) for each in zip(asked, vectors, strict=True)]
    pairs = list(zip(asked, itself, strict=True))
    same = _chosen(known, pairs) if by == "auto" else by
    wanted = [known.relevant(query, same, own) for query, own in pairs]
    kept = [i for i, found in enumerate(wanted) if len(found)]
    if not kept:
        raise TaskError(_nothing_relevant(len(asked), len(gallery), same))
    return RetrievalScores.of(
        _relevance(gallery, vectors[kept], [wanted[i] for i in kept], [itself[i] for i in kept]),
        at=at,
        groups=[known.group(asked[i]) or i for i in kept],
        by=same,
        gallery=len(gallery),
        unmatched=len(asked) - len(kept),
        seed=seed,
        encoder=gallery.encoder,
        fingerprint=gallery.fingerprint,
    )


@dataclass(frozen=True, eq=False)
class _Known:
    """Items of a gallery by their labels, their instances, and themselves."""

    vectors: Float[Tensor, "items dimension"]
    labels: Mapping[str, list[int]]
    instances: Mapping[str, list[tuple[int, str | None]]]
    names: Mapping[tuple[str, bool], list[tuple[int, str | None]]]
    files: Mapping[File, int]

    @classmethod
    def of(cls, gallery: Gallery) -> _Known:
        files = files_of(gallery.roots, gallery.items)
        places = {file: index for index, file in enumerate(files) if file is not None}
        known = cls(
            gallery.vectors, defaultdict(list), defaultdict(list), defaultdict(list), places
        )
        for index, item in enumerate(gallery.items):
            if item.label is not None:
                known.labels[item.label].append(index)
            if item.instance is not None:
                known.instances[item.instance].append((index, item.label))
            drawn = gallery.roots[item.root].kind == "drawings"
            known.names[item.name, drawn].append((index, item.label))
        return known

    def instance(self, query: Query) -> str | None:
        """The name itself; or ``lamp-17`` of ``lamp-17-2``, where nothing is called so."""
        numbered = _NUMBERED.fullmatch(query.name)
        for name in (query.name, numbered[1] if numbered else None):
            if name in self.instances:
                return name
        return None

    def group(self, query: Query) -> tuple[str, str | None] | None:
        """What queries of the same instance share; None of a query of no instance."""
        instance = self.instance(query)
        return None if instance is None else (instance, query.label)

    def relevant(self, query: Query, by: str, itself: Items) -> Items:
        """Indices, without the query's own."""
        if by == "label":
            found = self.labels.get(query.label or "", [])
        else:
            same = self.instances.get(self.instance(query) or "", [])
            found = [i for i, label in same if _agree(label, query.label)]
        return np.setdiff1d(np.array(found, np.int64), itself)

    def itself(self, query: Query, vector: Float[Tensor, " dimension"]) -> Items:
        """Where the query stands in the gallery: its file, or what is called and seen as it is."""
        named = self.names.get((query.name, query.drawn), []) if query.name else []
        own = {
            i
            for i, label in named
            if _agree(label, query.label) and _nearly_equal(self.vectors[i], vector)
        }
        if query.file is not None and query.file in self.files:
            own.add(self.files[query.file])
        return np.array(sorted(own), np.int64)


def _agree(label: str | None, other: str | None) -> bool:
    return None in (label, other) or label == other


def _nearly_equal(vector: Float[Tensor, " dimension"], other: Float[Tensor, " dimension"]) -> bool:
    """The same item, read in two batches or on two devices: equal but for rounding."""
    a, b = vector.double().cpu(), other.double().cpu()
    return bool(torch.dist(a, b) <= ALIKE * max(a.norm(), b.norm()))


def _refuse_unknown(by: str) -> None:
    if by not in BYS:
        raise TaskError(unknown_name("by", by, BYS))


def _chosen(known: _Known, asked: Sequence[tuple[Query, Items]]) -> Literal["label", "instance"]:
    paired = any(len(known.relevant(query, "instance", own)) for query, own in asked)
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
