"""A small SSD of our own for generated scenes: it is shipped, and needs no network and no GPU."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.anchors import decode, grid_anchors
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections, watch
from sightline.models.load import CONFIG, WEIGHTS, _fill
from sightline.models.place import place
from sightline.models.saved import read_weights
from sightline.models.ssd import ask_heads, detect, levels
from sightline.scenes.scene import LABELS
from sightline.sketch.files import replace_file

PICTURE = (128, 160)
WIDTHS = (24, 48, 80, 112, 112)
RATIOS = (0.8, 1.6, 0.4)  # in shares of a picture of 4 x 5: square, twice as wide, twice as tall
SCALES = ((0.13, 0.19), (0.27, 0.36), (0.48, 0.62))
NAME = "scene-ssd"


class SceneSSD(nn.Module):
    """A single-shot detector with three maps, of 8, 16 and 32 pixels a cell.

    Coarse maps are added to the finer ones, so that a small object is seen with what is around it.
    Scores are a softmax over the labels, of which column 0 is the background.

    Args:
        labels: names of the columns; the background first.
        widths: channels of the five halvings.
        overlap: IoU above which the lower of two boxes of one label goes.

    Example:
        >>> model = SceneSSD(("background", "cup"))
        >>> candidates = model.eval().dense(torch.zeros(1, 3, 128, 160))
        >>> candidates.scores.shape
        torch.Size([1, 2520, 2])

    Source:
        Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; the sums of maps from Lin et
        al., "Feature Pyramid Networks", CVPR 2017.
    """

    anchors: Tensor
    level: Tensor

    def __init__(
        self,
        labels: Sequence[str] = LABELS,
        *,
        widths: tuple[int, int, int, int, int] = WIDTHS,
        overlap: float = 0.45,
    ) -> None:
        super().__init__()
        self._labels, self.widths, self.overlap = tuple(labels), widths, overlap
        first, second, fine, middle, coarse = widths
        self.stem = nn.Sequential(_conv(3, first, stride=2), _Residual(first, second, stride=2))
        self.fine = nn.Sequential(_Residual(second, fine, stride=2), _Residual(fine, fine))
        self.middle = nn.Sequential(_Residual(fine, middle, stride=2), _Residual(middle, middle))
        self.coarse = _Residual(middle, coarse, stride=2)
        self.sides = nn.ModuleList(nn.Conv2d(w, fine, 1) for w in (fine, middle, coarse))
        self.mixes = nn.ModuleList(_conv(fine, fine) for _ in SCALES)
        shapes = len(SCALES[0]) * len(RATIOS)
        self.classes = nn.ModuleList(
            nn.Conv2d(fine, shapes * len(self._labels), 3, padding=1) for _ in SCALES
        )
        self.offsets = nn.ModuleList(nn.Conv2d(fine, shapes * 4, 3, padding=1) for _ in SCALES)
        anchors = _anchors()
        self.register_buffer("anchors", torch.cat(anchors), persistent=False)
        self.register_buffer("level", levels(anchors), persistent=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of the scores; ``background`` is the first."""
        return self._labels

    def frame(self, height: int, width: int) -> Frame:
        """The whole photo on 128 x 160 pixels, whatever its aspect."""
        return Frame.stretched((height, width), PICTURE, resampling="antialiased")

    def forward(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Logits, offsets from the anchors, and the maps that feed the heads."""
        if tuple(pictures.shape[-2:]) != PICTURE:
            raise ModelError(
                f"pictures of {list(pictures.shape)}; this detector reads [pictures, 3, "
                f"{PICTURE[0]}, {PICTURE[1]}]: model.frame(*photo.size).pixels(photo) makes one"
            )
        features = tuple(watch(feature) for feature in self._pyramid((pictures - 0.5) * 4))
        logits = ask_heads(self.classes, features, len(self._labels))
        return logits, ask_heads(self.offsets, features, 4), features

    def _pyramid(self, x: Tensor) -> list[Tensor]:
        """Three maps of one width, the finest first."""
        x = x.contiguous(memory_format=torch.channels_last)  # half as fast again on a CPU
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        maps = [fine, middle, self.coarse(middle)]
        above, mixed = None, []
        for index in (2, 1, 0):
            own = self.sides[index](maps[index])
            if above is not None:
                own = own + F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.mixes[index](own)
            mixed.append(above)
        return mixed[::-1]

    def dense(self, pictures: Float[Tensor, "pictures 3 height width"]) -> Candidates:
        """All 2,520 candidates of RGB in [0, 1]; differentiable by the pictures."""
        device, kind = place(self)
        logits, offsets, features = self(pictures.to(device, kind))
        boxes = decode(offsets, self.anchors)
        return Candidates(boxes, logits.softmax(-1), logits, features, self.level)

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        """Boxes of at least this score, after suppression; the model is left as found."""
        return detect(
            self, photos, threshold=threshold, overlap=self.overlap, most=100, most_a_label=200
        )


def _anchors() -> list[Float[Tensor, "_ 4"]]:
    return [
        grid_anchors(
            (PICTURE[0] // step, PICTURE[1] // step),
            [(scale, ratio) for scale in scales for ratio in RATIOS],
            picture=PICTURE,
        )
        for step, scales in zip((8, 16, 32), SCALES, strict=True)
    ]


def _conv(before: int, now: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, now, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(now),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    def __init__(self, before: int, now: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(before, now, stride=stride)
        self.second = nn.Sequential(
            nn.Conv2d(now, now, 3, padding=1, bias=False), nn.BatchNorm2d(now)
        )
        self.stride = stride
        self.skip: nn.Module = nn.Identity()
        if stride > 1:
            self.skip = nn.Sequential(nn.Conv2d(before, now, 1, bias=False), nn.BatchNorm2d(now))

    def forward(self, x: Tensor) -> Tensor:
        # thinned out here, not by a stride of the 1 x 1 convolution: the same numbers, but oneDNN
        # (torch 2.13) writes past its memory in the backward pass of that one for 8 channels
        thin = x[..., :: self.stride, :: self.stride]
        return F.relu(self.second(self.first(x)) + self.skip(thin))


def load_scene_ssd(folder: str | os.PathLike[str] | None = None) -> SceneSSD:
    """The shipped detector of generated scenes, or one that `save_scene_ssd` wrote.

    Returns:
        Ready to use: evaluation mode, float32, on the CPU.

    Raises:
        ModelError: nothing there, or files that do not fit; the message says which.

    Example:
        >>> load_scene_ssd().labels[:3]
        ('background', 'cup', 'fish')
    """
    home = Path(str(files("sightline") / "weights" / NAME)) if folder is None else Path(folder)
    settings = _settings(home / CONFIG)
    state = read_weights(home / WEIGHTS)
    model = SceneSSD(tuple(settings["labels"]), widths=tuple(settings["widths"]))
    _fill(model, state, home / WEIGHTS)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text())
    except OSError:
        raise ModelError(f"{path} does not exist; a SceneSSD is a folder with it") from None
    except ValueError:
        raise ModelError(f"{path} is not JSON") from None
    told = settings if isinstance(settings, dict) else {}
    if told.get("kind") != NAME or not {"labels", "widths"} <= set(told):
        raise ModelError(f"{path} does not describe a {NAME}: no kind, labels and widths")
    if len(told["widths"]) != len(WIDTHS):
        raise ModelError(f"{path} has {len(told['widths'])} widths; expected {len(WIDTHS)}")
    return settings


def save_scene_ssd(
    model: SceneSSD, folder: str | os.PathLike[str], *, card: Mapping[str, Any]
) -> None:
    """Write ``config.json`` and ``model.safetensors`` (float16) as `load_scene_ssd` reads them.

    Args:
        model: with any labels and widths.
        folder: made where it is not there.
        card: what to say of the training and its result, kept in the config.
    """
    from safetensors.torch import save

    home = Path(folder)
    config = {
        "kind": NAME,
        "labels": list(model.labels),
        "widths": list(model.widths),
        "card": dict(card),
    }
    tensors = {
        k: (v.half() if v.is_floating_point() else v).contiguous().cpu()
        for k, v in model.state_dict().items()
    }
    with replace_file(home / WEIGHTS) as stream:
        stream.write(save(tensors, {"format": "pt"}))
    with replace_file(home / CONFIG) as stream:
        stream.write(json.dumps(config, indent=2).encode() + b"\n")
