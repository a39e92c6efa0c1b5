"""Parts bound to a model: what a game plays with, and what all kinds of parts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError
from sightline.models.detector import Detector, PhotoModel, Reply
from sightline.models.protocol import PictureModel, SketchModel
from sightline.models.raster import pictures_of
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch

LARGEST_BATCH = 512


@dataclass(frozen=True, eq=False)
class Noise:
    """Gaussian noise on what a network reads, drawn anew for each row of presence (SmoothGrad).

    Args:
        level: the standard deviation, as a share of the range (max - min) of what is read.
        seeds: one a row, so that a row's noise does not depend on its mates.
    """

    level: float
    seeds: Int[Tensor, " rows"]

    def added_to(self, read: Float[Tensor, "rows ..."], span: Tensor) -> Float[Tensor, "rows ..."]:
        """What is read, with noise of ``level`` x ``span``."""
        drawn = [
            torch.randn(read.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in self.seeds.tolist()
        ]
        return read + self.level * span * torch.stack(drawn).to(read)


class Bound(ABC):
    """Parts bound to a model: a function of presence, everything constant computed once.

    Args of the call:
        presence: ``[batch, parts]`` in [0, 1], on the model's device.
        straight_through: where ink saturates, let the gradient pass as if it did not (SLA).
        noise: added to what the network reads: pixels, or the summed embeddings of strokes.
    """

    partial: bool = True
    """Whether presence between 0 and 1, and so a gradient, means something."""

    @abstractmethod
    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Reply:
        """The model's output, one row a row of presence."""

    @property
    def rows_at_once(self) -> int:
        """Rows of one forward pass, unless a game is told otherwise."""
        return LARGEST_BATCH

    def picture(self) -> Float[Tensor, "*size"] | None:
        """What the network reads with everything there; None where it reads no pictures."""
        return None

    def see(self, pictures: Float[Tensor, pictures * size]) -> Reply:
        """The model's output for pictures such as `picture` gives; gradients stay."""
        raise NotImplementedError(f"{type(self).__name__} has no pictures")

    def stroke_tokens(self) -> StrokeTokens | None:
        """The strokes with everything there; None where the model reads no tokens."""
        return None


def noisy(
    pictures: Float[Tensor, batch * size], noise: Noise | None
) -> Float[Tensor, batch * size]:
    """Pictures with noise on every pixel, a share of the range of each picture."""
    if noise is None:
        return pictures
    flat = pictures.detach().flatten(1)
    span = flat.amax(1) - flat.amin(1)
    return noise.added_to(pictures, span.view(-1, *[1] * (pictures.ndim - 1)))


def ink_of(model: PictureModel, batch: SketchBatch) -> Float[Tensor, "height width"]:
    """The picture of one drawing as its model draws it."""
    with torch.no_grad():
        return pictures_of(model.rasteriser, batch)[0]


def see_softly(
    model: PictureModel, batch: SketchBatch, soft: Rasteriser
) -> Float[Tensor, "sketches ..."]:
    """The model's answer to its own pictures, with the gradient of ``soft``'s."""
    if not batch.points.requires_grad:
        return model(batch)
    smooth = soft(batch)
    with torch.no_grad():
        own = pictures_of(model.rasteriser, batch)
    return model.see(smooth + (own - smooth).detach())


def prepared(model: object, sketch: Sketch) -> Sketch:
    """The drawing as the model reads it."""
    return model.prepare(sketch) if isinstance(model, SketchModel) else sketch.normalise()


def unfit(model: object, kind: str) -> GameError:
    """What to say of a model that cannot see such parts come and go."""
    if isinstance(model, PhotoModel | Detector):
        return GameError(
            f"{type(model).__name__} reads photos, not drawings, so it cannot be asked about "
            f"{kind} of one; give sl.Superpixels(photo) or sl.GridCells(photo, rows, columns)"
        )
    if kind == "grid cells" and isinstance(model, SketchModel):
        return GameError(
            f"{type(model).__name__} cannot be asked about grid cells: it reads strokes, not a "
            "picture; ask about sl.Strokes(sketch) or sl.Points(sketch), or a picture classifier "
            "in sl.RasterModel(module, labels=...)"
        )
    return GameError(
        f"{type(model).__name__} cannot be asked about {kind}: wrap a picture classifier in "
        "sl.RasterModel(module, labels=...), or give a model with prepare, labels and a call "
        "on a SketchBatch"
    )
