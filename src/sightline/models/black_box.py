"""Detectors of which nothing is known but the boxes they report: a function, an ONNX file, YOLO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError, first_line
from sightline.image.boxes import clip, nms
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.answers import read_answer, read_answers
from sightline.models.as_found import as_found
from sightline.models.decoders import Decoder, fastestdet_decode
from sightline.models.detector import SCORE_THRESHOLD, Detections


class CallableDetector:
    """Any function that finds boxes in photos.

    Convention:
        The function gets a list of RGB photos, uint8 ``[height, width, 3]``, copies of its own. It
        answers with one entry a photo: a tuple ``(boxes, scores, labels)``, with ``distributions``
        as a fourth if it knows them, or a dict with these keys; arrays, tensors or lists. Boxes are
        xyxy in pixels of the photo, scores in [0, 1], labels whole numbers from 0.

    What comes is checked, clipped to the photo and sorted; nothing is suppressed. A threshold of
    the function's own stays below ours. Where it knows no ``distributions``, a box gets its score
    at its label and 0 elsewhere, which is what the similarity of D-RISE makes of a single score.

    Args:
        detect: the function. A torch module is run in evaluation mode, and given back as it was.
        labels: names of the labels, in the order of their numbers.

    Raises:
        ModelError: no labels.

    Example:
        >>> def finds_everything(photos):
        ...     return [([[0, 0, p.shape[1], p.shape[0]]], [0.9], [0]) for p in photos]
        >>> detector = CallableDetector(finds_everything, labels=["thing"])
        >>> night = Photo(np.zeros((2, 3, 3), np.uint8))
        >>> detector.detect([night])[0].boxes.tolist()
        [[0.0, 0.0, 3.0, 2.0]]
    """

    def __init__(self, detect: Callable[[list[np.ndarray]], Any], *, labels: Sequence[str]) -> None:
        self._ask = detect
        self.labels = _names(labels)

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score.

        Raises:
            ModelError: an answer of another form; the message names photo and box.
        """
        if not photos:
            return []
        with as_found(_ordinary(self._ask)), torch.no_grad():
            answers = self._ask([photo.pixels.copy() for photo in photos])
        return _ranked(read_answers(answers, photos, self.labels), photos, threshold)


class UltralyticsDetector:
    """A YOLO (or another detector) of the package ultralytics, which brings its own suppression.

    Nothing of ultralytics is imported here: hand over the object. At its first prediction it
    merges layers and keeps a predictor on the model, as after any call of your own.

    Args:
        model: such as ``YOLO("yolo11n.pt")``. (That file is a pickle, so ultralytics may run what
            is in it: take it from where you trust.)

    Raises:
        ModelError: it has no ``predict`` and ``names``.
    """

    def __init__(self, model: Any) -> None:
        names = getattr(model, "names", None)
        if not callable(getattr(model, "predict", None)) or not isinstance(names, dict | list):
            raise ModelError(
                f"{type(model).__name__} has no predict and names; expected a detector of the "
                "package ultralytics, such as YOLO(...)"
            )
        ordered = dict(enumerate(names)) if isinstance(names, list) else names
        if sorted(ordered) != list(range(len(ordered))):
            raise ModelError(
                f"the model's names are numbered {sorted(ordered)}; expected 0, 1, ..."
            )
        self._model = model
        self.labels = _names([ordered[i] for i in range(len(ordered))])

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score.

        Raises:
            ModelError: an answer of another form, such as that of a model without boxes.
        """
        if not photos:
            return []
        # ultralytics takes arrays for OpenCV's: blue, green, red
        pictures = [np.ascontiguousarray(photo.pixels[..., ::-1]) for photo in photos]
        # the network inside: YOLO.eval() and YOLO.train() start a training
        with as_found(_ordinary(getattr(self._model, "model", None))):
            results = self._model.predict(pictures, conf=threshold, verbose=False)
        answers = [_of_result(result) for result in results]
        return _ranked(read_answers(answers, photos, self.labels), photos, threshold)


class OnnxDetector:
    """A detector in an ONNX file, run by onnxruntime, one photo at a time.

    It is a black box: no gradient comes out of the file, so a game shows it whole photos.

    Args:
        path: the ``.onnx`` file.
        labels: names of the labels, in the order of their numbers.
        decode: from the network's outputs to boxes: `fastestdet_decode`, `yolo_decode`,
            `BoxOutputs`, or a function of your own.
        frame: how a photo becomes a picture: `Frame.stretched`, or `Frame.letterboxed`, with its
            settings in a ``functools.partial``.
        size: height and width of the picture, where the file leaves them open.
        bgr: the network was trained on blue, green, red.
        mean: of each channel in [0, 1], taken away, in the network's order.
        spread: divides each channel after that; 1 / 255 gives pixels of 0 to 255.
        overlap: IoU above which the lower of two boxes of one label goes; None where the file
            suppresses itself.
        threads: that one photo may use; with 1, the same numbers on every run.
        providers: of onnxruntime, the first that works.

    Raises:
        ModelError: onnxruntime is not installed, or the file is not such a network.

    Example:
        A FastestDet, trained on what OpenCV reads::

            detector = OnnxDetector("FastestDet.onnx", labels=coco, bgr=True)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        labels: Sequence[str],
        decode: Decoder = fastestdet_decode,
        frame: Callable[[tuple[int, int], tuple[int, int]], Frame] = Frame.stretched,
        size: tuple[int, int] | None = None,
        bgr: bool = False,
        mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
        spread: tuple[float, float, float] = (1.0, 1.0, 1.0),
        overlap: float | None = 0.45,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.labels = _names(labels)
        self.path = Path(path)
        self._network = _opened(self.path, threads, providers)
        self._input, self.size = _input(self._network, self.path, size)
        self._outputs = [output.name for output in self._network.get_outputs()]
        self._decode, self._frame, self._overlap = decode, frame, overlap
        self._bgr = bgr
        self._mean, self._spread = (torch.tensor(x)[:, None, None] for x in (mean, spread))

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score, after suppression within each label.

        Raises:
            ModelError: the network fails, or its outputs are not what the decoder reads.
        """
        found = []
        for index, photo in enumerate(photos):
            frame = self._frame(photo.size, self.size)
            answer = self._decode(self._run(frame.pixels(photo)), self.size)
            where = f"{self.path.name}, photo {index} ({photo.name!r})"
            raw = read_answer(answer, where, self.labels).above(threshold)
            if self._overlap is not None:
                raw = raw[nms(raw.boxes, raw.scores, overlap=self._overlap, groups=raw.labels)]
            found.append(_moved(raw, frame.back_boxes(raw.boxes)))
        return _ranked(found, photos, threshold)

    def _run(self, picture: Float[Tensor, "3 height width"]) -> dict[str, np.ndarray]:
        channels = picture.flip(0) if self._bgr else picture
        given = ((channels - self._mean) / self._spread)[None].contiguous().numpy()
        try:
            outputs = self._network.run(self._outputs, {self._input: given})
        except Exception as error:  # onnxruntime's errors share no public base
            raise ModelError(f"{self.path} cannot be run: {first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))


def _opened(path: Path, threads: int, providers: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "ONNX detectors need onnxruntime; install it with: pip install 'sightline[detectors]'"
        ) from error
    if not path.is_file():
        raise ModelError(f"no file {path}; give the path of an .onnx file")
    if threads < 1:
        raise ModelError(f"threads is {threads}; it must be at least 1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what is wrong comes as an exception
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's errors share no public base
        raise ModelError(
            f"{path} is no ONNX network that onnxruntime reads: {first_line(error)}"
        ) from error


def _input(network: Any, path: Path, size: tuple[int, int] | None) -> tuple[str, tuple[int, int]]:
    """Name of the input, height and width of the picture."""
    inputs = [(each.name, each.type, list(each.shape)) for each in network.get_inputs()]
    name, kind, shape = inputs[0] if inputs else ("", "", [])
    told = isinstance(shape[0] if shape else None, int)
    fits = len(inputs) == 1 and kind == "tensor(float)" and len(shape) == 4
    if not fits or (told and shape[0] != 1) or (isinstance(shape[1], int) and shape[1] != 3):
        raise ModelError(
            f"{path} reads {inputs}; expected one input of float [1, 3, height, width]"
        )
    both = shape[2:] if size is None else size
    if not all(isinstance(side, int) for side in both):
        raise ModelError(f"{path} leaves the size of its pictures open; give size=(height, width)")
    for side, fixed in zip(both, shape[2:], strict=True):
        if isinstance(fixed, int) and side != fixed:
            raise ModelError(f"{path} reads pictures of {shape[2:]}, size is {list(both)}")
    return name, (int(both[0]), int(both[1]))


def _ranked(
    found: Sequence[Detections], photos: Sequence[Photo], threshold: float
) -> list[Detections]:
    """Of at least this score, clipped to their photos, the highest first; ties in their order."""
    ranked = []
    for each, photo in zip(found, photos, strict=True):
        high = each.above(threshold)
        best = high[high.scores.argsort(descending=True, stable=True)]
        ranked.append(_moved(best, clip(best.boxes, photo.size)))
    return ranked


def _moved(found: Detections, boxes: Float[Tensor, "boxes 4"]) -> Detections:
    return Detections(
        boxes, found.scores, found.labels, found.names, distributions=found.distributions
    )


def _of_result(result: Any) -> dict[str, Any]:
    boxes = getattr(result, "boxes", None)
    if boxes is None:
        raise ModelError(
            "the model's result has no boxes; expected a detector, not a classifier or a "
            "model of oriented boxes"
        )
    return {"boxes": boxes.xyxy, "scores": boxes.conf, "labels": boxes.cls}


def _ordinary(model: object) -> object:
    """A torch module with torch's own ``train``, which `as_found` may switch; else None."""
    own = isinstance(model, nn.Module) and type(model).train is nn.Module.train
    return model if own else None


def _names(labels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(labels, str) or not labels:
        raise ModelError(f"labels are {labels!r}; give a list of names, one a label")
    return tuple(labels)
