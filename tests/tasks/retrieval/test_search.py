import math
import sys
import types

import numpy as np
import pytest
import torch

from sightline.errors import TaskError
from sightline.models.encoder import similarities
from sightline.tasks.retrieval import faiss_engine, search
from sightline.tasks.retrieval.search import Coarse, Searcher

MEASURES = ("cosine", "distance")


def luck(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alike(query, vector, measure: str) -> float:
    """The definition, in plain float64."""
    a, b = query.double().tolist(), vector.double().tolist()
    if measure == "distance":
        return -math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    long = [math.sqrt(sum(x * x for x in v)) for v in (a, b)]
    return sum(x * y for x, y in zip(a, b, strict=True)) / (long[0] * long[1])


def sorted_all(queries, vectors, measure: str) -> list[list[int]]:
    """A full sort by score, then by index."""
    rows = []
    for query in queries:
        scores = [np.float32(alike(query, vector, measure)) for vector in vectors]
        rows.append(sorted(range(len(vectors)), key=lambda i: (-scores[i], i)))
    return rows


def tied() -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of small whole numbers: many equal ones, many equally near ones."""
    vectors = torch.randint(-2, 3, (150, 3), generator=luck(1)).float()
    vectors[vectors.abs().sum(1) == 0] = torch.tensor([1.0, 0.0, 0.0])
    return vectors, torch.randint(1, 4, (7, 3), generator=luck(2)).float()


def random() -> tuple[torch.Tensor, torch.Tensor]:
    vectors = torch.randn(150, 6, generator=luck(3))
    return vectors, torch.cat([torch.randn(6, 6, generator=luck(4)), vectors[40:41]])


# --- by hand --------------------------------------------------------------------------------------


def test_three_places_by_hand():
    vectors = torch.tensor([[0.0, 2.0], [3.0, 4.0], [5.0, 0.0]])
    query = torch.tensor([[1.0, 0.0]])
    by_angle = Searcher(vectors, "cosine").search(query, 3)
    assert by_angle.indices.tolist() == [[2, 1, 0]]
    np.testing.assert_allclose(by_angle.scores[0], [1, 0.6, 0], atol=1e-7)
    near = Searcher(vectors, "distance").search(query, 2)
    assert near.indices.tolist() == [[0, 2]]
    np.testing.assert_allclose(near.scores[0], [-math.sqrt(5), -4], rtol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("block", [1, 2, 5, None])
def test_equal_vectors_stand_in_their_order(measure, block):
    vectors = torch.tensor([[1.0, 2.0], [0.3, 0.1], [0.3, 0.1], [0.3, 0.1], [5.0, 5.0]])
    found = Searcher(vectors, measure).search(torch.tensor([[0.3, 0.1]]), 3, block=block)
    assert found.indices.tolist() == [[1, 2, 3]]
    assert found.scores.tolist() == [[1.0] * 3 if measure == "cosine" else [0.0] * 3]


# --- the oracle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", [tied, random])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_any_block_gives_the_full_sort(measure, case, k):
    vectors, queries = case()
    truth = sorted_all(queries, vectors, measure)
    first = None
    for block in (1, 3, 64, 150, None):
        found = Searcher(vectors, measure).search(queries, k, block=block)
        assert found.indices.tolist() == [row[:k] for row in truth]
        first = found.scores if first is None else first
        assert torch.equal(found.scores, first)
    alone = [Searcher(vectors, measure).search(query[None], k).indices for query in queries]
    assert torch.equal(torch.cat(alone), torch.tensor(truth)[:, :k])


@pytest.mark.parametrize("measure", MEASURES)
def test_scores_are_those_of_similarities(measure):
    vectors, queries = random()
    found = Searcher(vectors, measure).search(queries, 5)
    plain = similarities(queries, vectors, measure).gather(1, found.indices)
    torch.testing.assert_close(found.scores, plain, atol=2e-6, rtol=0)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e15, 1e30])
def test_lengths_do_not_matter_where_they_should_not(measure, scale):
    vectors, queries = random()
    found = Searcher(scale * vectors, measure).search(scale * queries, 4, block=32)
    assert torch.equal(found.indices, Searcher(vectors, measure).search(queries, 4).indices)


def test_a_vector_of_zeros_is_at_right_angles_to_all():
    vectors = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    found = Searcher(vectors).search(torch.tensor([[2.0, 0.0]]), 3)
    assert found.indices.tolist() == [[2, 0, 1]]
    assert found.scores.tolist() == [[1.0, 0.0, -1.0]]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_product_is_as_nearly_right_as_it_says(measure):
    vectors = torch.randn(500, 64, generator=luck(5)) * torch.rand(500, 1, generator=luck(6))
    queries, searcher = torch.randn(9, 64, generator=luck(7)), Searcher(vectors, measure)
    coarse = Coarse(queries, searcher.lengths, measure)
    exact = [[alike(query, vector, measure) for vector in vectors] for query in queries]
    true = coarse.at(torch.tensor(exact).flatten()).view(9, 500)
    wrong = coarse(vectors, searcher._beside).double() - true.double()
    assert 0 < wrong.abs().max() < coarse.error


@pytest.mark.parametrize("measure", MEASURES)
def test_all_equal_vectors_fit_into_memory_and_stay_in_order(measure, monkeypatch):
    monkeypatch.setattr(search, "CELLS", 512)
    found = Searcher(torch.ones(5000, 4), measure).search(torch.ones(3, 4), 7)
    assert found.indices.tolist() == [list(range(7))] * 3


def test_vectors_of_a_mapped_file_and_of_half_precision(tmp_path):
    vectors, queries = random()
    np.save(tmp_path / "vectors.npy", vectors.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "vectors.npy", mmap_mode="c"))
    truth = Searcher(vectors).search(queries, 9)
    assert torch.equal(Searcher(mapped).search(queries, 9).indices, truth.indices)
    half = Searcher(vectors.half()).search(queries.half(), 9)
    own = Searcher(vectors.half().float()).search(queries.half().float(), 9)
    assert torch.equal(half.indices, own.indices)


def test_queries_keep_their_gradients_to_themselves():
    vectors, queries = random()
    asked = queries.clone().requires_grad_()
    assert not Searcher(vectors).search(asked, 2).scores.requires_grad
    assert asked.grad is None


@pytest.mark.parametrize("measure", MEASURES)
def test_autocast_of_the_caller_changes_nothing(measure):
    vectors, queries = (
        torch.randn(500, 64, generator=luck(8)),
        torch.randn(9, 64, generator=luck(9)),
    )
    vectors = 1 + 0.02 * vectors
    truth = Searcher(vectors, measure).search(queries, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Searcher(vectors, measure).search(queries, 20, block=100)
    assert torch.equal(found.indices, truth.indices)
    assert torch.equal(found.scores, truth.scores)


def test_where_torch_does_not_tell_its_precision_the_bound_is_wide(monkeypatch):
    def refuses() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    exact = Coarse(torch.ones(1, 4), torch.ones(1), "cosine").error
    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuses)
    assert Coarse(torch.ones(1, 4), torch.ones(1), "cosine").error == exact * 2**16
    vectors, queries = random()
    assert Searcher(vectors).search(queries, 3).indices.tolist() == [
        row[:3] for row in sorted_all(queries, vectors, "cosine")
    ]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_broken_vector_of_the_gallery_is_named(measure, value):
    vectors, queries = random()
    vectors[[7, 90], 2] = value
    with pytest.raises(TaskError, match=r"vector 7 of the gallery is NaN .*\(2 of 150 are\)"):
        Searcher(vectors, measure).search(queries, 4)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "given", "words"),
    [
        (torch.ones(1, 6), {"k": 0}, "k is 0; ask for at least 1"),
        (torch.ones(1, 6), {"k": 1, "block": 0}, "block is 0; compare at least 1"),
        (torch.ones(1, 5), {"k": 1}, "vectors of 5 numbers cannot be searched in a gallery of 6"),
        (torch.full((1, 6), torch.nan), {"k": 1}, "a query is NaN or infinite"),
        (torch.ones(0, 6), {"k": 1}, "no queries: give at least one vector"),
        (torch.ones(1, 6), {"k": 1, "engine": "fais"}, "unknown engine 'fais'; did you mean"),
    ],
)
def test_refusals(queries, given, words):
    searcher = Searcher(random()[0])
    # other words than the signature allows are refused by us, where shapes are not checked
    call = getattr(Searcher.search, "__wrapped__", Searcher.search)
    with pytest.raises(TaskError, match=words):
        call(searcher, queries, **given)


# --- FAISS ----------------------------------------------------------------------------------------


class _Flat:
    """An exact index that loves the last of equals, as FAISS may."""

    def __init__(self, dimension: int) -> None:
        self.rows = np.empty((0, dimension), np.float32)

    @property
    def ntotal(self) -> int:
        return len(self.rows)

    def add(self, rows) -> None:
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        self.rows = np.concatenate([self.rows, rows])

    def search(self, queries, count):
        near = self.near(queries)
        order = np.argsort(-near[:, ::-1], axis=1, kind="stable")[:, :count]
        order = near.shape[1] - 1 - order
        sign = -1 if isinstance(self, _FlatL2) else 1
        return sign * np.take_along_axis(near, order, 1), order


class _FlatIP(_Flat):
    def near(self, queries):
        return queries @ self.rows.T


class _FlatL2(_Flat):
    def near(self, queries):
        return -((queries[:, None] - self.rows[None]) ** 2).sum(2)


@pytest.fixture(params=["stub", "faiss"])
def faiss(request, monkeypatch):
    if request.param == "faiss":
        pytest.importorskip("faiss")
        return
    stub = types.ModuleType("faiss")
    stub.IndexFlatIP, stub.IndexFlatL2 = _FlatIP, _FlatL2
    monkeypatch.setitem(sys.modules, "faiss", stub)


@pytest.mark.usefixtures("faiss")
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", [tied, random])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_faiss_gives_the_same_answers_in_the_same_order(measure, case, k):
    vectors, queries = case()
    searcher = Searcher(vectors, measure)
    ours, theirs = (searcher.search(queries, k, engine=e) for e in ("torch", "faiss"))
    assert torch.equal(ours.indices, theirs.indices)
    assert torch.equal(ours.scores, theirs.scores)


@pytest.mark.usefixtures("faiss")
@pytest.mark.parametrize("measure", MEASURES)
def test_ties_beyond_what_faiss_names_are_searched_again(measure):
    vectors = torch.ones(100, 4)
    found = Searcher(vectors, measure).search(4 * torch.ones(2, 4), 5, engine="faiss")
    assert found.indices.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_faiss_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(TaskError, match=r"sightline\[retrieval\]'; or search with engine='torch'"):
        Searcher(random()[0]).search(random()[1], 1, engine="faiss")


def test_auto_asks_faiss_only_of_large_galleries(monkeypatch):
    asked = []
    monkeypatch.setattr(faiss_engine, "is_installed", lambda: True)
    monkeypatch.setattr(Searcher, "_by_faiss", lambda self, *_: asked.append(len(self.vectors)))
    monkeypatch.setattr(search, "FOR_FAISS", 100)
    vectors, queries = random()
    monkeypatch.setattr(
        Searcher, "search", getattr(Searcher.search, "__wrapped__", Searcher.search)
    )
    assert Searcher(vectors[:100]).search(queries, 1) is not None
    Searcher(vectors[:101]).search(queries, 1)
    monkeypatch.setattr(faiss_engine, "is_installed", lambda: False)
    assert Searcher(vectors).search(queries, 1) is not None
    assert asked == [101]
