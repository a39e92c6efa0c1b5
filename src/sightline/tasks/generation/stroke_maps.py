"""What in a generated picture came from each stroke: one signed map a stroke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import TaskError, unknown_name
from sightline.game import Game, Meter
from sightline.methods.gradient import DEFAULT_STEPS
from sightline.methods.shapley import all_coalitions, shapley_values
from sightline.parts import Strokes
from sightline.sketch.sketch import Sketch
from sightline.targets.region import LEAST_CONTENT, Region, covering
from sightline.tasks.generation.asked_pictures import Asked, WholePicture

Method = Literal["occlusion", "sla", "shapley", "integrated_gradients"]
METHODS: tuple[Method, ...] = ("occlusion", "sla", "shapley", "integrated_gradients")
MOST_STROKES = 10


@dataclass(frozen=True, eq=False)
class StrokeMaps:
    """What each stroke changes in a generated picture, in the picture's own unit: black 0, white 1.

    Convention:
        Signed: a stroke that darkens a pixel has a negative change there, also where that dark is
        what it draws. `content` has the sign of what is in the picture instead.

    Args:
        changes: of every pixel and colour, by each stroke.
        picture: of the whole drawing; blank: of the empty sheet.
        sketch: the drawing.
        method: how the changes were found.
        evaluations: pictures asked for; seconds: wall-clock time.

    Raises:
        TaskError: shapes that do not fit.
    """

    changes: Float[Tensor, "strokes colours height width"]
    picture: Float[Tensor, "colours height width"]
    blank: Float[Tensor, "colours height width"]
    sketch: Sketch
    method: str
    evaluations: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        wanted = (len(self.sketch), *self.picture.shape)
        if tuple(self.changes.shape) != wanted or self.blank.shape != self.picture.shape:
            raise TaskError(
                f"changes have shape {list(self.changes.shape)}, the blank picture "
                f"{list(self.blank.shape)}; expected {list(wanted)}, strokes by picture, and "
                f"{list(wanted[1:])}"
            )

    def __len__(self) -> int:
        """Number of strokes."""
        return len(self.changes)

    @property
    def maps(self) -> Float[Tensor, "strokes height width"]:
        """The mean change over colours: how much brighter a stroke makes each pixel."""
        return self.changes.mean(1)

    @property
    def content(self) -> Float[Tensor, "strokes height width"]:
        """How much of what the whole drawing puts at each pixel a stroke put there.

        In shares of the whole picture: where strokes' changes add up to the picture's (`shapley`,
        `integrated_gradients`) all maps together sum to 1. Over a region, divided by the share of
        the region, it is the score of `Region`.

        Source:
            Ours: <change, G(1) - G(0)> / |G(1) - G(0)|^2 of the whole picture, G(1) the picture of
            all strokes, G(0) that of none.
        """
        drawn = self.picture - self.blank
        whole = drawn.square().sum()
        if not float(whole) > 0:
            raise TaskError("the drawing changes nothing in the picture: there is no content")
        return (self.changes * drawn).sum(1) / whole

    @property
    def gap(self) -> float:
        """The most that the changes leave over at any pixel: 0 where they add up."""
        return float((self.picture - self.blank - self.changes.sum(0)).abs().max())

    def strongest(self) -> Int[Tensor, "height width"]:
        """Which stroke put most at each pixel, by number; -1 where none put anything."""
        most, which = self.content.max(0)
        return torch.where(most > 0, which, -1)

    def scores(self, region: Region) -> Float[np.ndarray, "regions strokes"]:
        """What a game of strokes and this region would score by the same method.

        Exactly, since what `Region` asks is linear in the picture; no picture is made again.

        Raises:
            TaskError: a region in which the drawing puts nothing.
        """
        share = covering(region.masks.double(), self.picture)
        share = share / share.sum((1, 2), keepdim=True)
        if region.asked == "brightness":
            return np.array(torch.einsum("rhw,shw->rs", share, self.maps).numpy())
        drawn = self.picture - self.blank
        whole = torch.einsum("rhw,chw->r", share, drawn.square())
        if float(whole.min()) < LEAST_CONTENT:
            name = region.names[int(whole.argmin())]
            raise TaskError(f"the drawing puts nothing into {name!r}; ask about another region")
        own = torch.einsum("rhw,schw,chw->rs", share, self.changes, drawn)
        return np.array((own / whole[:, None]).numpy())

    def inside(self, mask: Bool[Tensor, "rows columns"]) -> Float[np.ndarray, " strokes"]:
        """The share of each stroke's positive content that lies in a region.

        NaN for a stroke that put nothing anywhere. A mask of another size is scaled.
        """
        covered = covering(mask[None].double(), self.picture)[0]
        positive = self.content.clamp(min=0)
        total = positive.sum((1, 2))
        inside = (positive * covered).sum((1, 2)) / torch.where(total > 0, total, torch.nan)
        return np.array(inside.numpy())


def stroke_maps(
    generator: object,
    sketch: Sketch,
    *,
    method: Method = "occlusion",
    steps: int = DEFAULT_STEPS,
    batch: int | None = None,
) -> StrokeMaps:
    """What in a generated picture came from each stroke: `Region` turned round.

    The generator is left as it came. All methods share one picture of what a stroke is: it fades
    from the ink, as in a game of strokes.

    Args:
        generator: a `RasterGenerator`, or another model of drawings that answers pictures.
        sketch: the drawing.
        method: of each pixel

            - ``"occlusion"``: what it loses when the stroke is left out; n + 2 pictures;
            - ``"sla"``: its derivative by the stroke's presence with all strokes there, the clip
              of ink passed straight through; about two pictures a stroke;
            - ``"integrated_gradients"``: that derivative (the clip as it is) averaged on the way
              from the empty sheet; adds up to the picture, up to the quadrature;
            - ``"shapley"``: exact, from all 2^n coalitions, up to 10 strokes; adds up exactly.
        steps: nodes of the Gauss-Legendre rule of integrated gradients.
        batch: largest number of pictures of one pass.

    Raises:
        GameError: no generator, or one that gives no gradient where the method needs it.
        TaskError: an unknown method; too many strokes for ``"shapley"``.

    Example:
        >>> from sightline.models.generator import RasterGenerator
        >>> painter = RasterGenerator(lambda ink: ink.expand(-1, 3, -1, -1))
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> stroke_maps(painter, cross, method="shapley").maps.shape
        torch.Size([2, 224, 224])

    Source:
        Ours: sightline's own forms of occlusion (Zeiler and Fergus, 2014), SLA (Qu et al., 2024),
        integrated gradients (Sundararajan et al., 2017) and Shapley values for every number of a
        picture. The derivative is one forward-mode pass a stroke, where reverse mode would need
        one a pixel.
    """
    if method not in METHODS:
        raise TaskError(unknown_name("method of stroke maps", method, METHODS))
    count = len(sketch)
    if method == "shapley" and count > MOST_STROKES:
        raise TaskError(
            f"exact Shapley maps of {count} strokes need 2^{count} pictures; at most "
            f"{MOST_STROKES} strokes are allowed: use method='occlusion' or "
            "'integrated_gradients'"
        )
    if method == "integrated_gradients" and steps < 1:
        raise TaskError(f"steps is {steps}; integrated gradients need at least 1")
    asked = Asked(Game(generator, Strokes(sketch), WholePicture(), batch=batch))
    meter = Meter(asked.game)
    picture, blank = asked.pictures(torch.tensor([[1.0], [0.0]]).expand(2, count))
    if method == "occlusion":
        changes = picture - asked.pictures(1 - torch.eye(count))
    elif method == "shapley":
        changes = asked.sums(all_coalitions(count), shapley_weights(count))
    elif method == "sla":
        changes = asked.slopes(torch.ones(1, count), torch.ones(1), straight_through=True)
    else:
        node, weight = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(steps))
        along = ((node + 1) / 2)[:, None].expand(-1, count)
        changes = asked.slopes(along, weight / 2)
    spent = meter.evaluations, meter.seconds
    return StrokeMaps(changes, picture, blank, sketch, method, *spent)


def shapley_weights(count: int) -> Float[Tensor, "strokes coalitions"]:
    """How much each coalition's picture counts for each stroke, in the order of `all_coalitions`.

    Example:
        >>> shapley_weights(2).tolist()
        [[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5]]
    """
    # Shapley values are linear, so those of "1 at this coalition, 0 elsewhere" are its weights
    return shapley_values(torch.eye(2**count, dtype=torch.float64)).T
