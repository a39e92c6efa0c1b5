"""The door to encoders of pictures in transformers: CLIP and its kin, plain vision backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError, first_line
from sightline.models.as_found import as_found
from sightline.models.encoder import Encoder, Measure
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.place import place
from sightline.models.raster import RasterModel
from sightline.models.transformers_classifier import PUBLISHED, _own_size, _processor, _sight
from sightline.models.transformers_sight import Sight, _settings
from sightline.sketch.raster import Rasteriser

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation of SigLIP and of ViT: the range of a pixel becomes -1 to 1."""


def clip_encoder(
    model: nn.Module | str,
    *,
    processor: object | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    rasteriser: Rasteriser | None = None,
    revision: str | None = None,
    measure: Measure = "cosine",
) -> Encoder:
    """An encoder of drawings and photos by the vision side of a model of transformers.

    One network reads both: photos whole, averaged down to its size, and drawings as black ink on
    white paper. Weights are used, not copied.

    Args:
        model: `CLIPModel`, `SiglipModel` (anything with ``get_image_features``),
            `CLIPVisionModelWithProjection`, or a backbone with a pooled output, as `ViTModel` and
            `Dinov2Model`; or a folder, or ``"org/name"`` of the hub, which is downloaded once and
            cached. No code of the repository is run, and only safetensors are read.
        processor: its image processor, or the contents of ``preprocessor_config.json``; that of the
            repository where a name is given. Without one the model's config tells the size, and its
            kind the normalisation.
        size: height and width of what it reads, instead of the processor's.
        mean: of red, green, blue, for RGB in [0, 1], instead of the processor's.
        std: the same.
        rasteriser: how strokes become ink; by default of that size, with its usual line.
        revision: of a hub repository.
        measure: how vectors are compared.

    Raises:
        ModelError: no transformers, nothing there, no network, weights that are missing, no image
            encoder, or a size that it cannot read.
    """
    if isinstance(model, str):
        name, (module, own) = model, _from_pretrained(model, revision)
        processor = own if processor is None else processor
    else:
        name, module = type(model).__name__, model
    sight, sides = _seen(_vision_config(module, name), processor)
    side = max(sides) if size is None else size
    tower = VisionTower(module)
    mean, std = tuple(mean or sight.mean), tuple(std or sight.std)
    encoder = Encoder(
        sketch=RasterModel(
            InkTower(tower, mean=mean, std=std),
            rasteriser=rasteriser or Rasteriser(size=side),
            channels=3,
            ink="black",
        ),
        photo=PictureClassifier(
            tower, labels=(), size=(side, side), mean=mean, std=std, resampling="antialiased"
        ),
        measure=measure,
        name=name,
    )
    _check(encoder, name)
    return encoder


class VisionTower(nn.Module):
    """The vision side of a model of transformers, from normalised pictures to vectors.

    Raises:
        ModelError: when called, of a model that answers no vector a picture.
    """

    module: Any

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training

    def forward(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> Float[Tensor, "pictures dimension"]:
        """Vectors, in the space that the model compares in where it has one."""
        read = getattr(self.module, "get_image_features", self.module)
        answer = read(pixel_values=pictures)
        # a plain tensor before transformers 5
        found = answer if isinstance(answer, Tensor) else _pooled(answer)
        if found is None:
            raise ModelError(
                f"{type(self.module).__name__} answers {type(answer).__name__} without a pooled "
                "vector (image_embeds, pooler_output); give a model of images that has one, or "
                "your own module to sl.Encoder"
            )
        return found.flatten(1)


class InkTower(nn.Module):
    """A `VisionTower` that is shown drawings: pictures in [0, 1], normalised here."""

    def __init__(self, tower: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.tower = tower
        self.training = tower.training
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> Float[Tensor, "pictures dimension"]:
        """Vectors."""
        mean, std = (pictures.new_tensor(t)[:, None, None] for t in (self.mean, self.std))
        return self.tower((pictures - mean) / std)


def _pooled(answer: Any) -> Tensor | None:
    for field in ("image_embeds", "pooler_output"):
        found = getattr(answer, field, None)
        if isinstance(found, Tensor):
            return found
    return None


def _from_pretrained(name: str, revision: str | None) -> tuple[Any, dict[str, Any] | None]:
    """A model in float32 and evaluation mode, and the contents of its processor's file."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ModelError("this needs transformers: pip install 'sightline[detectors]'") from error
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        processor = _processor(name, revision)
        given = {"config": config, "revision": revision, "trust_remote_code": False}
        given |= {"use_safetensors": True, "output_loading_info": True}
        module, report = AutoModel.from_pretrained(name, **given)
        if projecting := _projecting(module, config, report):
            module, report = projecting.from_pretrained(name, **given)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"{name} cannot be loaded as a model of transformers ({first_line(error)}); check the "
            "name and the network, or give a folder with config.json and model.safetensors"
        ) from error
    lost = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if lost:
        raise ModelError(
            f"{name} does not hold all weights of {type(module).__name__}: {len(lost)} are missing "
            f"or of another shape, the first is {lost[0]}; make the model yourself and give it "
            "instead of the name"
        )
    return module.float().eval(), processor


def _projecting(module: nn.Module, config: Any, report: Mapping[str, Any]) -> Any:
    """The class that keeps the projection of a checkpoint, where AutoModel left it out."""
    import transformers

    named = any("WithProjection" in each for each in config.architectures or ())
    held = [key for key in report["unexpected_keys"] if key.startswith("visual_projection.")]
    kind = f"{type(module).__name__}WithProjection"
    found = getattr(transformers, kind, None)
    if held and found is None:
        raise ValueError(f"its {held[0]} has no place in transformers, which has no {kind}")
    return found if named or held else None


def _vision_config(model: Any, name: str) -> Any:
    config = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not hasattr(config, "model_type"):
        raise ModelError(
            f"{name} is no model of transformers (it has no config); give your own module to "
            "sl.Encoder(sketch=..., photo=...)"
        )
    return getattr(config, "vision_config", config)


def _seen(config: Any, processor: object | None) -> tuple[Sight, tuple[int, int]]:
    """Normalisation and size, of the processor, else of the model's config and kind."""
    kind, own = str(config.model_type), _own_size(config)
    if processor is not None:
        told = dict(_settings(processor))
        return _sight(told, own or PUBLISHED, kind)
    if kind.startswith("clip"):
        return Sight(mean=CLIP_MEAN, std=CLIP_STD), own or PUBLISHED
    if kind.startswith("siglip") or kind == "vit":
        return Sight(mean=HALF, std=HALF), own or PUBLISHED
    return Sight(), own or PUBLISHED


def _check(encoder: Encoder, name: str) -> None:
    """Look at one blank picture, so that what does not fit is told now and not in a game."""
    photo = encoder.photo
    assert isinstance(photo, PictureClassifier)  # noqa: S101, made above
    device, dtype = place(photo)
    try:
        with as_found(photo), torch.no_grad():
            photo.look(torch.zeros(1, 3, *photo.size, device=device, dtype=dtype))
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, ModelError) and "pooled" in str(error):
            raise
        own = _own_size(_vision_config(photo.module.module, name))
        raise ModelError(
            f"{name} does not read pictures of {photo.size[0]} x {photo.size[1]} pixels "
            f"({type(error).__name__}: {first_line(error)})"
            + (f"; its config says {own[0]} x {own[1]}" if own else "; give another size=...")
        ) from error
