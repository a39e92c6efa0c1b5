"""What another program says of a photo, made into detections or refused by photo and box."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from sightline.errors import ModelError, first_line
from sightline.image.photo import Photo
from sightline.models.detector import Detections

FIELDS = ("boxes", "scores", "labels", "distributions")
ROUNDING = 1e-5
"""By which a score may lie outside [0, 1], as a float32 softmax does."""


def read_answers(answers: Any, photos: Sequence[Photo], labels: Sequence[str]) -> list[Detections]:
    """One entry a photo, in their order, unsorted and not clipped.

    Raises:
        ModelError: another number of entries; or as `read_answer`.
    """
    if not isinstance(answers, Sequence) or len(answers) != len(photos):
        came = f"{len(answers)}" if isinstance(answers, Sequence) else f"a {_kind(answers)}"
        raise ModelError(
            f"the detector was shown {len(photos)} photos and answered {came}; expected a list "
            "with one entry a photo"
        )
    return [
        read_answer(answer, f"photo {index} ({photo.name!r})", labels)
        for index, (answer, photo) in enumerate(zip(answers, photos, strict=True))
    ]


def read_answer(answer: Any, where: str, labels: Sequence[str]) -> Detections:
    """Boxes, scores and labels of one photo, from a tuple or a dict of arrays, tensors or lists.

    Where distributions are missing, each box has its score at its label and 0 elsewhere.

    Raises:
        ModelError: shapes, numbers, corners or labels that cannot be; the message says where.

    Example:
        >>> read_answer(([[0, 0, 4, 2]], [0.5], [1]), "photo 0", ["cat", "dog"]).names
        ('dog',)
    """
    fields = _fields(answer, where)
    boxes = _numbers(fields["boxes"], f"{where}: boxes")
    boxes = boxes if boxes.numel() else boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ModelError(f"{where}: boxes of shape {list(boxes.shape)}; expected [boxes, 4], xyxy")
    scores, of_label = (_numbers(fields[f], f"{where}: {f}") for f in ("scores", "labels"))
    for name, field in (("scores", scores), ("labels", of_label)):
        if field.shape != boxes.shape[:1]:
            raise ModelError(
                f"{where}: {len(boxes)} boxes, but {name} of shape {list(field.shape)}; expected "
                "one a box"
            )
    _check_boxes(boxes, where)
    _check_scores(scores, where)
    _check_labels(of_label, where, len(labels))
    whole, sure = of_label.long(), scores.clamp(0, 1)
    given = fields.get("distributions")
    spread = (
        torch.nn.functional.one_hot(whole, len(labels)) * sure[:, None]
        if given is None
        else _distributions(given, where, len(boxes), len(labels))
    )
    names = tuple(labels[i] for i in whole.tolist())
    return Detections(boxes.float(), sure.float(), whole, names, distributions=spread.float())


def _fields(answer: Any, where: str) -> Mapping[str, Any]:
    if isinstance(answer, Mapping):
        missing = [name for name in FIELDS[:3] if name not in answer]
        if missing:
            raise ModelError(f"{where}: {', '.join(missing)} missing; there are {list(answer)}")
        return answer
    if isinstance(answer, tuple | list) and len(answer) in {3, 4}:
        return dict(zip(FIELDS, answer, strict=False))
    raise ModelError(
        f"{where}: the answer is a {_kind(answer)}; expected (boxes, scores, labels), with "
        "distributions as a fourth if known, or a dict with these keys"
    )


def _numbers(given: Any, where: str) -> Tensor:
    try:
        return torch.as_tensor(given).detach().cpu().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{where} are no array of numbers but a {_kind(given)}: {first_line(error)}"
        ) from error


def _distributions(given: Any, where: str, boxes: int, labels: int) -> Tensor:
    spread = _numbers(given, f"{where}: distributions")
    spread = spread if spread.numel() else spread.reshape(0, labels)
    if spread.shape != (boxes, labels):
        raise ModelError(
            f"{where}: distributions of shape {list(spread.shape)}; expected [{boxes}, {labels}]: "
            "a score for each label of each box"
        )
    outside = ~((spread >= -ROUNDING) & (spread <= 1 + ROUNDING)).all(1)
    _refuse(outside, where, lambda i: f"distribution {_short(spread[i])}; expected [0, 1]")
    return spread.clamp(0, 1)


def _check_boxes(boxes: Tensor, where: str) -> None:
    _refuse(
        ~boxes.isfinite().all(1), where, lambda i: f"{_short(boxes[i])} is not all finite numbers"
    )
    inside_out = (boxes[:, 2:] < boxes[:, :2]).any(1)
    _refuse(
        inside_out,
        where,
        lambda i: (
            f"{_short(boxes[i])} is inside out; expected left, top, right, bottom in pixels (a box "
            "of x, y, width, height ends at x + width, y + height)"
        ),
    )


def _check_scores(scores: Tensor, where: str) -> None:
    # NaN compares as false, so it is refused too
    fine = (scores >= -ROUNDING) & (scores <= 1 + ROUNDING)
    _refuse(
        ~fine, where, lambda i: f"score {float(scores[i]):g}; expected [0, 1], not a logit or %"
    )


def _check_labels(labels: Tensor, where: str, known: int) -> None:
    fine = (labels >= 0) & (labels < known) & (labels == labels.floor())
    _refuse(
        ~fine,
        where,
        lambda i: f"label {float(labels[i]):g}; expected one of {known}, 0 to {known - 1}",
    )


def _refuse(bad: Bool[Tensor, " boxes"], where: str, tell: Callable[[int], str]) -> None:
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise ModelError(f"{where}, box {first}: {tell(first)}")


def _short(numbers: Tensor) -> str:
    told = [f"{float(number):g}" for number in numbers[:6]]
    return f"[{', '.join(told)}{', ...' if len(numbers) > 6 else ''}]"


def _kind(value: object) -> str:
    many = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"{type(value).__name__}{many}"
