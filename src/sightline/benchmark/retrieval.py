"""The study of retrieval: is the match explained truly, on both sides, and do early strokes count?

Fine-grained retrieval is asked of generated pairs, where it is known which pixels of the photo a
stroke draws; category retrieval of real drawings. There are no real sketch-photo pairs here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sightline.benchmark.records import Record, Records, Tell, collection_digest
from sightline.errors import TaskError
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.methods import explain
from sightline.models.encoder import Encoder
from sightline.parts import Absent, Strokes, Superpixels
from sightline.scenes.pairs import TEST, Pair, pair_set
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.luck import digest, seed_of
from sightline.sketch.sketch import Sketch
from sightline.targets import Similarity
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.measured import measure_retrieval
from sightline.tasks.retrieval.rank_deletion import by_length, by_order, rank_deletions
from sightline.tasks.retrieval.scores import RetrievalScores

METHODS = ("shapley", "sla", "integrated_gradients", "occlusion", "random")
ABSENT_METHODS: tuple[tuple[Absent, str], ...] = (
    ("mean", "kernel_shap"),
    ("grey", "kernel_shap"),
    ("blur", "kernel_shap"),
    ("mean", "integrated_gradients"),
    ("mean", "sla"),
    ("mean", "random"),
)
"""What stands in for absent superpixels, and what scores them."""


@dataclass(frozen=True)
class RetrievalSettings:
    """What is run.

    Args:
        gallery: photos of generated pairs, each of another instance; all their drawings query it.
        first_seed: of these pairs; encoders must not have been trained on them.
        queries: drawings whose strokes are explained, the first with few enough strokes.
        photos: of these, whose photo is explained too.
        strokes: fewest and most strokes of an explained drawing: 2^n sets of strokes are asked.
        superpixels: of a photo; budget: evaluations of Kernel SHAP on them.
        categories: gallery drawings a category, where categories are searched.
        seed: of the choice of drawings and of the methods.

    Raises:
        TaskError: numbers that make no study.
    """

    gallery: int = 500
    first_seed: int = TEST
    queries: int = 200
    photos: int = 100
    strokes: tuple[int, int] = (3, 10)
    superpixels: int = 64
    budget: int = 400
    categories: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        fewest, most = self.strokes
        if not 2 <= fewest <= most <= 12 or min(self.gallery, self.queries, self.categories) < 2:
            raise TaskError(
                f"strokes {fewest} to {most}, gallery {self.gallery}, queries {self.queries}, "
                f"categories {self.categories}; give 2 to 12 strokes, and at least 2 of the others"
            )


@dataclass(frozen=True, eq=False)
class Studied:
    """One encoder's part of the study.

    Args:
        name: of the encoder, and what it searched.
        scores: how well all queries find what they are of.
        records: of the explained drawings.
        settings: what was run.
    """

    name: str
    scores: RetrievalScores
    records: Sequence[Record]
    settings: RetrievalSettings


def study_pairs(
    encoder: Encoder, out: Path, settings: RetrievalSettings, *, tell: Tell | None = None
) -> Studied:
    """Fine-grained retrieval: the one photo of 500 that a drawing was made of.

    Args:
        encoder: reads drawings and photos, trained on other pairs.
        out: folder of the records; what is there is not computed again.
        settings: what is run.
        tell: hears how far it is.

    Raises:
        TaskError: ``out`` holds a study of other settings, or no drawing has few enough strokes.
    """
    pairs = list(pair_set(settings.gallery, seed=settings.first_seed))
    gallery = Gallery.of(encoder, [pair.photo for pair in pairs])
    queries = [pair.sketch for pair in pairs]
    scores = measure_retrieval(gallery, encoder, queries, by="instance", seed=settings.seed)
    chosen = _chosen(queries, settings)

    def record(step: Mapping[str, int]) -> Record:
        place = step["query"]
        index = chosen[place]
        pair = pairs[index]
        found = _strokes(encoder, pair.sketch, gallery.vectors, index, settings)
        if place < settings.photos:
            found["photo"] = _photo(encoder, pair, settings)
        return found

    records = Records(out / "pairs.jsonl", _told(encoder, settings))
    done = records.complete(_plan(chosen), record, tell)
    return Studied("pairs", scores, done, settings)


def study_categories(
    encoder: Encoder,
    splits: Mapping[str, Sequence[Sketch]],
    out: Path,
    settings: RetrievalSettings,
    *,
    tell: Tell | None = None,
) -> Studied:
    """Category retrieval: drawings of the same category, among drawings.

    Strokes are explained by the similarity to the mean vector of their category in the gallery,
    and deletion follows the place of that category among all.

    Args:
        encoder: reads drawings.
        splits: labelled drawings; ``"train"`` gives the gallery, ``"test"`` the queries.
        out: folder of the records.
        settings: what is run.
        tell: hears how far it is.

    Raises:
        TaskError: as `study_pairs`.
    """
    shown = _of_each_label(splits["train"], settings.categories, settings.seed)
    gallery = Gallery.of(encoder, shown)
    queries = list(splits["test"])
    scores = measure_retrieval(gallery, encoder, queries, by="label", seed=settings.seed)
    labels = sorted({str(sketch.label) for sketch in shown})
    means = _means(gallery.vectors, [str(sketch.label) for sketch in shown], labels)
    asked = _in_turns(queries, settings.seed)
    chosen = [asked[i] for i in _chosen(asked, settings)]

    def record(step: Mapping[str, int]) -> Record:
        sketch = chosen[step["query"]]
        return _strokes(encoder, sketch, means, labels.index(str(sketch.label)), settings)

    path = out / f"categories-{encoder.name or 'encoder'}.jsonl"
    collection = collection_digest([*shown, *queries])
    records = Records(path, _told(encoder, settings) | {"collection": collection})
    done = records.complete(_plan(chosen), record, tell)
    return Studied(encoder.name, scores, done, settings)


def _told(encoder: Encoder, settings: RetrievalSettings) -> Record:
    return asdict(settings) | {"encoder": encoder.fingerprint}


def _plan(chosen: Sequence[Any]) -> list[dict[str, int]]:
    return [{"query": place} for place in range(len(chosen))]


def _chosen(sketches: Sequence[Sketch], settings: RetrievalSettings) -> list[int]:
    """The first drawings of few enough strokes."""
    fewest, most = settings.strokes
    fit = [i for i, sketch in enumerate(sketches) if fewest <= len(sketch) <= most]
    if not fit:
        raise TaskError(f"no query has {fewest} to {most} strokes; allow others")
    return fit[: settings.queries]


def _strokes(
    encoder: Encoder,
    sketch: Sketch,
    gallery: Float[Tensor, "gallery dimension"],
    index: int,
    settings: RetrievalSettings,
) -> Record:
    """Scores of the strokes by each method, and the fall of the right place in their order."""
    target = Similarity(gallery[index : index + 1], measure=encoder.measure)
    game = Game(encoder, Strokes(sketch), target, remember=True)
    luck = _luck(sketch, settings)
    whys = {name: explain(game, name, seed=luck) for name in METHODS}
    ranked = whys | {rival.made.method: rival for rival in _rivals(whys["shapley"])}
    curves = rank_deletions(encoder, list(ranked.values()), gallery, index, seed=luck)
    return {
        "name": sketch.name,
        "label": sketch.label,
        "parts": sketch.parts,
        "lengths": stroke_lengths(sketch.normalise()).tolist(),
        "scores": {name: why.scores[0].tolist() for name, why in whys.items()},
        "value": float(game.value[0]),
        "base": float(game.base[0]),
        "gallery": len(gallery),
        "places": {
            name: curve.places.astype(int).tolist()
            for name, curve in zip(ranked, curves, strict=True)
        },
        "random_places": curves[0].random.astype(int).tolist(),
    }


def _luck(sketch: Sketch, settings: RetrievalSettings) -> int:
    """A seed of the drawing's own: the same for all would put chance in the same corner."""
    return seed_of(sketch, f"{settings.seed}/retrieval", size=4)


def _rivals(why: Explanation) -> Iterator[Explanation]:
    yield by_length(why)
    yield by_order(why)


def _photo(encoder: Encoder, pair: Pair, settings: RetrievalSettings) -> Record:
    """Where the photo's scores lie, by what is absent and by method."""
    drawn = Similarity(encoder.encode([pair.sketch]), measure=encoder.measure)
    cut = Superpixels(pair.photo, settings.superpixels)
    shares = {name: share_of(cut, mask) for name, mask in pair.masks.items()}
    whole = share_of(cut, np.any(list(pair.masks.values()), axis=0))
    drawn_parts = [name for name in shares if name in (pair.sketch.parts or ())]
    games = {
        absent: Game(encoder, replace(cut, absent=absent), drawn)
        for absent in dict.fromkeys(absent for absent, _ in ABSENT_METHODS)
    }
    luck = _luck(pair.sketch, settings)
    found: Record = {"parts": drawn_parts, "area": float(whole.mean()), "by": {}}
    found["pixels"] = [int(pair.masks[name].sum()) for name in drawn_parts]
    for absent, method in ABSENT_METHODS:
        budget = settings.budget if method == "kernel_shap" else None
        scores = explain(games[absent], method, budget=budget, seed=luck).scores[0]
        found["by"][f"{method}, {absent}"] = {
            "on_object": mass_on(scores, whole),
            "of_parts": [float(scores @ shares[name]) for name in drawn_parts],
        }
    return found


def share_of(
    cut: Superpixels, mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, " superpixels"]:
    """Which share of each superpixel lies in a mask.

    Example:
        >>> from sightline.image.photo import Photo
        >>> dark = Photo(np.zeros((2, 4, 3), np.uint8))
        >>> halves = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
        >>> mask = np.array([[True, False, False, False]] * 2)
        >>> share_of(Superpixels(dark, of_pixels=halves), mask).tolist()
        [0.5, 0.0]
    """
    numbers = cut.numbers.numpy().ravel()
    inside = np.bincount(numbers, mask.ravel().astype(np.float64), minlength=len(cut))
    return inside / np.bincount(numbers, minlength=len(cut))


def mass_on(
    scores: Float[np.ndarray, " superpixels"], share: Float[np.ndarray, " superpixels"]
) -> float | None:
    """Share of the positive scores that lies in a mask; None where no score is positive.

    Example:
        >>> mass_on(np.array([3.0, 1.0, -5.0]), np.array([1.0, 0.0, 1.0]))
        0.75
    """
    positive = np.maximum(scores, 0)
    return float(positive @ share / positive.sum()) if positive.any() else None


def _means(
    vectors: Float[Tensor, "items dimension"], labels: Sequence[str], of: Sequence[str]
) -> Float[Tensor, "labels dimension"]:
    """The mean direction of each label's vectors."""
    unit = F.normalize(vectors.float(), dim=1)
    member = torch.tensor([[label == own for own in labels] for label in of])
    return torch.stack([unit[row].mean(0) for row in member])


def _of_each_label(sketches: Sequence[Sketch], count: int, seed: int) -> list[Sketch]:
    """As many drawings of each label, by luck of their own."""
    lucky = sorted(sketches, key=lambda sketch: digest(sketch, f"{seed}/gallery"))
    taken: dict[str | None, list[Sketch]] = {}
    for sketch in lucky:
        taken.setdefault(sketch.label, []).append(sketch)
    return [sketch for label in sorted(taken, key=str) for sketch in taken[label][:count]]


def _in_turns(sketches: Sequence[Sketch], seed: int) -> list[Sketch]:
    """Label by label in turn, so that the first of them are of all labels."""
    lucky = sorted(sketches, key=lambda sketch: digest(sketch, f"{seed}/queries"))
    seen: dict[str | None, int] = {}
    turn = []
    for sketch in lucky:
        seen[sketch.label] = seen.get(sketch.label, 0) + 1
        turn.append((seen[sketch.label], str(sketch.label)))
    order = sorted(range(len(lucky)), key=turn.__getitem__)
    return [lucky[i] for i in order]
