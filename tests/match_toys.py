"""Encoders whose vectors are known by hand: one number a drawing, one number a photo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sightline.image.photo import Photo
from sightline.models.encoder import Encoder, Measure
from sightline.models.photo_classifier import PictureClassifier
from sightline.parts import Superpixels
from sightline.sketch.sketch import Sketch
from toys import Toy, scribble

WEIGHTS = (3.0, 2.0, 1.0)
"""What each stroke adds to a drawing's vector."""


class Redness(nn.Module):
    """20 x the mean of red."""

    def forward(self, pictures: Tensor) -> Tensor:
        return 20 * pictures[:, :1].mean((2, 3))


def number_line(
    of_strokes: Callable[[Tensor], Tensor] | None = None, *, measure: Measure = "distance"
) -> Encoder:
    """Drawings of three strokes at the sum of their weights, photos at 20 x their mean red."""
    seen = PictureClassifier(Redness(), size=(4, 8), mean=(0, 0, 0), std=(1, 1, 1))
    function = of_strokes or (lambda there: there @ torch.tensor([WEIGHTS]).double().T)
    return Encoder(sketch=Toy(function, 3), photo=seen, measure=measure)


def three(name: str = "query") -> Sketch:
    """A drawing for it: at 6."""
    drawn = scribble(3, strokes=3)
    return Sketch(drawn.strokes, name=name)


def half_red(name: str = "flag") -> Photo:
    """A photo for it: red on the left, black on the right; at 10."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4, 0] = 255
    return Photo(pixels, name=name)


def halves(photo: Photo) -> Superpixels:
    """Left and right."""
    number = (torch.arange(8) >= 4).long().expand(4, 8)
    return Superpixels(photo, of_pixels=number)
