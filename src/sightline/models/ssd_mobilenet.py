"""SSD on MobileNetV1, from 8-bit weights: small enough to explain on a laptop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.anchors import decode, grid_anchors
from sightline.models.coco_labels import COCO_LABELS
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections, watch
from sightline.models.ssd import ask_heads, detect, expect_side, levels

SIDE = 300
CELLS = (19, 10, 5, 3, 2, 1)
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
FIRST_SHAPES = ((0.1, 1.0), (0.2, 2.0), (0.2, 1 / 2))
OVERLAP, MOST, MOST_A_LABEL = 0.6, 100, 400

# outputs of the 13 separable blocks at depth 1, and their strides
WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
FEEDING = (10, 12)  # the blocks whose outputs feed the first two heads
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))


class SSDMobileNet(nn.Module):
    """A `DenseDetector`: 1,917 candidates from six maps of a picture of 300 x 300.

    Batch normalisation is taken to be folded into the convolutions, as in files for phones. The
    pictures go in with their channels last, about twice as fast on a CPU.

    Args:
        labels: names of the columns of the scores; column 0 is background.
        depth: share of MobileNet's full widths.

    Source:
        Howard et al., "MobileNets", 2017; Liu et al., "SSD", ECCV 2016; padding, anchors and box
        code as in TensorFlow's object detection API (``ssd_mobilenet_v1``).
    """

    anchors: Tensor
    level: Tensor

    def __init__(self, labels: Sequence[str] = COCO_LABELS, *, depth: float = 0.75) -> None:
        super().__init__()
        self._labels = tuple(labels)
        widths = [int(depth * w) for w in WIDTHS]
        before = [int(depth * 32), *widths[:-1]]
        self.stem = SameConv2d(3, before[0], 3, 2)
        self.depthwise = nn.ModuleList(
            SameConv2d(w, w, 3, s, groups=w) for w, s in zip(before, STRIDES, strict=True)
        )
        self.pointwise = nn.ModuleList(map(_point, before, widths))
        extras = [(int(depth * a), int(depth * b)) for a, b in EXTRAS]
        entering = [widths[-1], *(b for _, b in extras[:-1])]
        self.narrow = nn.ModuleList(
            _point(i, a) for i, (a, _) in zip(entering, extras, strict=True)
        )
        self.widen = nn.ModuleList(SameConv2d(a, b, 3, 2) for a, b in extras)
        by_map = _anchors()
        channels = [widths[i] for i in FEEDING] + [b for _, b in extras]
        shapes = [len(a) // c**2 for a, c in zip(by_map, CELLS, strict=True)]
        sizes = list(zip(channels, shapes, strict=True))
        self.class_heads = nn.ModuleList(_point(c, n * len(self._labels)) for c, n in sizes)
        self.box_heads = nn.ModuleList(_point(c, n * 4) for c, n in sizes)
        self.register_buffer("anchors", torch.cat(by_map), persistent=False)
        self.register_buffer("level", levels(by_map), persistent=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all columns of the scores, background and unused ones too."""
        return self._labels

    def frame(self, height: int, width: int) -> Frame:
        """The whole photo on 300 x 300, averaged where it shrinks."""
        return Frame.stretched((height, width), (SIDE, SIDE), resampling="antialiased")

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score."""
        return detect(
            self,
            photos,
            threshold=threshold,
            overlap=OVERLAP,
            most=MOST,
            most_a_label=MOST_A_LABEL,
        )

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """All candidates of RGB in [0, 1]; differentiable by the pictures.

        Raises:
            ModelError: pictures that are not 300 x 300.
        """
        features, logits, offsets = self.heads(pictures)
        boxes = decode(offsets, self.anchors)
        return Candidates(boxes, logits.sigmoid(), logits, features, self.level)

    def heads(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> tuple[
        tuple[Tensor, ...],
        Float[Tensor, "pictures candidates labels"],
        Float[Tensor, "pictures candidates 4"],
    ]:
        """The maps, the logits, and the offsets (x, y, width, height) before `decode`."""
        expect_side(pictures, SIDE)
        x = (pictures * (255 / 128) - 1).contiguous(memory_format=torch.channels_last)
        features = tuple(watch(f) for f in self._maps(x))
        logits = ask_heads(self.class_heads, features, len(self._labels))
        return features, logits, ask_heads(self.box_heads, features, 4)

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        x = _relu6(self.stem(x))
        for i, (depthwise, pointwise) in enumerate(
            zip(self.depthwise, self.pointwise, strict=True)
        ):
            x = _relu6(pointwise(_relu6(depthwise(x))))
            if i in FEEDING:
                yield x
        for narrow, widen in zip(self.narrow, self.widen, strict=True):
            x = _relu6(widen(_relu6(narrow(x))))
            yield x


class SameConv2d(nn.Conv2d):
    """A square convolution with TensorFlow's SAME padding: the odd row and column go last."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """As many cells as strides begin in ``input``."""
        (top, bottom), (left, right) = (self._room(n) for n in input.shape[2:])
        if top == bottom and left == right:  # nothing to copy
            padding = (top, left)
            return F.conv2d(input, self.weight, self.bias, self.stride, padding, 1, self.groups)
        padded = F.pad(input, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _room(self, length: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        room = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
        return room // 2, room - room // 2


def _relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=not torch.is_grad_enabled())


def _point(inputs: int, outputs: int) -> SameConv2d:
    return SameConv2d(inputs, outputs, 1)


def _anchors() -> list[Float[Tensor, "_ 4"]]:
    """Of each map: the ratios at its scale, then the square on the way to the next scale."""
    shapes: list[Sequence[tuple[float, float]]] = [FIRST_SHAPES]
    for k in range(1, len(CELLS)):
        between = math.sqrt(SCALES[k] * SCALES[k + 1])
        shapes.append([*((SCALES[k], ratio) for ratio in RATIOS), (between, 1.0)])
    return [
        grid_anchors((cells, cells), some, picture=(SIDE, SIDE))
        for cells, some in zip(CELLS, shapes, strict=True)
    ]
