"""The door for classifiers of photos: any module that reads pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError
from sightline.image.frame import Frame, Resampling
from sightline.models.place import place
from sightline.models.transformers_sight import IMAGENET_MEAN, IMAGENET_STD


class PictureClassifier(nn.Module):
    """Any module that classifies pictures, as a classifier of photos.

    Args:
        module: takes normalised pictures ``[pictures, 3, height, width]``, answers with logits
            ``[pictures, classes]`` or with an output that has ``.logits``, as the classifiers of
            transformers do. It is used, not copied.
        labels: names of the classes; by default those of a transformers config, else none.
        size: height and width of its pictures.
        mean: of red, green, blue, for RGB in [0, 1].
        std: the same.
        resampling: as `Frame` has it.

    Raises:
        ModelError: no such size.

    Example:
        >>> import torch
        >>> pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> colour = PictureClassifier(pool, labels=["red", "green", "blue"], size=(8, 8))
        >>> colour.look(torch.ones(1, 3, 8, 8)).shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: Sequence[str] | None = None,
        size: tuple[int, int] = (224, 224),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        resampling: Resampling = "bilinear",
    ) -> None:
        super().__init__()
        if min(size) < 1 or len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ModelError(
                f"size {size}, mean {list(mean)}, std {list(std)}; expected at least 1 x 1 pixels "
                "and three numbers each, std above 0"
            )
        self.module = module
        self.training = module.training
        self.size, self.resampling = size, resampling
        self.mean, self.std = tuple(mean), tuple(std)
        self.labels = tuple(labels) if labels is not None else _of_config(module)

    def frame(self, height: int, width: int) -> Frame:
        """The whole photo on the whole picture."""
        return Frame.stretched((height, width), self.size, resampling=self.resampling)

    def look(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> Float[Tensor, "pictures classes"]:
        """Logits of RGB in [0, 1].

        Raises:
            ModelError: the module's answer is no table of logits, or has not a column a label.
        """
        device, dtype = place(self.module)
        pictures = pictures.to(device, dtype)
        mean, std = (pictures.new_tensor(t)[:, None, None] for t in (self.mean, self.std))
        shown, weight = (pictures - mean) / std, next(self.module.parameters(), pictures)
        # pictures are float32 to weights of half a type, too
        answer = self.module(shown.to(weight.dtype if weight.is_floating_point() else dtype))
        logits = getattr(answer, "logits", answer)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(pictures):
            came = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelError(
                f"{type(self.module).__name__} answered {came}; expected logits "
                f"[{len(pictures)}, classes]"
            )
        if self.labels and logits.shape[1] != len(self.labels):
            raise ModelError(
                f"{type(self.module).__name__} knows {logits.shape[1]} classes, "
                f"{len(self.labels)} labels were given"
            )
        return logits


def _of_config(module: Any) -> tuple[str, ...]:
    known = getattr(getattr(module, "config", None), "id2label", None) or {}
    return tuple(known[i] for i in sorted(known))
