"""torchvision's two-stage detectors: Faster R-CNN, Mask R-CNN, Keypoint R-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
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

LOOSE = 20.0
"""Two runs of a region proposal network differ in the last digits, and now and then by a box; so
a detection is matched to the nearest proposal that scores within 0.02 of it."""


class TorchvisionRCNN(nn.Module):
    """A two-stage detector of torchvision whose proposals can be asked.

    Each proposal is a candidate. The second stage gives it one box a label; a candidate's box is
    that of its best label, background left out, and `detect` reports the library's own boxes,
    those of weaker labels too. ``logits`` go into a softmax with background as column 0.
    ``features`` are the maps that regions are pooled from; ``level`` says from which, by the
    proposal's size.

    Args:
        module: `FasterRCNN`, `MaskRCNN` or `KeypointRCNN` of torchvision.models.detection; it is
            not copied.
        labels: names of the columns of the head, background too; numbered by default.

    Raises:
        ModelError: another number of labels than the head has columns.
    """

    module: Any

    def __init__(self, module: nn.Module, labels: Sequence[str] | None = None) -> None:
        super().__init__()
        self.module = module
        self.training = module.training
        score = getattr(self.module.roi_heads.box_predictor, "cls_score", None)
        count = getattr(score, "out_features", None)
        self.labels = named(None if labels is None else tuple(labels), count)

    def frame(self, height: int, width: int) -> Frame:
        """Torchvision's resizing; its padding is not part of the picture."""
        return frame_of(self.module.transform, (height, width))

    def propose(self, picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "candidates 4"]:
        """The first stage's boxes, the best first."""
        with as_found(self), torch.no_grad():
            images = as_images(self.module.transform, as_weights_are(self.module, picture[None]))
            proposals, _ = self.module.rpn(images, as_maps(self.module.backbone(images.tensors)))
        return proposals[0]

    def dense_at(
        self,
        pictures: Float[Tensor, "pictures 3 height width"],
        proposals: Float[Tensor, "candidates 4"],
    ) -> Candidates:
        """What the second stage says of given boxes, the same in every picture."""
        logits, boxes, maps, padded = self._look(pictures, [proposals] * len(pictures))
        shape = (len(pictures), len(proposals), logits.shape[1])
        logits, boxes = logits.reshape(shape), boxes.reshape(*shape, 4)
        extent = None if padded == tuple(pictures.shape[2:]) else padded
        level = self._level(proposals.to(logits.device))
        return Candidates(
            _of_best_label(boxes, logits), logits.softmax(-1), logits, maps, level, extent
        )

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """What the second stage says of each picture's own proposals.

        Pictures with fewer proposals than others get empty boxes, sure to be background.
        ``level`` is None for several pictures, since each has its own.
        """
        own = [self.propose(picture) for picture in pictures.detach()]
        if len(own) == 1:
            return self.dense_at(pictures, own[0])
        logits, boxes, maps, padded = self._look(pictures, own)
        counts = [len(proposals) for proposals in own]
        nothing = F.one_hot(torch.tensor(0), logits.shape[1]).to(logits) * 1000 - 1000
        chosen = _of_best_label(boxes[None], logits[None])[0].split(counts)
        most = max(counts)
        filled = [
            torch.cat([row, nothing.expand(most - len(row), -1)]) for row in logits.split(counts)
        ]
        stacked = torch.stack(filled)
        placed = torch.stack([F.pad(b, (0, 0, 0, most - len(b))) for b in chosen])
        extent = None if padded == tuple(pictures.shape[2:]) else padded
        return Candidates(placed, stacked.softmax(-1), stacked, maps, None, extent)

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """What the library reports, each box with the proposal that it came from.

        ``candidates`` count the boxes of `propose` of the photo's picture. The module's own
        ``score_thresh`` comes first: to see lower scores, lower that.
        """
        with as_found(self), torch.no_grad():
            return [self._detections(photo, threshold) for photo in photos]

    def _detections(self, photo: Photo, threshold: float) -> Detections:
        found = library_finds(self.module, photo)
        keep = found["scores"] >= threshold
        labels = found["labels"][keep]
        detections = Detections(
            found["boxes"][keep].float(),
            found["scores"][keep].float(),
            labels,
            tuple(self.labels[i] for i in labels.tolist()),
        )
        frame = self.frame(*photo.size)
        picture = frame.pixels(photo)
        logits, boxes, _, _ = self._look(picture[None], [self.propose(picture)])
        scores = logits.softmax(-1).float().cpu()
        at = clipped(boxes, frame).float().cpu()
        behind = torch.zeros_like(labels)
        for label in labels.unique():  # each label has a box of its own
            same = labels == label
            of_label = Candidates(at[None, :, label], scores[None], scores[None])
            behind[same] = candidates_behind(detections[same], of_label, most_apart=LOOSE)
        return replace(detections, candidates=behind, distributions=scores[behind])

    def _look(
        self,
        pictures: Float[Tensor, "pictures 3 height width"],
        proposals: Sequence[Float[Tensor, "_ 4"]],
    ) -> tuple[
        Float[Tensor, "proposals labels"],
        Float[Tensor, "proposals labels 4"],
        tuple[Tensor, ...],
        tuple[int, int],
    ]:
        """Logits and boxes of all proposals, the maps they are pooled from, the padded size."""
        heads = self.module.roi_heads
        images = as_images(self.module.transform, as_weights_are(self.module, pictures))
        maps = as_maps(self.module.backbone(images.tensors))
        names = [name for name in maps if name in heads.box_roi_pool.featmap_names]
        if not names:
            raise ModelError(
                f"the head pools from {heads.box_roi_pool.featmap_names}, the backbone gives "
                f"{list(maps)}; the two were not made for each other"
            )
        maps |= {name: watch(maps[name]) for name in names}
        regions = [p.to(images.tensors) for p in proposals]
        pooled = heads.box_head(heads.box_roi_pool(maps, regions, images.image_sizes))
        logits, offsets = heads.box_predictor(pooled)
        boxes = heads.box_coder.decode(offsets, regions).reshape(len(logits), -1, 4)
        padded = (images.tensors.shape[2], images.tensors.shape[3])
        return logits, boxes, tuple(maps[name] for name in names), padded

    def _level(self, proposals: Float[Tensor, "candidates 4"]) -> Int[Tensor, " candidates"]:
        pool = self.module.roi_heads.box_roi_pool
        if len(pool.featmap_names) == 1:
            return torch.zeros(len(proposals), dtype=torch.int64, device=proposals.device)
        return pool.map_levels([proposals])


def _of_best_label(
    boxes: Float[Tensor, "pictures candidates labels 4"],
    logits: Float[Tensor, "pictures candidates labels"],
) -> Float[Tensor, "pictures candidates 4"]:
    best = 1 + logits.detach()[..., 1:].argmax(-1)
    return boxes.gather(2, best[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
