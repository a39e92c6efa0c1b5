"""SSD300 on VGG-16, in the layout of torchvision's weights; torchvision itself is not needed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.anchors import decode, grid_anchors
from sightline.models.coco_labels import COCO_LABELS
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections, watch
from sightline.models.saved import read_weights
from sightline.models.ssd import ask_heads, detect, expect_side, levels

SIDE = 300
CELLS = (38, 19, 10, 5, 3, 1)
STEPS = (8, 16, 32, 64, 100, 300)
SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
CHANNELS = (512, 1024, 512, 256, 256, 256)
MEAN = (0.48235, 0.45882, 0.40784)
OVERLAP, MOST, MOST_A_LABEL = 0.45, 200, 400


class SSDVGG(nn.Module):
    """A `DenseDetector`: 8,732 candidates from six maps of a picture of 300 x 300.

    Its ``state_dict`` has the names and shapes of torchvision's ``ssd300_vgg16``, whose COCO
    weights load without torchvision (`load_ssd_vgg`).

    Args:
        labels: names of the columns of the scores; column 0 is background.

    Source:
        Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; anchors, first pooling with
        ``ceil_mode`` and learnt scale of conv4_3 as in torchvision.
    """

    anchors: Tensor
    level: Tensor

    def __init__(self, labels: Sequence[str] = COCO_LABELS) -> None:
        super().__init__()
        self._labels = tuple(labels)
        self.backbone = _Backbone()
        by_map = _anchors()
        shapes = [len(a) // cells**2 for a, cells in zip(by_map, CELLS, strict=True)]
        names = {"classification_head": len(self._labels), "regression_head": 4}
        self.head = nn.ModuleDict({name: _Head(shapes, width) for name, width in names.items()})
        self.register_buffer("anchors", torch.cat(by_map), persistent=False)
        self.register_buffer("level", levels(by_map), persistent=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all columns of the scores, background and unused ones too."""
        return self._labels

    def frame(self, height: int, width: int) -> Frame:
        """The whole photo on 300 x 300, its four nearest pixels read."""
        return Frame.stretched((height, width), (SIDE, SIDE))

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score; torchvision itself reports from 0.01."""
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
        expect_side(pictures, SIDE)
        features = tuple(watch(f) for f in self.backbone(_normalised(pictures)))
        logits = self.head["classification_head"](features)
        boxes = decode(self.head["regression_head"](features), self.anchors)
        return Candidates(boxes, logits.softmax(-1), logits, features, self.level)


class _Backbone(nn.Module):
    """VGG-16 up to conv4_3, then the blocks that end in the other five maps."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_weight = nn.Parameter(torch.full((512,), 20.0))
        self.features = nn.Sequential(
            *_stage(3, 64, 2),
            nn.MaxPool2d(2, 2),
            *_stage(64, 128, 2),
            nn.MaxPool2d(2, 2),
            *_stage(128, 256, 3),
            nn.MaxPool2d(2, 2, ceil_mode=True),  # 75 rows become 38
            *_stage(256, 512, 3),
        )
        last = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
        )
        self.extra = nn.ModuleList(
            [
                nn.Sequential(nn.MaxPool2d(2, 2), *_stage(512, 512, 3), last),
                _smaller(1024, 256, 512, stride=2),
                _smaller(512, 128, 256, stride=2),
                _smaller(256, 128, 256),
                _smaller(256, 128, 256),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.features(x)
        # the first map is much larger than the others, so each pixel is brought to a learnt length
        maps = [self.scale_weight.view(1, -1, 1, 1) * F.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return maps


class _Head(nn.Module):
    """One convolution a map."""

    def __init__(self, shapes: Sequence[int], columns: int) -> None:
        super().__init__()
        self.columns = columns
        self.module_list = nn.ModuleList(
            nn.Conv2d(channels, count * columns, 3, padding=1)
            for channels, count in zip(CHANNELS, shapes, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return ask_heads(self.module_list, features, self.columns)


def load_ssd_vgg(path: str | os.PathLike[str], *, labels: Sequence[str] = COCO_LABELS) -> SSDVGG:
    """`SSDVGG` with the weights of torchvision's ``ssd300_vgg16``, in evaluation mode.

    Args:
        path: a ``.pth`` (``ssd300_vgg16_coco-b556d3b4.pth``; read with ``weights_only=True``) or a
            ``.safetensors`` of the same names.
        labels: names of the columns of the scores; column 0 is background.

    Raises:
        ModelError: no such file, or weights that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no weights at {path}; give the file of torchvision's ssd300_vgg16")
    state = read_weights(path)
    columns = len(state.get("head.classification_head.module_list.0.bias", ())) // 4
    if columns and columns != len(labels):
        raise ModelError(
            f"{path} knows {columns} columns, {len(labels)} labels were given; give labels=..., "
            "one a column, background first"
        )
    with torch.random.fork_rng(devices=[]):  # made with random weights, which are then replaced
        model = SSDVGG(labels)
    _expect_fit(state, model.state_dict(), path)
    model.load_state_dict(state)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _expect_fit(given: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    missing = [name for name in wanted if name not in given]
    foreign = [name for name in given if name not in wanted]
    if missing:
        raise ModelError(
            f"{path} has no {missing[0]!r} ({len(missing)} of {len(wanted)} names are missing); "
            "expected the state dict of torchvision's ssd300_vgg16"
        )
    if foreign:
        raise ModelError(f"{path} has {foreign[0]!r}, which an SSD300-VGG16 has not")
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            shapes = f"{list(given[name].shape)}; expected {list(value.shape)}"
            raise ModelError(f"{path}: {name!r} is {shapes}, as in torchvision's ssd300_vgg16")


def _normalised(pictures: Tensor) -> Tensor:
    x = (pictures - pictures.new_tensor(MEAN).view(3, 1, 1)) * 255
    return x.contiguous(memory_format=torch.channels_last)  # 1.4 times as fast on a CPU


def _stage(inputs: int, outputs: int, convolutions: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(convolutions):
        layers += [nn.Conv2d(outputs if i else inputs, outputs, 3, padding=1), nn.ReLU(True)]
    return layers


def _smaller(inputs: int, narrow: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, narrow, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(narrow, outputs, 3, stride, padding=stride - 1),
        nn.ReLU(inplace=True),
    )


def _anchors() -> list[Float[Tensor, "_ 4"]]:
    """Of each map: the square, the square on the way to the next scale, each ratio both ways."""
    found = []
    for k, (cells, step, ratios) in enumerate(zip(CELLS, STEPS, RATIOS, strict=True)):
        scale, between = SCALES[k], math.sqrt(SCALES[k] * SCALES[k + 1])
        shapes = [(scale, 1.0), (between, 1.0)]
        for ratio in ratios:
            shapes += [(scale, float(ratio)), (scale, 1 / ratio)]
        found.append(
            grid_anchors(
                (cells, cells), shapes, picture=(SIDE, SIDE), step=(step, step), largest=1.0
            )
        )
    return found
