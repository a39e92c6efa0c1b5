"""What an image processor of transformers does to a photo, as a frame and a normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sightline.errors import ModelError
from sightline.image.frame import Frame

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BILINEAR = 2  # Pillow's number

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Sight:
    """Size and normalisation of what a network reads.

    The processors themselves are not used: some need torchvision, and none moves boxes back.

    Args:
        exact: height and width, whatever the photo's aspect.
        shortest: else the shorter side becomes this,
        longest: unless the longer one would pass this.
        within: else the largest size of the photo's aspect within this height and width.
        multiple: sides are cut to multiples of it (YOLOS).
        mean: of red, green, blue, for RGB in [0, 1].
        std: the same.
    """

    exact: tuple[int, int] | None = None
    shortest: int = 800
    longest: int | None = 1333
    within: tuple[int, int] | None = None
    multiple: int = 1
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @classmethod
    def of(cls, processor: object | None, kind: str = "") -> Sight:
        """From a processor, or its settings; without one, as models of this kind are published.

        Args:
            processor: an image processor, the contents of its file, or None.
            kind: ``config.model_type`` of the model.

        Raises:
            ModelError: settings that this cannot follow.
        """
        multiple = 16 if kind == "yolos" else 1
        if processor is None:
            if kind.startswith(("rt_detr", "d_fine")):
                return cls(exact=(640, 640), mean=PLAIN[0], std=PLAIN[1])
            return cls(multiple=multiple)
        given = _settings(processor)
        if not given.get("do_resize", True):
            raise ModelError("the processor resizes nothing; give one with do_resize and a size")
        if int(given.get("resample") or BILINEAR) != BILINEAR:
            raise ModelError(
                f"the processor resamples with filter {given['resample']} of Pillow; only bilinear "
                f"({BILINEAR}) is known here"
            )
        mean, std = PLAIN
        if given.get("do_normalize", True):
            mean = _triple(given.get("image_mean"), IMAGENET_MEAN)
            std = _triple(given.get("image_std"), IMAGENET_STD)
        return cls(multiple=multiple, mean=mean, std=std, **_size(given))

    def frame(self, height: int, width: int) -> Frame:
        """The frame of a photo of this size."""
        size = self.exact
        if size is None and self.within is not None:
            fits = min(self.within[0] / height, self.within[1] / width)
            size = (int(height * fits), int(width * fits))
        if size is None:
            size = self._by_edges(height, width)
        high, wide = (side - side % self.multiple for side in size)
        if min(high, wide) < 1:
            raise ModelError(f"a photo of {height} x {width} pixels is too narrow for this model")
        return Frame.stretched((height, width), (high, wide), resampling="antialiased")

    def normalised(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> Float[Tensor, "pictures 3 height width"]:
        """RGB in [0, 1] as the network was trained on it."""
        mean, std = (pictures.new_tensor(t)[:, None, None] for t in (self.mean, self.std))
        return (pictures - mean) / std

    def _by_edges(self, height: int, width: int) -> tuple[int, int]:
        """The shorter edge to ``shortest``, as DETR's processor rounds it.

        Source:
            transformers.image_transforms.get_size_with_aspect_ratio.
        """
        short, long = min(height, width), max(height, width)
        side: float = self.shortest
        if self.longest is not None and long / short * side > self.longest:
            side = self.longest * short / long
        if short == round(side):
            return height, width
        other = int(side * long / short)
        return (round(side), other) if height <= width else (other, round(side))


def _settings(processor: object) -> Mapping[str, Any]:
    if isinstance(processor, Mapping):
        return processor
    if hasattr(processor, "to_dict"):
        settings: Mapping[str, Any] = processor.to_dict()
        return settings
    raise ModelError(
        f"{type(processor).__name__} is no image processor; give one of transformers, or the "
        "contents of preprocessor_config.json"
    )


def _triple(values: Any, default: Triple) -> Triple:
    if values is None:
        return default
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _size(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Sight` from ``size``, in any of the forms that processors have had."""
    size = given.get("size")
    if isinstance(size, int):  # before transformers 4.26
        return {"shortest": size, "longest": given.get("max_size", 1333)}
    size = dict(size or {})
    known = {name: int(value) for name, value in size.items() if value is not None}
    if {"height", "width"} <= set(known):
        return {"exact": (known["height"], known["width"])}
    if {"max_height", "max_width"} <= set(known):
        return {"within": (known["max_height"], known["max_width"])}
    if "shortest_edge" in known:
        return {
            "shortest": known["shortest_edge"],
            "longest": known.get("longest_edge", given.get("max_size")),
        }
    raise ModelError(
        f"the processor's size is {given.get('size')}; expected height and width, shortest_edge "
        "(and longest_edge), or max_height and max_width"
    )
