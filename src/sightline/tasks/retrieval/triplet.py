"""What brings a drawing and its photo together and keeps the others apart."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import TaskError, unknown_name
from sightline.models.as_found import as_found
from sightline.models.encoder import MEASURES, Encoder, Measure, similarities
from sightline.models.place import place
from sightline.tasks.retrieval.pair_examples import (
    PairExamples,
    drawing_vectors,
    photo_vectors,
)
from sightline.training.processes import ALONE, Processes

Mining = Literal["hard", "semi-hard", "all"]
Vectors = Float[Tensor, "items dimension"]
AT_ONCE = 250
LONELY = (
    "no item of a batch of {} has a negative: all are of one instance; it gives 0 and teaches "
    "nothing. Give larger batches, or pairs of more instances"
)


def triplet_losses(
    drawings: Vectors,
    photos: Vectors,
    instance: Int[Tensor, " items"],
    *,
    margin: float = 0.2,
    mining: Mining = "semi-hard",
    measure: Measure = "cosine",
) -> Float[Tensor, " items"]:
    """max(0, d(drawing, its photo) - d(drawing, another photo) + margin), of vectors of length 1.

    Convention:
        d is 1 - cosine, or the Euclidean distance. Negatives are the photos of other instances in
        the batch, never a photo of the same one. ``"hard"`` takes the nearest of them;
        ``"semi-hard"`` the nearest of those farther than the drawing's own photo, and where there
        is none, the farthest; ``"all"`` the mean over all. An item without a negative gives 0.

    Args:
        drawings: row i is of the drawing of pair i.
        photos: row i is of its photo.
        instance: what pair i shows.
        margin: by how much nearer the own photo should be.
        mining: which negatives count.
        measure: what d is.

    Raises:
        TaskError: a margin that is not above 0, an unknown mining or measure.

    Example:
        >>> east, north = [1.0, 0.0], [0.0, 1.0]
        >>> drawings, photos = torch.tensor([east, east]), torch.tensor([east, north])
        >>> triplet_losses(drawings, photos, torch.tensor([0, 1]), margin=0.5).tolist()
        [0.0, 1.5]

    Source:
        Schroff et al., "FaceNet", CVPR 2015; Hermans et al., "In defense of the triplet loss",
        2017 (hard). What stands in where no negative is semi-hard is TensorFlow's choice.
    """
    _check_triplet(margin, mining, measure)
    own, distance = _distances(drawings, photos, measure)
    others = instance[:, None] != instance
    if mining == "all":
        hinge = torch.where(others, (own[:, None] - distance + margin).clamp_min(0), 0.0)
        return hinge.sum(1) / others.sum(1).clamp_min(1)
    chosen = _mined(own, distance, others, mining)
    negative = distance.gather(1, chosen[:, None])[:, 0]
    return torch.where(others.any(1), (own - negative + margin).clamp_min(0), 0.0)


def contrastive_losses(
    drawings: Vectors,
    photos: Vectors,
    instance: Int[Tensor, " items"],
    *,
    temperature: float = 0.07,
) -> Float[Tensor, " items"]:
    """Cross entropy of finding the photo by the drawing, and the drawing by the photo, halved.

    Scores are cosines over the temperature. Others of the same instance are left out of the sum:
    they are neither right nor wrong. An item without a negative gives 0.

    Args:
        drawings: row i is of the drawing of pair i.
        photos: row i is of its photo.
        instance: what pair i shows.
        temperature: the lower, the more the nearest negatives count.

    Raises:
        TaskError: a temperature that is not above 0.

    Example:
        >>> vectors = torch.eye(2)
        >>> contrastive_losses(vectors, vectors, torch.tensor([0, 1]), temperature=1.0)
        tensor([0.3133, 0.3133])

    Source:
        van den Oord et al., "Contrastive predictive coding", 2018; symmetric as in Radford et
        al., "CLIP", 2021.
    """
    _check_temperature(temperature)
    scores = F.normalize(drawings, dim=1) @ F.normalize(photos, dim=1).T / temperature
    alike = instance[:, None] == instance
    left_out = alike & ~torch.eye(len(alike), dtype=torch.bool, device=alike.device)
    scores = scores.masked_fill(left_out, -torch.inf)
    return -(scores.log_softmax(1).diagonal() + scores.log_softmax(0).diagonal()) / 2


@dataclass(frozen=True)
class _Matching:
    """What both objectives share: vectors of a batch, and the numbers of validation."""

    @property
    def chooses(self) -> str:
        """Accuracy at 1 on the validation pairs."""
        return "valid_top1"

    @property
    def learnt(self) -> None:
        """Nothing."""

    @property
    def settings(self) -> dict[str, Any]:
        """The loss and its numbers."""
        return {"loss": type(self).__name__, **asdict(self)}

    def losses(
        self, model: Any, batch: Any, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """The loss of each pair; negatives are the other instances of this batch.

        Of several processes each has the negatives of its own share, so that more processes see
        fewer a pair: give a larger batch with them. A batch without any negative gives 0, with a
        warning.

        Args:
            model: an `Encoder` with both branches.
            batch: a `PairBatch`.
            target: the instance of each pair.
        """
        drawings = drawing_vectors(model, batch.drawings)
        photos = photo_vectors(model, batch.photos)
        if not bool((target != target[0]).any()):
            warnings.warn(LONELY.format(len(target)), stacklevel=2)
        # half a precision cannot tell near photos apart
        with torch.autocast(drawings.device.type, enabled=False):
            return {"task": self._losses(_exact(drawings), _exact(photos), target)}

    def validate(self, model: Any, data: Any, processes: Processes) -> dict[str, float]:
        """Accuracy at 1 and at 10, and the mean place, among all photos of the split."""
        places = match_places(model, data, processes=processes)
        return {
            "valid_top1": float((places <= 1).double().mean()),
            "valid_top10": float((places <= 10).double().mean()),
            "valid_place": float(places.double().mean()),
        }

    def _losses(
        self, drawings: Vectors, photos: Vectors, instance: Int[Tensor, " items"]
    ) -> Float[Tensor, " items"]:
        raise NotImplementedError


@dataclass(frozen=True)
class TripletLoss(_Matching):
    """The triplet loss in batches, for the training loop; see `triplet_losses`.

    Args:
        margin: by how much nearer the own photo should be.
        mining: which negatives count.
        measure: what is small between like vectors: 1 - cosine, or the Euclidean distance.

    Raises:
        TaskError: a margin that is not above 0, an unknown mining or measure.

    Example:
        >>> TripletLoss(margin=0.3).settings["loss"]
        'TripletLoss'
    """

    margin: float = 0.2
    mining: Mining = "semi-hard"
    measure: Measure = "cosine"

    def __post_init__(self) -> None:
        _check_triplet(self.margin, self.mining, self.measure)

    def _losses(
        self, drawings: Vectors, photos: Vectors, instance: Int[Tensor, " items"]
    ) -> Float[Tensor, " items"]:
        return triplet_losses(drawings, photos, instance, **asdict(self))


@dataclass(frozen=True)
class Contrastive(_Matching):
    """The contrastive loss in batches, for the training loop; see `contrastive_losses`.

    Args:
        temperature: the lower, the more the nearest negatives count.

    Raises:
        TaskError: a temperature that is not above 0.
    """

    temperature: float = 0.07

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)

    def _losses(
        self, drawings: Vectors, photos: Vectors, instance: Int[Tensor, " items"]
    ) -> Float[Tensor, " items"]:
        return contrastive_losses(drawings, photos, instance, temperature=self.temperature)


def match_places(
    encoder: Encoder, data: PairExamples, *, processes: Processes = ALONE
) -> Int[Tensor, " drawings"]:
    """The place of each drawing's own photo among all, from 1; the model is left as it came.

    Photos that are just as near stand before it, so that an encoder that answers the same to
    everything is last and not first. Several processes share the encoding; all get all places.

    Args:
        encoder: with both branches; its own measure compares.
        data: drawings, and the gallery.
        processes: those that share the work; all must call this.
    """
    drawings = _encoded(encoder, data, "drawn", len(data), processes)
    photos = _encoded(encoder, data, "gallery", len(data.photos), processes)
    places = []
    for chosen in torch.arange(len(data)).split(AT_ONCE):
        near = torch.cat(
            [
                similarities(drawings[chosen], some, encoder.measure)
                for some in photos.split(AT_ONCE)
            ],
            1,
        )
        own = near.gather(1, data.targets(chosen)[:, None])
        places.append((~(near < own)).sum(1))  # so that NaN is last, too
    return torch.cat(places)


@torch.no_grad()
def _encoded(
    encoder: Encoder, data: PairExamples, what: str, count: int, processes: Processes
) -> Float[Tensor, "items dimension"]:
    """Vectors of drawings or of photos, on the CPU; whole batches, each by one process."""
    device, dtype = place(encoder)
    batches = torch.arange(count).split(AT_ONCE)
    table: Tensor | None = None
    # every process encodes the first batch: it tells the dimension, and counts in one only
    for index, chosen in enumerate(batches):
        if index and index % processes.count != processes.rank:
            continue
        with as_found(encoder):
            if what == "drawn":
                found = drawing_vectors(encoder, data.drawn(chosen).to(device, dtype))
            else:
                found = photo_vectors(encoder, data.gallery(chosen).to(device, dtype))
        if table is None:
            table = torch.zeros(count, found.shape[1])
        if index % processes.count == processes.rank:
            table[chosen] = found.float().cpu()
    assert table is not None  # noqa: S101, examples are never empty
    return processes.sum(table)


def _exact(vectors: Vectors) -> Vectors:
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def _distances(
    drawings: Vectors, photos: Vectors, measure: Measure
) -> tuple[Float[Tensor, " items"], Float[Tensor, "items items"]]:
    """Of each drawing to its own photo, and to every photo."""
    drawings, photos = F.normalize(drawings, dim=1), F.normalize(photos, dim=1)
    alike = similarities(drawings, photos, measure)
    distance = 1 - alike if measure == "cosine" else -alike
    return distance.diagonal(), distance


def _mined(
    own: Float[Tensor, " items"],
    distance: Float[Tensor, "items items"],
    others: Bool[Tensor, "items items"],
    mining: Mining,
) -> Int[Tensor, " items"]:
    """The photo of another instance that each drawing is told apart from."""
    nearest = distance.masked_fill(~others, math.inf)
    if mining == "hard":
        return nearest.argmin(1)
    farther = others & (distance > own[:, None])
    semi_hard = distance.masked_fill(~farther, math.inf).argmin(1)
    farthest = distance.masked_fill(~others, -math.inf).argmax(1)
    return torch.where(farther.any(1), semi_hard, farthest)


def _check_triplet(margin: float, mining: str, measure: str) -> None:
    if not 0 < margin < math.inf:
        raise TaskError(f"the margin is {margin}; expected a number above 0, such as 0.2")
    if mining not in get_args(Mining):
        raise TaskError(unknown_name("mining", mining, get_args(Mining)))
    if measure not in MEASURES:
        raise TaskError(unknown_name("measure", measure, MEASURES))


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise TaskError(f"the temperature is {temperature}; expected a number above 0, such as 0.1")
