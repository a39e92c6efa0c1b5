"""A small encoder of drawings and photos: two residual branches into one space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.models.encoder import Encoder, Measure
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel
from sightline.models.small_resnet import SmallResNet
from sightline.sketch.raster import Rasteriser

GRID = 4
"""Rows and columns of places that the projection reads apart."""

SMALLEST = 32
"""Pixels of a picture whose last map has a place for each of the grid."""


class Branch(SmallResNet):
    """A small residual net whose last map is averaged to a grid, then projected to a vector.

    A grid and not one mean: instances of one family differ by where their details are. Group norm,
    so that a vector never depends on the others of its batch, which a triplet loss would exploit.

    Args:
        dimension: of the vectors.
        channels: of the pictures.
        width: channels of the first stage, doubled at each of the next two.

    Example:
        >>> Branch(8, channels=1, width=4)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 8])
    """

    def __init__(self, dimension: int, *, channels: int, width: int) -> None:
        widths = (width, 2 * width, 4 * width)
        super().__init__(dimension, channels=channels, widths=widths)
        self.settings: dict[str, Any] = {"dimension": dimension, "width": width}
        self.head = nn.Linear(widths[-1] * GRID**2, dimension)

    def forward(
        self, pictures: Float[Tensor, "pictures _ height width"]
    ) -> Float[Tensor, "pictures dimension"]:
        """Vectors."""
        return self.head(F.adaptive_avg_pool2d(self.features(pictures), GRID).flatten(1))


def two_branch(
    *,
    dimension: int = 64,
    size: int = 64,
    width: int = 32,
    measure: Measure = "cosine",
    seed: int | None = None,
) -> Encoder:
    """An encoder of drawings and photos with random weights, to be trained on pairs of them.

    Args:
        dimension: of the vectors.
        size: height and width of what either branch reads, in pixels.
        width: channels of the first stage of either branch; 32 makes 0.44 million weights each.
        measure: how vectors are compared.
        seed: of the weights, torch's random state left as it was; None draws from that.

    Raises:
        ModelError: a dimension or a width below 1, or pictures that are too small.

    Example:
        >>> encoder = two_branch(dimension=8, width=4, seed=0)
        >>> encoder.sketch.rasteriser.size, encoder.photo.size
        (64, (64, 64))

    Source:
        Two branches into one space are those of Yu et al., "Sketch me that shoe", CVPR 2016; the
        networks are ours.
    """
    if dimension < 1 or width < 1 or size < SMALLEST:
        raise ModelError(
            f"dimension {dimension}, width {width}, size {size}; expected at least 1, 1, and "
            f"{SMALLEST} pixels"
        )
    with _drawn_from(seed):
        drawn = Branch(dimension, channels=1, width=width)
        seen = Branch(dimension, channels=3, width=width)
    return Encoder(
        sketch=RasterModel(drawn, rasteriser=Rasteriser(size=size, line_width=0.05), epsilon=2.0),
        # photos shrink by averages; the whole range of a pixel becomes -2 to 2
        photo=PictureClassifier(
            seen,
            size=(size, size),
            mean=(0.5, 0.5, 0.5),
            std=(0.25, 0.25, 0.25),
            resampling="antialiased",
        ),
        measure=measure,
        name="two-branch",
    )


@contextmanager
def _drawn_from(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # and not those of other devices
        yield
