"""The similarity of D-RISE: how well what a detector found matches a box that is asked about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import GameError, unknown_name
from sightline.image.boxes import iou
from sightline.models.detector import Candidates, Detections

Objectness = Literal["score", "omitted"]
OBJECTNESS: tuple[Objectness, ...] = ("score", "omitted")


def similarity(
    found: Sequence[Detections] | Candidates,
    boxes: Float[Tensor, "targets 4"],
    distributions: Float[Tensor, "_ labels"],
    *,
    objectness: Objectness = "score",
    without: Collection[int] = (),
) -> Float[Tensor, "rows targets"]:
    """For each picture and each target, the best of all boxes found there.

    The similarity of a target and a found box is IoU x cosine of their distributions x the
    objectness of the found box. A picture in which nothing is found gets 0.

    Args:
        found: what a detector reports in each picture (a black box), or all candidates of a dense
            head; the latter is differentiable, by the boxes and by the scores.
        boxes: the targets' places, xyxy in the same pixels as what is found.
        distributions: the targets' scores of all labels; one-hot for an object that the detector
            missed (`one_hot`).
        objectness: most heads have none of their own. ``"score"`` takes the score of the box: of a
            detection its own, of a candidate the highest of its labels. ``"omitted"`` takes 1, as
            the paper does for such heads.
        without: columns that are no objects, such as background; the cosine leaves them out.

    Returns:
        In [0, 1]; float64 for detections, in the type of the boxes for candidates.

    Raises:
        GameError: targets of different numbers, or labels that do not fit.

    Example:
        >>> cat = Detections(
        ...     torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([0.5]), torch.tensor([1])
        ... )
        >>> where, what = torch.tensor([[0.0, 0.0, 4.0, 8.0]]), one_hot(torch.tensor([1]), 3)
        >>> similarity([cat], where, what).tolist()  # half the place, half the score
        [[0.25]]

    Source:
        Petsiuk et al., CVPR 2021, eq. 1 to 4: s = s_L s_P s_O, and the maximum over all boxes.
        The paper leaves the objectness out where a head has none. Here the score stands in for
        it: a cosine is blind to size, so that a candidate of which nothing is left but the shape
        of its distribution, one among thousands, would count as much as a sure one; and a
        black box that reports one label a box would answer yes or no.
    """
    _check(boxes, distributions, objectness)
    kept = _kept(distributions.shape[1], without)
    if isinstance(found, Candidates):
        return _of_candidates(found, boxes, distributions, kept, objectness)
    return _of_detections(found, boxes, distributions, kept, objectness)


def one_hot(labels: Int[Tensor, " boxes"], columns: int) -> Float[Tensor, "boxes labels"]:
    """The distribution of a box of which only the label is known.

    Raises:
        GameError: a label that is no column.

    Example:
        >>> one_hot(torch.tensor([2]), 4).tolist()
        [[0.0, 0.0, 1.0, 0.0]]
    """
    outside = (labels < 0) | (labels >= columns)
    if bool(outside.any()):
        raise GameError(
            f"label {int(labels[outside][0])} is out of range: there are {columns}, 0 to "
            f"{columns - 1}"
        )
    return F.one_hot(labels.long(), columns).float()


def _of_candidates(
    found: Candidates, boxes: Tensor, distributions: Tensor, kept: list[int], objectness: Objectness
) -> Tensor:
    _check_columns(found.scores.shape[2], distributions, "candidates")
    places = boxes.to(found.boxes).expand(len(found), -1, -1)
    overlap = iou(places, found.boxes)  # [rows, targets, candidates]
    scores = found.scores[..., kept]
    alike = _cosine(distributions.to(scores)[:, kept], scores)
    sure = scores.amax(-1)[:, None] if objectness == "score" else 1.0
    together = overlap * alike * sure
    # a picture without candidates: a maximum needs one
    return F.pad(together, (0, 1)).amax(-1)


def _of_detections(
    found: Sequence[Detections],
    boxes: Tensor,
    distributions: Tensor,
    kept: list[int],
    objectness: Objectness,
) -> Tensor:
    """Boxes of all pictures in one row, and then the best of each picture."""
    asked = distributions.double()
    best = asked.new_zeros(len(found), len(boxes))
    if not sum(len(each) for each in found):
        return best
    of_picture = torch.tensor([len(each) for each in found], device=best.device)
    picture = torch.arange(len(found), device=best.device).repeat_interleave(of_picture)
    places = torch.cat([each.boxes for each in found]).to(asked)
    together = iou(places, boxes.to(asked))  # [found, targets]
    labels = torch.cat([_distributions(each, asked) for each in found])
    together = together * _cosine(asked[:, kept], labels[:, kept]).T
    if objectness == "score":
        together = together * torch.cat([each.scores for each in found]).to(asked)[:, None]
    # 0 takes part, which is what a picture without boxes keeps
    return best.scatter_reduce(0, picture[:, None].expand_as(together), together, "amax")


def _distributions(found: Detections, asked: Tensor) -> Tensor:
    if found.distributions is None:
        return one_hot(found.labels, asked.shape[1]).to(asked)
    _check_columns(found.distributions.shape[1], asked, "detections")
    return found.distributions.to(asked)


def _cosine(
    asked: Float[Tensor, "targets labels"], found: Float[Tensor, "*rows found labels"]
) -> Float[Tensor, "*rows targets found"]:
    """Cosine of each with each; 0 where either is all zeros."""
    return F.normalize(asked, dim=-1) @ F.normalize(found, dim=-1).mT


def _kept(columns: int, without: Collection[int]) -> list[int]:
    kept = [i for i in range(columns) if i not in without]
    if not kept:
        raise GameError(f"no column is left of {columns} without {sorted(without)}")
    return kept


def _check(boxes: Tensor, distributions: Tensor, objectness: str) -> None:
    if objectness not in OBJECTNESS:
        raise GameError(unknown_name("objectness", objectness, OBJECTNESS))
    if len(boxes) != len(distributions):
        raise GameError(
            f"{len(boxes)} boxes and {len(distributions)} distributions; a target is one of each"
        )


def _check_columns(columns: int, distributions: Tensor, what: str) -> None:
    if columns != distributions.shape[1]:
        raise GameError(
            f"the targets' distributions have {distributions.shape[1]} labels, those of the {what} "
            f"{columns}; give the detector's own columns, background and all"
        )
