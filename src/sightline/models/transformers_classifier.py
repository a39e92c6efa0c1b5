"""The door to the classifiers of transformers: ResNet, ViT and their kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.transformers_sight import BILINEAR, Sight

Size = tuple[int, int] | None

PUBLISHED = (224, 224)
"""What a classifier reads that says nothing of it."""

_HEADS = (
    "classifier", "cls_classifier", "distillation_classifier", "classifier_distill",
    "head", "dist_head", "head_dist", "fc",
)  # fmt: skip
"""First parts of a weight's name that tell a head for classes; `timm_model.` may stand before."""

_SMALL: dict[str, dict[str, Any]] = {
    "resnet": {
        "embedding_size": 16,
        "hidden_sizes": [16, 32],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "vit": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "patch_size": 8,
    },
}
"""The last map, or the grid of patches, of a 64-pixel picture is 8 x 8."""


def transformers_classifier(
    name: str,
    *,
    labels: Sequence[str] | None = None,
    size: Size = None,
    revision: str | None = None,
) -> PictureClassifier:
    """A classifier from a folder or from the Hugging Face hub, with its processor's settings.

    No code of the repository is run, and weights are read without unpickling objects. The whole
    photo is averaged down to the size that the processor would cut out, whatever its filter.

    Args:
        name: a folder, or ``"org/name"``, which is downloaded once and cached.
        labels: names of the classes. Where the model has the same names, it keeps their order;
            where their number is not the config's, the head is new, with random weights.
        size: of its pictures, instead of the processor's.
        revision: of a hub repository.

    Raises:
        ModelError: no transformers, nothing there, no network, no classifier, weights missing
            elsewhere than in the head, or a size that the network cannot read.
    """
    auto_config, auto_model = _auto()
    try:
        config = auto_config.from_pretrained(name, revision=revision, trust_remote_code=False)
        processor = _processor(name, revision)
        for key, value in _named(_in_own_order(config, labels)).items():
            setattr(config, key, value)
        module, report = auto_model.from_pretrained(
            name,
            config=config,
            revision=revision,
            trust_remote_code=False,
            weights_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"{name} cannot be loaded as a classifier of transformers ({first_line(error)}); give "
            "a folder, or org/name of the hub"
        ) from error
    _only_the_head_is_new(report, name, labels)
    module = module.float().eval()
    own = _own_size(module.config)
    if processor is None:
        return _reading(module, Sight(), size or own or PUBLISHED, name)
    sight, cut = _sight(processor, size or own or PUBLISHED, module.config.model_type)
    return _reading(module, sight, size or cut, name)


def small_of_config(
    kind: str, labels: Sequence[str], *, size: tuple[int, int] = (64, 64), **settings: Any
) -> PictureClassifier:
    """A small classifier of transformers with random weights, made from its config.

    Args:
        kind: ``"resnet"`` or ``"vit"``.
        labels: names of the classes.
        size: height and width of its pictures.
        settings: of the config, instead of those of a small one.

    Raises:
        ModelError: no transformers, another kind, or a size that is no multiple of the patches.
    """
    if kind not in _SMALL:
        raise ModelError(unknown_name("config of transformers", kind, _SMALL))
    told = _SMALL[kind] | settings | _named(labels)
    if kind == "vit":
        told["image_size"] = list(size)
        if any(side % told["patch_size"] for side in size):
            raise ModelError(
                f"pictures of {size[0]} x {size[1]} pixels cannot be cut into patches of "
                f"{told['patch_size']}; give a multiple of it"
            )
    module = from_config({"model_type": kind, **told})
    return _reading(module, Sight(), size, f"transformers-config:{kind}")


def from_config(told: Mapping[str, Any]) -> Any:
    """A module with random weights, from what ``config.to_dict()`` told."""
    auto_config, auto_model = _auto()
    settings = dict(told)
    config = auto_config.for_model(settings.pop("model_type"), **settings)
    return auto_model.from_config(config, trust_remote_code=False).float()


def built_by_transformers(module: Any) -> bool:
    """Whether `from_config` of the module's config builds a module of its class."""
    config: Any = getattr(module, "config", None)
    if not hasattr(config, "model_type"):
        return False
    from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    built = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None)
    return type(module) is (built[0] if isinstance(built, tuple) else built)


def _auto() -> tuple[Any, Any]:
    try:
        from transformers import AutoConfig, AutoModelForImageClassification
    except ImportError as error:
        raise ModelError("this needs transformers: pip install 'sightline[detectors]'") from error
    return AutoConfig, AutoModelForImageClassification


def _in_own_order(config: Any, labels: Sequence[str] | None) -> Sequence[str] | None:
    """None where the model knows these very classes: its head keeps them in its own order."""
    own = getattr(config, "id2label", None) or {}
    return None if labels is not None and set(own.values()) == set(labels) else labels


def _named(labels: Sequence[str] | None) -> dict[str, Any]:
    if labels is None:
        return {}
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _only_the_head_is_new(
    report: Mapping[str, Any], name: str, labels: Sequence[str] | None
) -> None:
    """Random weights anywhere else would be a surprise."""
    new = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    lost = sorted(key for key in new if key.removeprefix("timm_model.").split(".")[0] not in _HEADS)
    if lost:
        raise ModelError(
            f"{name} does not fit its config: {len(lost)} weights are missing or of another shape, "
            f"the first is {lost[0]}; is it whole?"
        )
    if new and labels is None:
        raise ModelError(
            f"{name} has no weights for the head of a classifier ({min(new)}); give labels=[...] "
            "for a new one"
        )


# --- what it reads --------------------------------------------------------------------------------


def _processor(name: str, revision: str | None) -> dict[str, Any] | None:
    """The contents of preprocessor_config.json; None in a folder without."""
    from transformers.image_processing_base import ImageProcessingMixin

    if Path(name).is_dir() and not (Path(name) / "preprocessor_config.json").is_file():
        return None
    settings, _ = ImageProcessingMixin.get_image_processor_dict(name, revision=revision)
    return dict(settings)


def _sight(
    processor: dict[str, Any], otherwise: tuple[int, int], kind: str
) -> tuple[Sight, tuple[int, int]]:
    """The normalisation, and the size that the network is given in the end."""
    told = processor | {"resample": BILINEAR}  # photos are averaged here, whatever the filter
    if not told.get("do_resize", True):
        told |= {"do_resize": True, "size": {"height": otherwise[0], "width": otherwise[1]}}
    sight = Sight.of(told, kind)
    cut = _sides(told.get("crop_size")) if told.get("do_center_crop") else None
    return sight, cut or sight.exact or (sight.shortest, sight.shortest)


def _reading(module: Any, sight: Sight, size: tuple[int, int], name: str) -> PictureClassifier:
    own = _own_size(module.config)
    if own is not None and own != size and hasattr(module.config, "patch_size"):
        raise ModelError(
            f"{name} reads pictures of {own[0]} x {own[1]} pixels, not of {size[0]} x {size[1]}; "
            f"give size={own}, or leave it out"
        )
    return PictureClassifier(
        module, size=size, mean=sight.mean, std=sight.std, resampling="antialiased"
    )


def _own_size(config: Any) -> Size:
    return _sides(getattr(config, "image_size", None))


def _sides(given: Any) -> Size:
    """Height and width, in the forms that configs have them."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        given = (given["height"], given["width"])
    high, wide = (given, given) if isinstance(given, int) else given
    return int(high), int(wide)
