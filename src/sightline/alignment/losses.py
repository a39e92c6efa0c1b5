"""How far the places that a model looks at are from those that people want.

Each loss takes maps and `Wanted` of labelled items and gives one number an item. Places are the
cells of a map or the strokes of a drawing; strokes that are only padding count in no mean and no
sum. Strokes have no neighbours, so labels of drawings are neither blurred nor resized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.alignment.looking import Maps
from sightline.alignment.placing import at_size
from sightline.alignment.wanted import Wanted
from sightline.errors import AlignmentError, unknown_name

Imputation = Literal["gaussian", "learnt", "none"]
IMPUTATIONS = ("gaussian", "learnt", "none")

Masks = Float[Tensor, "items ..."]
Flat = Float[Tensor, "items places"]
Items = Float[Tensor, " items"]

LEAST_SPAN = 1e-20
"""A map whose largest and smallest numbers are nearer than this is constant."""


@dataclass(frozen=True)
class GradiaLoss:
    """Mean over places of ``|M - A|``.

    M is the map, min-max to [0, 1]; a constant map is 0. A is the must mask at the map's size:
    area mean, Gaussian 3 x 3, divided by its maximum. Must-not masks are ignored, except where an
    item has nothing else: A is then made of ``1 - must_not``.

    Args:
        blur: with the Gaussian, as GRADIA has it.

    Source:
        Gao et al., CSCW 2022; formula as in its program.
    """

    blur: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices."""
        return {"name": "gradia", "blur": self.blur}

    def __call__(self, maps: Maps, wanted: Wanted) -> Items:
        """One number an item, in [0, 1]."""
        wanted, there = _fitted(maps, wanted)
        asked = _resized(where_to_look(wanted), maps, blur=self.blur, scaled=True)
        return _mean((unit(maps.flatten(1), there) - asked).abs(), there)


class ResLoss(nn.Module):
    """What was said is kept to, and what was left open is filled in.

    ``relu(mean over F != 0 of |tanh(5 (M - a)) - F| - slack) + alpha mean |M - g(F+)|``

    M is the map, min-max to [0, 1]. F is +1 where the must mask at the map's size is at least half
    of its largest, -1 where the must-not mask is, 0 where neither or both are. a is the number of
    the item's map that parts both kinds of places best: the share of +1 places at or above it plus
    the share of -1 places below it is largest. It is chosen, not learnt: a gradient holds it.

    Without a must mask the second term has nothing to fill in and is 0; without a must-not mask F
    has no -1. The program chooses one a for all items of a batch, nearest-neighbour labels, and
    fills in by a 64 x 64 convolution of the whole mask; here an item's loss is its own, and
    everything happens at the map's size.

    Args:
        imputation: g: ``"gaussian"``, 3 x 3, divided by the maximum; ``"learnt"``, a 3 x 3
            convolution that begins as that Gaussian, min-max to [0, 1], and is trained with the
            model; ``"none"``, without the second term.
        slack: by how much what was said may be missed at no cost.
        alpha: factor of the second term.

    Raises:
        AlignmentError: no such imputation, negative numbers.

    Source:
        Gao et al., KDD 2022, and its program (whose slack is 0 by default).
    """

    def __init__(
        self, imputation: Imputation = "gaussian", *, slack: float = 0.1, alpha: float = 1.0
    ) -> None:
        super().__init__()
        if imputation not in IMPUTATIONS:
            raise AlignmentError(unknown_name("imputation", imputation, IMPUTATIONS))
        if slack < 0 or alpha < 0:
            raise AlignmentError(f"slack {slack}, alpha {alpha}; expected at least 0")
        self.imputation, self.slack, self.alpha = imputation, slack, alpha
        if imputation == "learnt":
            side = torch.tensor([1.0, 2.0, 1.0]) / 4
            self.kernel = nn.Parameter((side[:, None] * side)[None, None])

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices."""
        return {
            "name": "res",
            "imputation": self.imputation,
            "slack": self.slack,
            "alpha": self.alpha,
        }

    def forward(self, maps: Maps, wanted: Wanted, threshold: Items | None = None) -> Items:
        """One number an item.

        Args:
            maps: where the model looked.
            wanted: where it should.
            threshold: a of each item; by default that which agrees best.
        """
        wanted, there = _fitted(maps, wanted)
        looked, said = unit(maps.flatten(1), there), signs(maps, wanted)
        a = best_threshold(looked.detach(), said) if threshold is None else threshold
        kept_to = _mean(((5 * (looked - a[:, None])).tanh() - said).abs(), said != 0)
        loss = (kept_to - self.slack).relu()
        if self.imputation == "none":
            return loss
        given = wanted.must.flatten(1).any(1)
        filled = _mean((looked - self._filled(maps, wanted, there)).abs(), there)
        return loss + self.alpha * filled * given

    def _filled(self, maps: Maps, wanted: Wanted, there: Bool[Tensor, "items places"]) -> Flat:
        learnt = self.imputation == "learnt" and not wanted.of_strokes
        must = _resized(wanted.must, maps, blur=not learnt, scaled=True)
        if not learnt:
            return must
        masks = must.unflatten(1, maps.shape[1:])[:, None]
        with torch.autocast(masks.device.type, enabled=False):
            around = F.pad(masks, (1, 1, 1, 1), mode="reflect")  # the border of GRADIA's blur
            spread = F.conv2d(around, self.kernel.to(masks.dtype))
        return unit(spread.flatten(1), there)


@dataclass(frozen=True)
class HaicsLoss:
    """Cross entropy of the map with what was said: mean of ``BCE(M, F+)`` over ``F != 0``.

    M is the map, min-max to [0, 1], F as in `ResLoss`, F+ is 1 where F is 1. Min-max leaves a
    place at 0 and one at 1, where the logarithm has no end: M is drawn into
    ``[margin, 1 - margin]``.

    Args:
        margin: above 0, below 1/2.

    Raises:
        AlignmentError: another margin.

    Source:
        Shen et al., 2021 (HAICS), as compared in Gao et al., KDD 2022.
    """

    margin: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise AlignmentError(f"margin {self.margin}; expected above 0 and below 0.5")

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices."""
        return {"name": "haics", "margin": self.margin}

    def __call__(self, maps: Maps, wanted: Wanted) -> Items:
        """One number an item."""
        wanted, there = _fitted(maps, wanted)
        looked, said = unit(maps.flatten(1), there), signs(maps, wanted)
        share = self.margin + (1 - 2 * self.margin) * looked
        # by hand: torch refuses its own under autocast
        surprise = -torch.where(said > 0, share, 1 - share).log()
        return _mean(surprise, said != 0)


@dataclass(frozen=True)
class RrrLoss:
    """Sum over places of ``(A map)^2``, where A marks what must be left alone.

    With `InputGradients` the sum is over channels too: RRR. With `GradCamMaps` it is of the raw,
    signed map: RRR on Grad-CAM. A is the must-not mask, area mean at the map's size; where an item
    has none it is ``1 - must``.

    Source:
        Ross et al., IJCAI 2017, equation 2; on Grad-CAM: Schramowski et al., 2020 (programs of
        others min-max the map first, which makes a mark of a map without any).
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "rrr"}

    def __call__(self, maps: Maps, wanted: Wanted) -> Items:
        """One number an item."""
        wanted, there = _fitted(maps, wanted, channels=True)
        avoided = _resized(where_not_to_look(wanted), maps) * there
        places = maps.flatten(2) if maps.dim() == 4 else maps.flatten(1)[:, None]
        return (avoided[:, None] * places).square().sum((1, 2))


@dataclass(frozen=True)
class HintLoss:
    """Sum over places of ``(M - A)^2``, where A marks what must be looked at: a reward for it.

    M is the map, min-max to [0, 1]; A is the must mask, area mean at the map's size; where an item
    has none it is ``1 - must_not``. It rewards where `RrrLoss` punishes.

    Source:
        Selvaraju et al., ICCV 2019 (HINT), in the form of Friedrich et al., "A Typology for
        Exploring the Mitigation of Shortcut Behavior", 2023: squared error instead of a ranking.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "hint"}

    def __call__(self, maps: Maps, wanted: Wanted) -> Items:
        """One number an item."""
        wanted, there = _fitted(maps, wanted)
        asked = _resized(where_to_look(wanted), maps)
        return ((unit(maps.flatten(1), there) - asked).square() * there).sum(1)


# --- what is wanted, and what of the other kind follows from it -----------------------------------


def where_to_look(wanted: Wanted) -> Masks:
    """The must masks; ``1 - must_not`` where an item has no must mask."""
    return _or_else(wanted.must, wanted.must_not, wanted)


def where_not_to_look(wanted: Wanted) -> Masks:
    """The must-not masks; ``1 - must`` where an item has no must-not mask."""
    return _or_else(wanted.must_not, wanted.must, wanted)


def _or_else(masks: Tensor, others: Tensor, wanted: Wanted) -> Masks:
    said = masks.flatten(1).any(1).view(-1, *[1] * (masks.dim() - 1))
    chosen = torch.where(said, masks, 1 - others)
    return chosen if wanted.there is None else chosen * wanted.there


def signs(maps: Maps, wanted: Wanted) -> Flat:
    """F of RES: +1 must be looked at, -1 must not, 0 open, for each place of the maps.

    A place counts where its share of a mask is at least half of the largest share.
    """
    must, must_not = (
        _resized(masks, maps, scaled=True) > 0.5 - 1e-6  # half, but for rounding
        for masks in (wanted.must, wanted.must_not)
    )
    return must.to(maps.dtype) - must_not.to(maps.dtype)


def best_threshold(looked: Flat, said: Flat) -> Items:
    """The a of RES: which number of a map parts the places said +1 from those of -1 best.

    Example:
        >>> best_threshold(torch.tensor([[0.1, 0.4, 0.9]]), torch.tensor([[-1.0, 1.0, 1.0]]))
        tensor([0.1001])
    """
    candidates = torch.cat([looked + 1e-4, looked], 1)  # just above a -1 place, or at a +1 place
    allowed = torch.cat([said < 0, said > 0], 1)
    agreed = torch.zeros_like(allowed, dtype=torch.int64)
    down, up = said < 0, said > 0
    for places, others, above in ((down, up, False), (up, down, True)):
        count = places.sum(1, keepdim=True)
        ranked = looked.masked_fill(~places, torch.inf).sort(1).values
        below = torch.searchsorted(ranked, candidates)
        hits = count - below if above else below
        agreed += hits * others.sum(1, keepdim=True).clamp(min=1)  # shares, but whole numbers
    best, at = agreed.masked_fill(~allowed, -1).max(1)
    return torch.where(best > 0, candidates.gather(1, at[:, None])[:, 0], 0)


# --- places ---------------------------------------------------------------------------------------


def unit(maps: Flat, there: Bool[Tensor, "items places"]) -> Flat:
    """Min-max to [0, 1] over the places that exist; 0 where a map is constant.

    Example:
        >>> every = torch.ones(2, 3, dtype=torch.bool)
        >>> unit(torch.tensor([[-1.0, 0.0, 3.0], [2.0, 2.0, 2.0]]), every)
        tensor([[0.0000, 0.2500, 1.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    low = maps.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    high = maps.masked_fill(~there, -torch.inf).amax(1, keepdim=True)
    span = high - low
    # what rounding leaves of a constant map is no shape
    noise = 8 * torch.finfo(maps.dtype).eps * torch.maximum(high.abs(), low.abs())
    shaped = (span > noise.clamp(min=LEAST_SPAN)) & there
    return torch.where(shaped, (maps - low) / torch.where(shaped, span, 1), 0)


def _fitted(
    maps: Maps, wanted: Wanted, *, channels: bool = False
) -> tuple[Wanted, Bool[Tensor, "items places"]]:
    """What is wanted at the places of maps, and which of these exist.

    Raises:
        AlignmentError: maps that do not fit what is wanted.
    """
    if len(maps) != len(wanted):
        raise AlignmentError(f"{len(maps)} maps for {len(wanted)} items; give one an item")
    if wanted.of_strokes:
        wanted = _trimmed(maps, wanted)
        places = wanted.must.shape[1]
    elif maps.dim() in ((3, 4) if channels else (3,)):
        places = maps.shape[-2] * maps.shape[-1]
    else:
        raise AlignmentError(
            f"maps are {list(maps.shape)}; expected [items, height, width], as GradCamMaps gives "
            "them" + (", or [items, channels, height, width]" if channels else "")
        )
    every = torch.ones(len(maps), places, dtype=torch.bool, device=maps.device)
    if wanted.there is None:
        return wanted, every
    there = wanted.there.flatten(1)
    # of a drawing without strokes all places are blank
    return wanted, torch.where(there.any(1, keepdim=True), there, every)


def _trimmed(maps: Maps, wanted: Wanted) -> Wanted:
    """Some items of a batch keep its padding, and maps are only as long as the longest of them."""
    longest = maps.shape[1] if maps.dim() == 2 else 0
    there = wanted.there
    spare = wanted.must.shape[1] - longest
    if not longest or spare < 0 or (spare and (there is None or bool(there[:, longest:].any()))):
        raise AlignmentError(
            f"labels are of strokes, {list(wanted.must.shape)}, but maps are {list(maps.shape)}; "
            "take the maps of StrokeScores or StrokeAttention"
        )
    if not spare or there is None:
        return wanted
    must, must_not = wanted.must[:, :longest], wanted.must_not[:, :longest]
    return Wanted(must, must_not, wanted.weight, there[:, :longest])


def _resized(masks: Masks, maps: Maps, *, blur: bool = False, scaled: bool = False) -> Flat:
    """Masks at the size of maps; those of strokes as they are, divided by the largest if scaled."""
    masks = masks.to(maps.dtype)
    if masks.dim() == 2:
        most = masks.amax(1, keepdim=True)
        return masks / torch.where(most > 0, most, 1) if scaled else masks
    size = (maps.shape[-2], maps.shape[-1])
    return at_size(masks, size, blur=blur, scaled=scaled).flatten(1)


def _mean(numbers: Flat, places: Bool[Tensor, "items places"]) -> Items:
    """Over some places of each item; 0 where there are none."""
    return (numbers * places).sum(1) / places.sum(1).clamp(min=1)
