"""torchvision's one-stage detectors: SSD, SSDlite, RetinaNet, FCOS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.as_found import as_found
from sightline.models.detector import (
    SCORE_THRESHOLD,
    Candidates,
    Detections,
    candidates_behind,
    watch,
)
from sightline.models.torchvision_sight import (
    as_images,
    as_maps,
    as_weights_are,
    clipped,
    frame_of,
    library_finds,
    named,
)

Family = Literal["ssd", "retinanet", "fcos"]


class TorchvisionDense(nn.Module):
    """A one-stage detector of torchvision whose anchors can be asked.

    Every anchor (in FCOS every place) is a candidate, in the order of the library's own anchors.
    Scores are the library's: softmax with background as column 0 (SSD, SSDlite), sigmoid
    (RetinaNet), and in FCOS the root of class times centreness, whose ``logits`` are its log-odds.
    ``features`` are the maps that the head reads, one a level.

    Args:
        module: `SSD`, `RetinaNet` or `FCOS` of torchvision.models.detection; it is not copied.
        family: which.
        labels: names of the columns of the head, background too where it has one; numbered by
            default.

    Raises:
        ModelError: another number of labels than the head has columns.
    """

    module: Any

    def __init__(
        self, module: nn.Module, family: Family, labels: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.module = module
        self.training = module.training
        self.family = family
        head = self.module.head.classification_head
        count = getattr(head, "num_columns" if family == "ssd" else "num_classes", None)
        self.labels = named(None if labels is None else tuple(labels), count)

    def frame(self, height: int, width: int) -> Frame:
        """Torchvision's resizing."""
        return frame_of(self.module.transform, (height, width))

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """Every anchor of RGB in [0, 1]; boxes are not clipped."""
        module = self.module
        images = as_images(module.transform, as_weights_are(module, pictures))
        maps = [watch(m) for m in as_maps(module.backbone(images.tensors)).values()]
        answer = module.head(maps)
        anchors = torch.stack(module.anchor_generator(images, maps))
        scores, logits = _ACTIVATIONS[self.family](answer)
        counts = module.anchor_generator.num_anchors_per_location()
        sizes = [m.shape[2] * m.shape[3] * a for m, a in zip(maps, counts, strict=True)]
        level = torch.repeat_interleave(torch.arange(len(maps)), torch.tensor(sizes))
        padded = (images.tensors.shape[2], images.tensors.shape[3])
        return Candidates(
            self._decoded(answer["bbox_regression"], anchors),
            scores,
            logits,
            tuple(maps),
            level.to(scores.device),
            None if padded == tuple(pictures.shape[2:]) else padded,
        )

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """What the library reports, each box with the anchor that it came from.

        The module's own ``score_thresh`` comes first: to see lower scores, lower that.
        """
        with as_found(self), torch.no_grad():
            return [self._detections(photo, threshold) for photo in photos]

    def _detections(self, photo: Photo, threshold: float) -> Detections:
        found = library_finds(self.module, photo)
        keep = found["scores"] >= threshold
        detections = Detections(
            found["boxes"][keep].float(),
            found["scores"][keep].float(),
            found["labels"][keep],
            tuple(self.labels[i] for i in found["labels"][keep].tolist()),
        )
        frame = self.frame(*photo.size)
        dense = self.dense(frame.pixels(photo)[None])
        scores = dense.scores.float().cpu()
        at = clipped(dense.boxes, frame).float().cpu()
        behind = candidates_behind(detections, Candidates(at, scores, scores))
        return replace(detections, candidates=behind, distributions=scores[0][behind])

    def _decoded(self, offsets: Tensor, anchors: Tensor) -> Tensor:
        if self.family == "fcos":
            return self.module.box_coder.decode(offsets, anchors)
        flat = self.module.box_coder.decode_single(offsets.flatten(0, 1), anchors.flatten(0, 1))
        return flat.unflatten(0, offsets.shape[:2])


def _softmax(answer: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    logits = answer["cls_logits"]
    return logits.softmax(-1), logits


def _sigmoid(answer: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    logits = answer["cls_logits"]
    return logits.sigmoid(), logits


def _centred(answer: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The root of class times centreness, and its log-odds, both from logarithms."""
    log = (F.logsigmoid(answer["cls_logits"]) + F.logsigmoid(answer["bbox_ctrness"])) / 2
    log = log.clamp(max=-torch.finfo(log.dtype).tiny)  # at a score of 1 log-odds have no number
    return log.exp(), log - torch.log(-torch.expm1(log))


_ACTIVATIONS: dict[str, Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]] = {
    "ssd": _softmax,
    "retinanet": _sigmoid,
    "fcos": _centred,
}
