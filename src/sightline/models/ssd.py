"""What single-shot detectors share: heads over several maps, and the way from photos to boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.errors import ModelError
from sightline.image.photo import Photo
from sightline.models.as_found import as_found
from sightline.models.detector import DenseDetector, Detections
from sightline.models.suppress import report


def expect_side(pictures: Float[Tensor, "pictures 3 height width"], side: int) -> None:
    """Refuse pictures of another size than the anchors were made for.

    Raises:
        ModelError: not ``side`` x ``side``.
    """
    if pictures.shape[2:] != (side, side):
        raise ModelError(
            f"pictures of {pictures.shape[2]} x {pictures.shape[3]} pixels; this detector reads "
            f"{side} x {side}: make them with model.frame(height, width).pixels(photo)"
        )


def ask_heads(
    heads: Iterable[nn.Module], features: Sequence[Tensor], columns: int
) -> Float[Tensor, "pictures candidates columns"]:
    """The answers of one head a map, in the order of `grid_anchors`.

    Args:
        heads: each a convolution to ``columns`` channels for every shape of anchor.
        features: the map of each.
        columns: numbers that a head says of an anchor.
    """
    answers = [head(feature) for head, feature in zip(heads, features, strict=True)]
    # [n, shapes * columns, rows, columns of cells] -> [n, rows, columns of cells, shapes * columns]
    flat = [a.permute(0, 2, 3, 1).reshape(len(a), -1, columns) for a in answers]
    return torch.cat(flat, 1)


def levels(anchors: Sequence[Float[Tensor, "_ 4"]]) -> Int[Tensor, " candidates"]:
    """Which map each candidate comes from, given the anchors of every map.

    Example:
        >>> levels([torch.zeros(3, 4), torch.zeros(1, 4)]).tolist()
        [0, 0, 0, 1]
    """
    counts = torch.tensor([len(a) for a in anchors])
    return torch.repeat_interleave(torch.arange(len(anchors)), counts)


def detect(
    model: DenseDetector,
    photos: Sequence[Photo],
    *,
    threshold: float,
    overlap: float,
    most: int,
    most_a_label: int,
) -> list[Detections]:
    """Boxes of a dense detector, after suppression; the model is left as found.

    Args:
        model: a module, too.
        photos: of any sizes.
        threshold: lowest score reported.
        overlap: IoU above which the lower of two boxes of one label goes.
        most: boxes a photo.
        most_a_label: boxes of one label that suppression looks at.
    """
    weight = next(model.parameters())  # type: ignore[attr-defined]
    found: list[Detections] = []
    with as_found(model), torch.no_grad():
        for photo in photos:  # one by one: as fast on a CPU, and no number depends on the others
            frame = model.frame(*photo.size)
            candidates = model.dense(frame.pixels(photo)[None].to(weight))
            found += report(
                candidates,
                [frame],
                model.labels,
                threshold=threshold,
                overlap=overlap,
                most=most,
                most_a_label=most_a_label,
            )
    return found
