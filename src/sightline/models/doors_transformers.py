"""The door to the query detectors of transformers: DETR and its kin, YOLOS."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.errors import ModelError, first_line
from sightline.image.boxes import from_centres
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.as_found import as_found
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections, watch
from sightline.models.place import place
from sightline.models.transformers_sight import Sight

NO_OBJECT = "no object"
SOFTMAX = ("detr", "table-transformer", "yolos")
"""Model types whose last column says that a query found nothing."""
MOST = {"deformable_detr": 100, "conditional_detr": 100, "dab-detr": 100}
"""Boxes a photo at most, as the library's processor of that type has it; others: one a query."""


class TransformersDetector(nn.Module):
    """A detector of transformers that answers with ``logits`` and ``pred_boxes``.

    Each query is a candidate. Where the last column is "no object" (DETR, YOLOS), scores are a
    softmax and the column is kept as the label ``"no object"``; elsewhere (Deformable DETR,
    RT-DETR ...) they are sigmoids.

    Every query reads every place, through attention, so no map belongs to one candidate.
    ``features`` are the maps where the picture is last a grid on its way to all queries: what the
    backbone hands to the encoder (for DETR its last map, for the others all of them; ``level``
    names the last, coarsest one), or, in YOLOS, the patch tokens as they enter the last layer,
    where detection tokens read them for the last time. Behind that layer patch tokens reach no
    query, and their gradient is zero.

    Args:
        module: e.g. `DetrForObjectDetection`, `RTDetrForObjectDetection`,
            `DeformableDetrForObjectDetection`, `YolosForObjectDetection`. Used, not copied.
        processor: its image processor, or the contents of ``preprocessor_config.json``; by default
            the sizes and the normalisation that its kind was published with.
        labels: names of the classes, without "no object"; by default the config's.
        no_object: whether the last column is "no object"; by default by the kind of model.

    Raises:
        ModelError: no such module, a processor that does what no frame can, or another number of
            labels than of classes.
    """

    module: Any

    def __init__(
        self,
        module: nn.Module,
        *,
        processor: object | None = None,
        labels: Sequence[str] | None = None,
        no_object: bool | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.training = module.training
        config: Any = getattr(module, "config", None)
        if not hasattr(config, "id2label"):
            raise ModelError(
                f"{type(module).__name__} is no detector of transformers: it has no config with "
                "id2label; any other detector goes through CallableDetector"
            )
        kind = getattr(config, "model_type", "")
        self.sight = Sight.of(processor, kind)
        self.no_object = kind in SOFTMAX if no_object is None else no_object
        self.most: int | None = MOST.get(kind)
        self.labels = _labels(config.id2label, labels) + (NO_OBJECT,) * self.no_object

    def frame(self, height: int, width: int) -> Frame:
        """The processor's resizing, by Pillow's averages."""
        return self.sight.frame(height, width)

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """All queries of RGB in [0, 1].

        Raises:
            ModelError: the module's answer has other columns than labels, or no boxes.
        """
        device, dtype = place(self.module)
        ready = self.sight.normalised(pictures.to(device, dtype))
        with _watched(self.module, ready) as maps:
            answer = self.module(pixel_values=ready)
        logits, boxes = _parts(answer, len(self.labels))
        high, wide = pictures.shape[2:]
        scores = logits.softmax(-1) if self.no_object else logits.sigmoid()
        last = len(maps) - 1
        level = torch.full((logits.shape[1],), last, dtype=torch.int64, device=logits.device)
        return Candidates(
            from_centres(boxes) * boxes.new_tensor([wide, high, wide, high]),
            scores,
            logits,
            tuple(maps),
            level if maps else None,
        )

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """The boxes of the library's ``post_process_object_detection``, the highest score first.

        With "no object" each query gives its best label; without, the best pairs of query and
        label, so a query may report two. There is no suppression, and boxes are not clipped.
        """
        with as_found(self), torch.no_grad():
            return [self._detections(photo, threshold) for photo in photos]

    def _detections(self, photo: Photo, threshold: float) -> Detections:
        frame = self.frame(*photo.size)
        dense = self.dense(frame.pixels(photo)[None])
        scores = dense.scores[0].float().cpu()
        boxes = frame.back_boxes(dense.boxes[0]).float().cpu()
        query, label = self._best(scores)
        score = scores[query, label]
        order = score.argsort(descending=True, stable=True)
        order = order[score[order] >= threshold]
        query, label = query[order], label[order]
        names = tuple(self.labels[i] for i in label.tolist())
        return Detections(boxes[query], score[order], label, names, query, scores[query])

    def _best(
        self, scores: Float[Tensor, "queries labels"]
    ) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
        """Query and label of every box that the library would consider."""
        if self.no_object:
            return torch.arange(len(scores)), scores[:, :-1].argmax(1)
        flat = scores.flatten()
        most = len(scores) if self.most is None else self.most
        best = flat.topk(min(most, len(flat))).indices
        return best // scores.shape[1], best % scores.shape[1]


def load_transformers_detector(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    revision: str | None = None,
) -> TransformersDetector:
    """A detector from a folder or from the Hugging Face hub, with its processor's settings.

    No code of the repository is run, and weights are read without unpickling objects.

    Args:
        name: a folder, or ``"org/name"``, which is downloaded once and cached.
        labels: names of the classes; by default the config's.
        revision: of a hub repository.

    Raises:
        ModelError: no transformers, nothing there, no network, or no detector.
    """
    try:
        from transformers import AutoModelForObjectDetection
        from transformers.image_processing_base import ImageProcessingMixin
    except ImportError as error:
        raise ModelError("this needs transformers: pip install 'sightline[detectors]'") from error
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name, revision=revision)
        module = AutoModelForObjectDetection.from_pretrained(
            name, revision=revision, trust_remote_code=False, weights_only=True
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"{name} cannot be loaded as a detector of transformers ({first_line(error)}); give a "
            "folder, or org/name of the hub"
        ) from error
    return TransformersDetector(module.eval(), processor=settings, labels=labels)


@contextlib.contextmanager
def _watched(module: Any, pictures: Tensor) -> Iterator[list[Tensor]]:
    """While inside, the maps that queries read are kept in the list, and gradients may stop there.

    What cannot be found in a module of another make is left out: its list stays empty.
    """
    maps: list[Tensor] = []
    with contextlib.ExitStack() as stack:
        for handle in _hooks(module, pictures, maps):
            stack.callback(handle.remove)
        yield maps


def _hooks(module: Any, pictures: Tensor, maps: list[Tensor]) -> list[Any]:
    if module.config.model_type == "yolos":
        tokens = _patches(module.config, pictures, maps)
        return [module.vit.encoder.layer[-1].register_forward_pre_hook(tokens)]
    backbone = getattr(getattr(module, "model", None), "backbone", None)
    if backbone is None:
        return []
    # before transformers 5 the backbone came together with the position embedding
    encoder = getattr(backbone, "conv_encoder", backbone)
    several = hasattr(module.model, "encoder_input_proj") or hasattr(module.model, "input_proj")

    def keep(_: nn.Module, __: object, pairs: list[tuple[Tensor, Tensor]]) -> object:
        used = range(len(pairs)) if several else [len(pairs) - 1]
        pairs = [(watch(m), s) if i in used else (m, s) for i, (m, s) in enumerate(pairs)]
        maps.extend(pairs[i][0] for i in used)
        return pairs

    return [encoder.register_forward_hook(keep)]


def _patches(
    config: Any, pictures: Tensor, maps: list[Tensor]
) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Cuts the patch tokens out of class token, patches, detection tokens, as a map."""
    side = config.patch_size
    high, wide = (side, side) if isinstance(side, int) else side
    cells = (pictures.shape[2] // high, pictures.shape[3] // wide)
    found = config.num_detection_tokens

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        tokens = inputs[0]  # [pictures, 1 + patches + found, hidden]
        grid = watch(tokens[:, 1:-found].transpose(1, 2).unflatten(2, cells))
        maps.append(grid)
        patches = grid.flatten(2).transpose(1, 2)
        return (torch.cat([tokens[:, :1], patches, tokens[:, -found:]], 1), *inputs[1:])

    return keep


def _parts(answer: Any, columns: int) -> tuple[Tensor, Tensor]:
    logits, boxes = getattr(answer, "logits", None), getattr(answer, "pred_boxes", None)
    if not isinstance(logits, Tensor) or not isinstance(boxes, Tensor):
        raise ModelError(
            f"the module answered with {type(answer).__name__}; expected an output with logits and "
            "pred_boxes, as detectors of transformers give it"
        )
    if logits.shape[-1] != columns:
        raise ModelError(
            f"the module answers {logits.shape[-1]} columns for {columns} labels; where the last "
            "column means 'no object', say no_object=True, where it does not, no_object=False"
        )
    return logits, boxes


def _labels(known: Mapping[Any, str], given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None and len(given) != len(known):
        raise ModelError(f"the module knows {len(known)} classes, {len(given)} labels were given")
    return tuple(given) if given is not None else tuple(known[i] for i in sorted(known))
