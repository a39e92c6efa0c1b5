"""Both sides of one match: the strokes that found a photo, and what in the photo they found."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import TaskError
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.methods import explain, parts_for
from sightline.models.encoder import Encoder, Item, similarities
from sightline.parts import Absent, Parts, Strokes, Superpixels
from sightline.sketch.sketch import Sketch
from sightline.targets import Rank, RankMargin, Similarity
from sightline.tasks.retrieval.match import Match, called

SUPERPIXELS = 64
ABSENT: Absent = "mean"
"""Grey patches draw edges where there were none: with them 28 % of the scores lie on the object,
which covers 23 %, with the mean colour 47 % (docs/retrieval.md)."""

MOST_COALITIONS = 4096
"""As many are asked for exact Shapley values where no method is named: 12 strokes."""

CHANGED = 0.02
"""A stored vector that differs from the photo's by this share of its length is of another photo."""

Gallery = Float[Tensor, "gallery dimension"]
Others = Float[Tensor, "others dimension"]


def explain_match(
    encoder: Encoder,
    sketch: Sketch,
    photo: Item,
    *,
    over: Sequence[Item] | Others | None = None,
    over_names: Sequence[str] = (),
    gallery: Gallery | None = None,
    index: int | None = None,
    method: str | None = None,
    photo_method: str | None = None,
    superpixels: int | Superpixels = SUPERPIXELS,
    budget: int | str | None = None,
    seed: int = 0,
) -> Match:
    """Say why a drawing matches a photo: which strokes, and which regions of the photo.

    The strokes are scored against the photo's vector, the superpixels against the drawing's. Both
    are scored in the unit of the similarity, and where the methods share it out (Shapley values,
    Kernel SHAP, integrated gradients), each side's scores sum to the similarity less that of
    nothing: of the blank sheet, of the photo in its mean colour.

    Args:
        encoder: reads both.
        sketch: the query.
        photo: what it found; a drawing where drawings are searched.
        over: others that it stands above. The strokes are then asked what they bring to the margin
            above each ("why this photo above that one"); the photo's side stays the similarity.
        over_names: of these; by default their own.
        gallery: all vectors that were searched, as `Encoder.encode` gives them.
        index: the photo's row there; then its stored vector is explained.
        method: for the strokes; by default exact Shapley values where the budget allows (up to 12
            strokes), else Kernel SHAP.
        photo_method: for the superpixels; by default Kernel SHAP.
        superpixels: how many to cut the photo into, or the parts themselves, which say what stands
            in for an absent one.
        budget: of each side, for methods that take one.
        seed: of methods that sample.

    Raises:
        TaskError: no `Encoder`; a gallery without an index or of another photo; others that are
            none.
        ModelError: the encoder has no branch for such an item.

    Example:
        >>> from torch import nn
        >>> encoder = Encoder(sketch=nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten()))
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]], name="cross")
        >>> slash = Sketch.from_strokes([[[0, 0], [9, 9]]], name="slash")
        >>> match = explain_match(encoder, cross, slash)
        >>> print(match.title)
        cross finds slash: cosine 0.72
        >>> [match.query.parts.names[i] for i in match.query.ranking()]  # the one that they share
        ['stroke 0', 'stroke 1']
    """
    if not isinstance(encoder, Encoder):
        raise TaskError(
            f"a {type(encoder).__name__} answers no vectors; give an encoder: "
            "sl.Encoder(sketch=..., photo=...)"
        )
    own = _found_vector(encoder, photo, gallery, index)
    place = None if gallery is None else _place(encoder, sketch, gallery, index or 0)
    drawn = encoder.encode([sketch])
    asked = _asked(encoder, own, called(photo), over, over_names)
    mirrored = Similarity(drawn, (called(sketch),), encoder.measure)
    sides = (
        (sketch, asked, method or default_method(sketch, budget)),
        (photo, mirrored, photo_method or default_method(photo, budget)),
    )
    query, found = (
        explain(
            Game(encoder, _parts(encoder, item, chosen, superpixels), target),
            chosen,
            budget=budget,
            seed=seed,
        )
        for item, target, chosen in sides
    )
    return Match(
        query=query,
        found=found,
        similarity=float(similarities(drawn, own[None], encoder.measure)),
        measure=encoder.measure,
        encoder=encoder.fingerprint,
        place=place,
        among=None if gallery is None else len(gallery),
        over=asked.names if isinstance(asked, RankMargin) else (),
    )


def _found_vector(
    encoder: Encoder, photo: Item, gallery: Gallery | None, index: int | None
) -> Float[Tensor, " dimension"]:
    """The photo's vector: the stored one, where there is a gallery."""
    fresh = encoder.encode([photo])
    if gallery is None and index is None:
        return fresh[0]
    if gallery is None or index is None:
        given, missing = ("gallery", "index") if index is None else ("index", "gallery")
        raise TaskError(
            f"{given} is given without {missing}: a place needs the gallery's vectors "
            "and the photo's row in it"
        )
    if gallery.shape[1] != fresh.shape[1] or not 0 <= index < len(gallery):
        raise TaskError(
            f"row {index} of a gallery of shape {list(gallery.shape)} was asked for; expected a "
            f"row from 0 to {len(gallery) - 1}, of {fresh.shape[1]} numbers each"
        )
    stored = gallery[index].float().cpu()
    if float((stored - fresh[0]).norm()) > CHANGED * float(fresh.norm()):
        raise TaskError(
            f"row {index} of the gallery is not the vector of {called(photo)}: the photo or the "
            "encoder has changed since it was indexed; index it again"
        )
    return stored


def _place(encoder: Encoder, sketch: Sketch, gallery: Gallery, index: int) -> int:
    """Counted as `rank_deletion` counts it, so that its first place is this one."""
    asked = Rank(gallery.float().cpu(), (index,), measure=encoder.measure)
    return 1 - int(Game(encoder, Strokes(sketch), asked).value[0])


def _asked(
    encoder: Encoder,
    own: Float[Tensor, " dimension"],
    name: str,
    over: Sequence[Item] | Others | None,
    over_names: Sequence[str],
) -> Similarity | RankMargin:
    if over is None:
        return Similarity(own[None], (name,), encoder.measure)
    if not len(over):
        raise TaskError("over is empty; give at least one photo that this one stands above")
    if isinstance(over, Tensor):
        return RankMargin(own, over.float().cpu(), name, tuple(over_names), encoder.measure)
    names = tuple(over_names) or tuple(called(item, f"that {i}") for i, item in enumerate(over))
    return RankMargin(own, encoder.encode(over), name, names, encoder.measure)


def _parts(encoder: Encoder, item: Item, method: str, superpixels: int | Superpixels) -> Parts:
    if isinstance(item, Sketch):
        return parts_for(method, encoder.branch(item), item)
    if not isinstance(superpixels, Superpixels):
        return Superpixels(item, superpixels, ABSENT)
    if superpixels.photo is not item:
        raise TaskError("the superpixels are of another photo; make them of the one explained")
    return superpixels


def default_method(item: Item, budget: int | str | None = None) -> str:
    """Exact Shapley values for a drawing of few strokes, else Kernel SHAP.

    Example:
        >>> default_method(Sketch.from_strokes([[(0, 0), (1, 0)]] * 9), budget=256)
        'kernel_shap'
    """
    if isinstance(item, Photo):
        return "kernel_shap"
    limit = Budget.of(budget)
    allowed = limit.evaluations or (0 if limit.seconds else MOST_COALITIONS)
    return "shapley" if 2 ** len(item) <= min(allowed, MOST_COALITIONS) else "kernel_shap"
