"""The nearest vectors: exact, in blocks, equally near ones in the order of the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import TaskError, unknown_name
from sightline.models.encoder import MEASURES, Measure

Engine = Literal["auto", "torch", "faiss"]
ENGINES: tuple[Engine, ...] = ("auto", "torch", "faiss")

Queries = Float[Tensor, "queries dimension"]
Scores = Float[Tensor, "queries k"]

FOR_FAISS = 100_000
"""Items beyond which ``engine="auto"`` asks FAISS, where it is installed."""

CELLS = 2**22
"""Numbers that are held at once: of a block of scores, and of pairs of vectors."""

TOGETHER = 256
"""Queries that go through the gallery together."""

SHORTEST = 1e-12
"""A vector shorter than this counts as so long: nothing is divided by 0."""


@dataclass(frozen=True, eq=False)
class Found:
    """The first places of a gallery, seen from each query.

    Args:
        indices: of the items, the nearest first.
        scores: how near they are, as `similarities` tells it.
    """

    indices: Int[Tensor, "queries k"]
    scores: Scores


class Searcher:
    """Exact search in vectors.

    Convention:
        The score of a pair is computed in float64 from the two vectors alone, then rounded to
        float32, so it is the same whatever is asked beside it. A matrix product finds the
        candidates; those that its rounding could have misplaced are scored again.

        Places are counted from 1. Of equally near items a list shows each once, in the order of
        the vectors; so it is here. The place *of* one item is 1 and how many are nearer, so that
        equally near ones share the better place (`Match.place`, `RankDeletion.places`, the target
        `Rank`, which is minus how many are nearer). Where encoders are measured (`scores`,
        `match_places`), ties are counted against the query.

    Args:
        vectors: of the gallery; they may be mapped from a file.
        measure: ``"cosine"``, or ``"distance"``: minus the Euclidean distance.

    Example:
        >>> found = Searcher(torch.eye(3)).search(torch.tensor([[0.6, 0.8, 0.0]]), 2)
        >>> found.indices.tolist()
        [[1, 0]]
    """

    def __init__(
        self, vectors: Float[Tensor, "items dimension"], measure: Measure = "cosine"
    ) -> None:
        if measure not in MEASURES:
            raise TaskError(unknown_name("measure", measure, MEASURES))
        self.vectors, self.measure = vectors, measure

    def search(
        self, queries: Queries, k: int, *, engine: Engine = "auto", block: int | None = None
    ) -> Found:
        """The ``k`` nearest of each query; all, where there are fewer.

        Args:
            queries: vectors of the same encoder.
            k: how many.
            engine: ``"torch"``; ``"faiss"`` (same answers); ``"auto"``: FAISS beyond 100,000
                items where it is installed.
            block: vectors that are compared at once; by itself as memory allows.

        Raises:
            TaskError: ``k`` or ``block`` below 1, no queries, other vectors, a vector that is not
                finite, FAISS asked for but not installed.
        """
        queries = self._fit(queries)
        if k < 1:
            raise TaskError(f"k is {k}; ask for at least 1")
        k = min(k, len(self.vectors))
        if self._takes(engine) == "faiss":
            return self._by_faiss(queries, k, block)
        together = max(1, min(TOGETHER, CELLS // k))
        parts = [self._nearest(some, k, block) for some in queries.split(together)]
        return Found(
            torch.cat([part.indices for part in parts]), torch.cat([part.scores for part in parts])
        )

    @cached_property
    def lengths(self) -> Float[Tensor, " items"]:
        """Of the vectors, float64: their squares would not always fit into float32."""
        rows = max(1, CELLS // self.vectors.shape[1])
        found = torch.cat([part.double().norm(dim=1) for part in self.vectors.split(rows)])
        broken = (~found.isfinite()).nonzero()[:, 0].tolist()
        if broken:
            raise TaskError(
                f"vector {broken[0]} of the gallery is NaN or infinite ({len(broken)} of "
                f"{len(found)} are); check the encoder that made it, and index again"
            )
        return found

    @cached_property
    def _beside(self) -> Float[Tensor, " items"]:
        """What `Coarse` takes of each vector, float32."""
        by_length = self.lengths.clamp_min(SHORTEST).reciprocal()
        return (by_length if self.measure == "cosine" else self.lengths).float()

    @cached_property
    def _faiss(self) -> object:
        from sightline.tasks.retrieval.faiss_engine import FaissIndex

        return FaissIndex(self.vectors, self.lengths, self.measure)

    def _takes(self, engine: str) -> str:
        if engine not in ENGINES:
            raise TaskError(unknown_name("engine", engine, ENGINES))
        if engine != "auto":
            return engine
        from sightline.tasks.retrieval.faiss_engine import is_installed

        return "faiss" if len(self.vectors) > FOR_FAISS and is_installed() else "torch"

    def _fit(self, queries: Queries) -> Queries:
        """Where and as the gallery is, and comparable."""
        if not len(queries):
            raise TaskError("no queries: give at least one vector")
        if queries.shape[1] != self.vectors.shape[1]:
            raise TaskError(
                f"vectors of {queries.shape[1]} numbers cannot be searched in a gallery of "
                f"{self.vectors.shape[1]}; encode both with the same encoder"
            )
        if not bool(queries.isfinite().all()):
            raise TaskError("a query is NaN or infinite; check the encoder that made it")
        return queries.detach().to(self.vectors.device, torch.float32)

    def _blocks(self, queries: int, block: int | None) -> Iterator[tuple[int, int]]:
        if block is not None and block < 1:
            raise TaskError(f"block is {block}; compare at least 1 vector at once")
        rows, count = block or max(1, CELLS // queries), len(self.vectors)
        yield from ((start, min(start + rows, count)) for start in range(0, count, rows))

    def _nearest(self, queries: Queries, k: int, block: int | None) -> Found:
        coarse = Coarse(queries, self.lengths, self.measure)
        none = queries.new_empty(len(queries), 0)
        best = Found(none.long(), none)
        for start, stop in self._blocks(len(queries), block):
            near = coarse(self.vectors[start:stop].float(), self._beside[start:stop])
            row, column = _candidates(near, coarse, best, k).nonzero(as_tuple=True)
            scores = self.score(queries, row, column + start)
            best = _merged(best, row, column + start, scores, k)
        return best

    def score(
        self, queries: Queries, rows: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        """How near pairs of a query and an item are, each from its two vectors alone."""
        size = max(1, CELLS // self.vectors.shape[1])
        some = [
            _score(queries[row], self.vectors[item], self.measure)
            for row, item in zip(rows.split(size), items.split(size), strict=True)
        ]
        return torch.cat(some) if some else queries.new_empty(0)

    def _by_faiss(self, queries: Queries, k: int, block: int | None) -> Found:
        """FAISS names the candidates; where ties hide some, torch searches again."""
        from sightline.tasks.retrieval.faiss_engine import FaissIndex

        index = self._faiss
        assert isinstance(index, FaissIndex)  # noqa: S101, made above
        found, last = index.nearest(queries, k)
        rows = torch.arange(len(queries), device=queries.device).repeat_interleave(found.shape[1])
        scores = self.score(queries, rows, found.flatten())
        none = queries.new_empty(len(queries), 0)
        best = _merged(Found(none.long(), none), rows, found.flatten(), scores, k)
        coarse = Coarse(queries, self.lengths, self.measure)
        hidden = last >= coarse.at(best.scores[:, -1]) - coarse.error
        if bool(hidden.any()):
            again = self.search(queries[hidden], k, engine="torch", block=block)
            best.indices[hidden], best.scores[hidden] = again.indices, again.scores
        return best


class Coarse:
    """Scores by a matrix product, nearly right, on a scale of their own; and how nearly.

    That of cosines is the cosine; that of distances is minus the squared distance of vectors
    shrunk so that the longest has length 1.

    Args:
        queries: vectors.
        lengths: of all vectors that they are compared with.
        measure: of the scores.
    """

    def __init__(
        self, queries: Queries, lengths: Float[Tensor, " items"], measure: Measure
    ) -> None:
        own = queries.double().norm(dim=1, keepdim=True)
        self.cosine = measure == "cosine"
        longest = max(float(lengths.max()), float(own.max()), SHORTEST)
        self.scale = 1.0 if self.cosine else 1 / longest
        shrunk = queries / own.clamp_min(SHORTEST) if self.cosine else queries * self.scale
        self.queries = shrunk.float()
        self.squares = (own * self.scale).square().float()
        # a sum of d products is wrong by d roundings at most; the rest of the formula by a few
        rounding = 2 * (queries.shape[1] + 8) * _unit()
        self.error = rounding if self.cosine else 4 * rounding

    def __call__(
        self, vectors: Float[Tensor, "items dimension"], beside: Float[Tensor, " items"]
    ) -> Float[Tensor, "queries items"]:
        """Of every query with every vector; beside them 1 / length, or of distances the length."""
        # the user's autocast would round the product to 8 bits, and the bound would be none
        with torch.autocast(vectors.device.type, enabled=False):
            products = self.queries @ vectors.T
        if self.cosine:
            return products.mul_(beside)
        squares = (beside * self.scale).square()
        return products.mul_(2 * self.scale).sub_(squares).sub_(self.squares)

    def at(self, scores: Float[Tensor, " scores"]) -> Float[Tensor, " scores"]:
        """Where a true score stands on this scale."""
        return scores if self.cosine else -(scores.double() * self.scale).square().float()


def _unit() -> float:
    """The rounding of torch's matrix products: float32, unless the user has allowed less."""
    try:
        exact = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # torch refuses to say, where precisions were set in its newer way
        exact = False
    return torch.finfo(torch.float32 if exact else torch.bfloat16).eps


def _score(
    queries: Float[Tensor, "pairs dimension"],
    others: Float[Tensor, "pairs dimension"],
    measure: Measure,
) -> Float[Tensor, " pairs"]:
    a, b = queries.double(), others.double()
    if measure == "distance":
        return (0 - (a - b).square().sum(1).sqrt()).float()
    lengths = [x.square().sum(1).sqrt().clamp_min(SHORTEST) for x in (a, b)]
    return ((a * b).sum(1) / (lengths[0] * lengths[1])).float()


def _candidates(
    near: Float[Tensor, "queries items"], coarse: Coarse, best: Found, k: int
) -> Bool[Tensor, "queries items"]:
    """Which can be among the k best of all, though the product may be wrong."""
    if best.scores.shape[1] == k:
        chosen = near >= coarse.at(best.scores[:, -1])[:, None] - coarse.error
        if int(chosen.sum()) <= 4 * k * len(near):
            return chosen
    else:
        chosen = torch.ones_like(near, dtype=torch.bool)
    if near.shape[1] > k:
        # the block's own k best are k that the rest must beat
        chosen &= near >= near.topk(k).values[:, -1:] - 2 * coarse.error
    return chosen


def _merged(
    best: Found,
    row: Int[Tensor, " pairs"],
    item: Int[Tensor, " pairs"],
    score: Float[Tensor, " pairs"],
    k: int,
) -> Found:
    """The k best of each query: by score, then by index."""
    queries, had = best.scores.shape
    if not len(row):
        return best
    known = torch.arange(queries, device=row.device).repeat_interleave(had)
    row, item = torch.cat([known, row]), torch.cat([best.indices.flatten(), item])
    score = torch.cat([best.scores.flatten(), score])
    order = item.argsort(stable=True)
    order = order[score[order].argsort(descending=True, stable=True)]
    order = order[row[order].argsort(stable=True)]
    row = row[order]
    place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    kept = order[place < k]
    return Found(item[kept].view(queries, -1), score[kept].view(queries, -1))
