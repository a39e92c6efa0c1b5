"""FAISS as the finder of candidates in large galleries."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import TaskError
from sightline.models.encoder import Measure

AT_ONCE = 65_536
SPARE = 16
"""Candidates beyond k, so that rounding at the last place rarely needs a second search."""

SHORTEST = 1e-12


def is_installed() -> bool:
    """Whether FAISS can be imported."""
    return find_spec("faiss") is not None


class FaissIndex:
    """An exact (flat) index of FAISS, which holds its own copy of the vectors.

    Args:
        vectors: of the gallery; read a block at a time.
        lengths: of them.
        measure: ``"cosine"``: inner products of vectors of length 1; or ``"distance"``: squared
            distances of vectors shrunk so that the longest has length 1.

    Raises:
        TaskError: FAISS is not installed.
    """

    def __init__(
        self,
        vectors: Float[Tensor, "items dimension"],
        lengths: Float[Tensor, " items"],
        measure: Measure,
    ) -> None:
        faiss = _faiss()
        dimension = vectors.shape[1]
        self.cosine = measure == "cosine"
        self.longest = max(float(lengths.max()), SHORTEST)
        self._index: Any = (faiss.IndexFlatIP if self.cosine else faiss.IndexFlatL2)(dimension)
        for some, long in zip(vectors.split(AT_ONCE), lengths.split(AT_ONCE), strict=True):
            self._index.add(self._shrunk(some, long))

    def nearest(
        self, queries: Float[Tensor, "queries dimension"], k: int
    ) -> tuple[Int[Tensor, "queries candidates"], Float[Tensor, " queries"]]:
        """A few more candidates than k, in no order that counts.

        Returns:
            Their indices; and how near an item that is none of them can be, on the scale of
            `Coarse`: minus infinity where all are candidates.
        """
        items = int(self._index.ntotal)
        count = min(items, k + SPARE)
        lengths = queries.double().norm(dim=1)
        near, found = self._index.search(self._shrunk(queries, lengths), count)
        last = torch.from_numpy(near[:, -1]) if count < items else torch.tensor(-torch.inf)
        last = last.expand(len(queries)) if self.cosine or count == items else -last
        if not self.cosine:
            # `Coarse` shrinks by the longest of gallery and queries
            last = last * (self.longest / max(self.longest, float(lengths.max()))) ** 2
        return torch.from_numpy(found).to(queries.device), last.to(queries.device)

    def _shrunk(
        self, vectors: Float[Tensor, "rows dimension"], lengths: Float[Tensor, " rows"]
    ) -> Float[np.ndarray, "rows dimension"]:
        by = lengths.clamp_min(SHORTEST)[:, None] if self.cosine else self.longest
        return np.ascontiguousarray((vectors / by).float().cpu().numpy())


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise TaskError(
            "FAISS is not installed: python -m pip install 'sightline[retrieval]'; or search with "
            "engine='torch', which gives the same answers"
        ) from error
