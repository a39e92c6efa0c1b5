"""Random changes of guided batches: what people marked moves with what the model reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.alignment.wanted import GuidedBatch, Wanted, padded, stroke_places
from sightline.errors import AlignmentError
from sightline.image.augment import PhotoAugmentation
from sightline.image.batch import PictureBatch
from sightline.sketch.augment import Augmentation
from sightline.sketch.batch import SketchBatch


@dataclass(frozen=True)
class GuidedAugmentation:
    """Varies inputs and their labels together.

    Masks of photos are moved by the matrix of their photo. Labels of strokes follow their
    strokes: both halves of a split one have its label, a joined one the larger of the two, a
    dropped one goes. An item of whose label nothing remains has weight 0 from then on.

    Args:
        inner: `PhotoAugmentation` for photos, `sightline.sketch.augment.Augmentation` for
            drawings.

    Example:
        >>> pixels, mask = torch.rand(1, 3, 4, 6), torch.zeros(1, 4, 6)
        >>> mask[0, 1, 0] = 1
        >>> wanted = Wanted(mask, torch.zeros(1, 4, 6), torch.ones(1))
        >>> batch = GuidedBatch(PictureBatch(pixels), wanted, torch.ones(1))
        >>> vary = GuidedAugmentation(PhotoAugmentation.off(flip=1.0))
        >>> vary(batch, torch.Generator().manual_seed(0)).wanted.must.nonzero().tolist()
        [[0, 1, 5]]
    """

    inner: PhotoAugmentation | Augmentation

    def __call__(self, batch: GuidedBatch, generator: torch.Generator) -> GuidedBatch:
        """A varied copy; item and task weights stay with their items.

        Raises:
            AlignmentError: photos for an augmentation of drawings, or the other way round; labels
                of another size than their inputs.
        """
        inputs, inner = batch.inputs, self.inner
        if isinstance(inputs, PictureBatch) and isinstance(inner, PhotoAugmentation):
            return batch.with_inputs(*_photos(inner, inputs, batch.wanted, generator))
        if isinstance(inputs, SketchBatch) and isinstance(inner, Augmentation):
            return batch.with_inputs(*_drawings(inner, inputs, batch.wanted, generator))
        of = "photos" if isinstance(inputs, PictureBatch) else "drawings"
        fitting = "PhotoAugmentation" if of == "photos" else "sketch.augment.Augmentation"
        raise AlignmentError(
            f"{type(inner).__name__} cannot vary {of}; give GuidedAugmentation a {fitting}"
        )


def _photos(
    inner: PhotoAugmentation, inputs: PictureBatch, wanted: Wanted, generator: torch.Generator
) -> tuple[PictureBatch, Wanted]:
    if tuple(wanted.must.shape[1:]) != inputs.size:
        raise AlignmentError(
            f"labels of {list(wanted.must.shape[1:])} cannot move with pictures of "
            f"{list(inputs.size)}; bring them to the size of the pictures first"
        )
    layers = [wanted.must, wanted.must_not]
    if wanted.there is not None:
        layers.append(wanted.there.to(wanted.must.dtype))
    pixels, masks, _ = inner.moved(inputs.pixels, torch.stack(layers, 1), None, generator)
    assert masks is not None  # noqa: S101, masks were given
    there = None if wanted.there is None else masks[:, 2] > 0.5
    return PictureBatch(pixels), _of_what_remains(wanted, masks[:, 0], masks[:, 1], there)


def _drawings(
    inner: Augmentation, inputs: SketchBatch, wanted: Wanted, generator: torch.Generator
) -> tuple[SketchBatch, Wanted]:
    places = wanted.must.shape[1]
    there = wanted.there if wanted.there is not None else stroke_places(inputs, longest=places)
    if not torch.equal(there.sum(1), inputs.strokes_per_sketch):
        raise AlignmentError(
            f"labels of {there.sum(1).tolist()} strokes cannot follow drawings of "
            f"{inputs.strokes_per_sketch.tolist()} strokes"
        )
    varied, origins = inner.traced(inputs, generator)
    now = stroke_places(varied)
    must, must_not = (padded(origins.carry(m[there]), now) for m in (wanted.must, wanted.must_not))
    return varied, _of_what_remains(wanted, must, must_not, now)


def _of_what_remains(
    wanted: Wanted,
    must: Float[Tensor, "items ..."],
    must_not: Float[Tensor, "items ..."],
    there: Bool[Tensor, "items ..."] | None,
) -> Wanted:
    """An item that lost one of its masks counts no longer: the other alone would claim more.

    The weights of the others grow, so that the mean over labelled items stays one.
    """
    pairs = ((wanted.must, must), (wanted.must_not, must_not))
    lost = torch.stack([_any(before) & ~_any(now) for before, now in pairs]).any(0)
    weight = wanted.weight * ~lost
    counted, left = (int((w > 0).sum()) for w in (wanted.weight, weight))
    weight = weight * (counted / max(left, 1))
    return replace(wanted, must=must, must_not=must_not, weight=weight, there=there)


def _any(masks: Float[Tensor, "items ..."]) -> Bool[Tensor, " items"]:
    return (masks > 0).flatten(1).any(1)
