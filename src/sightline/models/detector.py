"""What a game asks of a model of photos: detectors, dense or black, and classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import ModelError
from sightline.image.boxes import areas, iou
from sightline.image.frame import Frame
from sightline.image.photo import Photo

SCORE_THRESHOLD = 0.5

NO_OBJECTS = frozenset({"background", "__background__", "???", "N/A", "no object"})
"""Names that libraries give to columns in which no object is meant."""


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that a detector reports in one photo, the highest score first.

    Args:
        boxes: xyxy in pixels of the photo.
        scores: in [0, 1].
        labels: columns of the detector's ``labels``.
        names: of those labels.
        candidates: index of the dense candidate behind each box; None from a black box.
        distributions: the score of every label at each box, where known.

    Raises:
        ModelError: fields of different lengths.
    """

    boxes: Float[Tensor, "boxes 4"]
    scores: Float[Tensor, " boxes"]
    labels: Int[Tensor, " boxes"]
    names: tuple[str, ...] = ()
    candidates: Int[Tensor, " boxes"] | None = None
    distributions: Float[Tensor, "boxes labels"] | None = None

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(str(int(i)) for i in self.labels))
        lengths = [len(self.boxes), len(self.scores), len(self.labels), len(self.names)]
        lengths += [len(f) for f in (self.candidates, self.distributions) if f is not None]
        if len(set(lengths)) != 1:
            raise ModelError(
                f"detections have {lengths} boxes, scores, labels, names ...; give one of each a "
                "box"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: Tensor | Sequence[int] | slice) -> Detections:
        """Some of them, by index or mask."""
        index = torch.arange(len(self))
        if not isinstance(chosen, slice):
            chosen = torch.as_tensor(chosen).cpu()
            chosen = chosen if chosen.numel() else chosen.long()  # an empty list has no kind
        index = index[chosen]
        at = index.to(self.boxes.device)
        return Detections(
            self.boxes[at],
            self.scores[at],
            self.labels[at],
            tuple(self.names[i] for i in index.tolist()),
            None if self.candidates is None else self.candidates[at],
            None if self.distributions is None else self.distributions[at],
        )

    def above(self, threshold: float) -> Detections:
        """Those with at least this score."""
        return self[(self.scores >= threshold).cpu()]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything that a dense head says of some pictures, before anything is thrown away.

    Args:
        boxes: xyxy in pixels of the network's picture, not clipped. (A game moves them to the
            photo's before its targets see them.)
        scores: of each label, in [0, 1], as the detector itself reports them.
        logits: what the activation was given.
        features: the feature maps that feed the heads; gradients stop there when nothing below
            needs any (`watch`).
        level: which of ``features`` feeds each candidate.
        extent: height and width, in pixels of the picture, that the maps of ``features`` span,
            where that is not the picture: a network that pads its input sees past its edge.
    """

    boxes: Float[Tensor, "pictures candidates 4"]
    scores: Float[Tensor, "pictures candidates labels"]
    logits: Float[Tensor, "pictures candidates labels"]
    features: tuple[Tensor, ...] = ()
    level: Int[Tensor, " candidates"] | None = None
    extent: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def in_photo(self, frame: Frame) -> Candidates:
        """The same, boxes in pixels of the photo."""
        return replace(self, boxes=frame.back_boxes(self.boxes))


Reply = Tensor | Candidates | list[Detections]
"""What a model answers: logits of a classifier, candidates of a dense head, a black box's boxes."""


@runtime_checkable
class Detector(Protocol):
    """Finds boxes in photos; nothing more is known of a black box."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all columns of a distribution, background and unused ones too."""

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score, after the detector's own suppression."""


@runtime_checkable
class PhotoModel(Protocol):
    """Reads pictures of a photo in a frame of its own: a classifier, or a dense detector."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the numbers; empty where they have none."""

    def frame(self, height: int, width: int) -> Frame:
        """How a photo of this size becomes the picture that the network reads."""


@runtime_checkable
class PhotoClassifier(PhotoModel, Protocol):
    """Answers pictures with logits."""

    def look(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Tensor:
        """Logits ``[pictures, classes]`` of RGB in [0, 1]."""


@runtime_checkable
class DenseDetector(PhotoModel, Detector, Protocol):
    """A detector whose every candidate can be asked, and differentiated."""

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """All candidates of RGB in [0, 1]; differentiable by the pictures."""


@runtime_checkable
class ProposingDetector(DenseDetector, Protocol):
    """A two-stage detector: its candidates are proposals, which a game holds fixed.

    ``dense`` of a picture uses the proposals of that picture; for masked pictures the game asks
    with those of the whole photo, so that a candidate means the same place throughout.
    """

    def propose(self, picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "candidates 4"]:
        """Boxes, in pixels of the picture, that the second stage would look at."""

    def dense_at(
        self,
        pictures: Float[Tensor, "pictures 3 height width"],
        proposals: Float[Tensor, "candidates 4"],
    ) -> Candidates:
        """What the second stage says of given boxes."""


def watch(feature: Tensor) -> Tensor:
    """A feature map on its way to a head, made differentiable where gradients are recorded.

    Doors call it on every map that they put into `Candidates.features`, so that a backward pass
    from a candidate can stop there.
    """
    if torch.is_grad_enabled() and not feature.requires_grad:
        return feature.detach().requires_grad_()
    return feature


def candidates_behind(
    detections: Detections, candidates: Candidates, *, most_apart: float = 0.5
) -> Int[Tensor, " boxes"]:
    """Which candidate of one picture each detection came from: same label, score and place.

    Args:
        detections: in pixels of the network's picture.
        candidates: of that one picture.
        most_apart: of a score (times 1,000) or of an edge (in pixels) that counts as the same;
            looser detectors round more.

    Raises:
        ModelError: a detection that no candidate explains.
    """
    if not len(detections):
        return torch.zeros(0, dtype=torch.int64)
    kind, device = candidates.boxes.dtype, candidates.boxes.device
    boxes, scores = detections.boxes.to(device, kind), detections.scores.to(device, kind)
    of_label = candidates.scores[0].T[detections.labels.to(device)]
    apart = 1000 * (of_label - scores[:, None]).abs()  # [boxes, candidates]
    edges = (candidates.boxes[0][None] - boxes[:, None]).abs().amax(-1)
    # a box may have been clipped to the picture, so a bad place is forgiven where scores agree
    overlap = iou(boxes, candidates.boxes[0])
    both = areas(boxes)[:, None] + areas(candidates.boxes[0])
    within = overlap * both / (1 + overlap) > 0.99 * areas(boxes)[:, None]
    distance = apart + torch.where((overlap > 0.5) | within, torch.zeros_like(edges), edges)
    nearest = (distance + 1e-3 * edges).argmin(1)
    worst = distance.gather(1, nearest[:, None])[:, 0]
    if bool((worst > most_apart).any()):
        lost = int((worst > most_apart).nonzero()[0])
        raise ModelError(
            f"detection {lost} ({detections.names[lost]} {float(detections.scores[lost]):.3f}) "
            "is behind no dense candidate; this version of the library decodes differently"
        )
    return nearest.to(detections.labels.device)
