"""Where a classifier of pictures looks, from the forward pass that the task's loss makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import Looked, Maps
from sightline.errors import AlignmentError, GameError, first_line
from sightline.image.batch import PictureBatch
from sightline.methods.features import as_map, choose, watched
from sightline.models.as_found import as_found
from sightline.models.ask import logits_of, look_at, read_logits
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel
from sightline.sketch.batch import SketchBatch

Inputs = PictureBatch | SketchBatch
Place = tuple[str, int]
"""A layer's name, and in which of its calls it is read."""

_KNOWN: WeakKeyDictionary[nn.Module, dict[str | None, Place]] = WeakKeyDictionary()


@dataclass(frozen=True)
class GradCamMaps:
    """Grad-CAM of a layer, of the whole batch at once: ``sum_k w_k A_k``, signed and raw.

    ``w_k`` is the mean over places of the slope of the target's logit by ``A_k``. Features come
    from the forward pass of the task's loss, whatever mode the model is in; beside it one backward
    pass runs from the logits to the layer. Where batch normalisation follows the layer in training
    mode, items of a batch touch each other's maps: they are maps of the batch as it was normalised.

    Args:
        layer: as ``named_modules`` names it; by default the last that gives a feature map or a
            square of tokens on whose places the logits depend.
        exact: differentiate the weights ``w_k`` too. False is the way of published programs: the
            weights are constants, so what comes after the layer learns nothing from the map.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> looked = GradCamMaps().look(net, PictureBatch(torch.rand(5, 3, 8, 8)))
        >>> looked.maps(torch.zeros(5, dtype=torch.int64)).shape
        torch.Size([5, 6, 6])

    Source:
        Selvaraju et al., ICCV 2017, equations 1 and 2 without the ReLU; as a training signal: Gao
        et al., CSCW 2022 (GRADIA), whose program is ``exact=False``.
    """

    layer: str | None = None
    exact: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices."""
        return {"name": "grad-cam", "layer": self.layer, "exact": self.exact}

    def look(self, model: nn.Module, inputs: Inputs) -> Looked:
        """One forward pass of the whole batch; the hook on the layer is gone after it.

        Raises:
            AlignmentError: inference mode, gradient checkpointing, no such layer, a layer without
                a map or one on whose places the logits do not depend.
        """
        _check_gradients(model)
        root = _network(model)
        place = _place(root, model, inputs, self.layer)
        with _caught(root.get_submodule(place[0]), place) as caught, torch.enable_grad(), _twice():
            logits = logits_of(model, inputs)

        def read(target: Int[Tensor, " items"]) -> Maps:
            return _grad_cam(caught, logits, target, exact=self.exact)

        return Looked.from_pass(logits, read)


@dataclass(frozen=True)
class InputGradients:
    """How the log-probabilities of all classes together change with the input.

    ``d sum_k log p_k / dx`` as ``[items, channels, height, width]``. No class is singled out, so
    the target is not used. Of drawings before a `RasterModel`, by the ink: one channel.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> looked = InputGradients().look(net, PictureBatch(torch.rand(5, 3, 2, 2)))
        >>> looked.maps(torch.zeros(5, dtype=torch.int64)).shape
        torch.Size([5, 3, 2, 2])

    Source:
        Ross, Hughes and Doshi-Velez, IJCAI 2017 (RRR), equation 1.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"name": "input-gradients"}

    def look(self, model: nn.Module, inputs: Inputs) -> Looked:
        """One forward pass of a copy of the pixels, by which it can be differentiated.

        Raises:
            AlignmentError: inference mode, gradient checkpointing, or a model that reads drawings
                as strokes.
        """
        _check_gradients(model)
        with torch.enable_grad(), _twice():
            pixels, logits = _from_pixels(model, inputs)
            total = _wide(logits).log_softmax(1).sum()

        def read(_target: Int[Tensor, " items"]) -> Maps:
            slope = _slope(total, pixels, exact=True) if total.requires_grad else None
            maps = _wide(torch.zeros_like(pixels) if slope is None else slope)
            maps = maps if _learns(maps, pixels) else maps.detach()
            return maps[:, None] if maps.dim() == 3 else maps

        return Looked.from_pass(logits, read)


def _from_pixels(model: nn.Module, inputs: Inputs) -> tuple[Tensor, Float[Tensor, "items _"]]:
    if isinstance(inputs, PictureBatch):
        pixels = inputs.pixels.detach().clone().requires_grad_()
        return pixels, read_logits(model, look_at(model, pixels), len(inputs))
    if not isinstance(model, RasterModel):
        raise AlignmentError(
            f"{type(model).__name__} reads drawings as strokes, not as pictures; take the maps of "
            "StrokeScores or StrokeAttention"
        )
    ink = model.picture(inputs).detach().clone().requires_grad_()
    return ink, model.see(ink)


# --- the layer ------------------------------------------------------------------------------------


def _network(model: nn.Module) -> nn.Module:
    """The module whose layers have the names that users know."""
    return model.module if isinstance(model, RasterModel | PictureClassifier) else model


def _place(root: nn.Module, model: nn.Module, inputs: Inputs, layer: str | None) -> Place:
    """Where a model is read; found once, since watching every layer takes long."""
    known = _KNOWN.setdefault(root, {})
    place = known.get(layer)
    if place is None or not _has(root, place[0]):
        place = known[layer] = _find(root, model, inputs, layer)
    return place


def _has(root: nn.Module, name: str) -> bool:
    """Whether the layer is still there; a model may have been given another head or trunk."""
    try:
        root.get_submodule(name)
    except AttributeError:
        return False
    return True


def _find(root: nn.Module, model: nn.Module, inputs: Inputs, layer: str | None) -> Place:
    """One item is shown in evaluation mode to the model with all its layers watched."""
    one = inputs.select(torch.zeros(1, dtype=torch.int64, device=inputs.device))
    if isinstance(one, PictureBatch):
        one = PictureBatch(one.pixels.detach().requires_grad_())
    with as_found(model), torch.enable_grad(), _twice(), watched(root) as outputs:
        value = logits_of(model, one)[0].max()
        with _saying_what_checkpoints_do():
            try:
                found = choose(outputs, root, layer, value)
            except GameError as error:
                raise AlignmentError(_without_map(root, layer, error)) from None
            slope = _slope(value, found.tensor, exact=False) if value.requires_grad else None
    places = None if slope is None else as_map(slope)  # None: cut off, which the reader is told
    if places is not None and not places.any():
        raise AlignmentError(
            f"the logits of {type(root).__name__} do not depend on the places of layer "
            f"{found.name!r} (after a vision transformer's last block only the class token is "
            "read); name an earlier layer, or none"
        )
    return found.name, found.call


def _without_map(root: nn.Module, layer: str | None, error: GameError) -> str:
    if layer is not None:
        return str(error)
    return (
        f"no layer of {type(root).__name__} gives a feature map [batch, channels, height, width] "
        "with more than one row and column, or a square of tokens; use InputGradients()"
    )


@dataclass(eq=False)
class _Caught:
    """What a layer gave: ``made_of`` it the map is made, ``by`` it logits are differentiated."""

    place: Place
    calls: int = 0
    made_of: Tensor | None = None
    by: Tensor | None = None

    def __call__(self, _module: nn.Module, _inputs: object, output: object) -> Tensor | None:
        self.calls += 1
        if self.calls != self.place[1] + 1 or not isinstance(output, Tensor):
            return None
        self.made_of = output
        if output.requires_grad:
            self.by = output
        elif torch.is_grad_enabled():  # frozen so far: what comes after can still learn
            self.by = output.detach().requires_grad_()
        return None if self.by is None else self.by.clone()  # the next layer may work in place


@contextmanager
def _caught(module: nn.Module, place: Place) -> Iterator[_Caught]:
    """Keep one layer's output while this is open."""
    caught = _Caught(place)
    handle = module.register_forward_hook(caught)
    try:
        yield caught
    finally:
        handle.remove()


# --- the map --------------------------------------------------------------------------------------


def _grad_cam(caught: _Caught, logits: Tensor, target: Tensor, *, exact: bool) -> Maps:
    name = caught.place[0]
    if caught.made_of is None:
        raise AlignmentError(
            f"layer {name!r} was not called in this forward pass, or without its hooks, as in a "
            "compiled model; name a layer that is, and compile after training"
        )
    if caught.by is None:
        raise AlignmentError(
            f"the map is detached: layer {name!r} was computed without gradients (under "
            "torch.no_grad, or checkpointed with use_reentrant=True), so no weight would learn "
            "from a loss on it; name a later layer, or compute it with gradients"
        )
    if len(target) != len(logits):
        raise AlignmentError(f"{len(target)} targets for {len(logits)} items; give one an item")
    with torch.enable_grad():
        value = logits.gather(1, target[:, None]).sum()
    slope = _slope(value, caught.by, exact=exact)
    features = as_map(_wide(caught.made_of))
    if slope is None or features is None:
        raise AlignmentError(f"the logits do not depend on a map of layer {name!r}")
    weights = as_map(_wide(slope)).mean((2, 3), keepdim=True)  # type: ignore[union-attr]
    maps = (weights * features).sum(1)
    if caught.by is caught.made_of:
        return maps
    return maps if _learns(maps, caught.by) else maps.detach()


def _slope(value: Tensor, by: Tensor, *, exact: bool) -> Tensor | None:
    """How a sum of answers changes; it can be differentiated again where gradients are on."""
    again = exact and torch.is_grad_enabled()
    with _saying_what_checkpoints_do():
        (slope,) = torch.autograd.grad(
            value, by, create_graph=again, retain_graph=True, allow_unused=True
        )
    return slope


def _learns(maps: Tensor, leaf: Tensor) -> bool:
    """Whether a gradient of maps reaches any weight beside the leaf that was made for them."""
    waiting: list[Any] = [maps.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and variable is not leaf:
            return True
        waiting.extend(before for before, _ in node.next_functions)
    return False


def _wide(numbers: Tensor) -> Tensor:
    """At least float32: under autocast, features are of half precision."""
    return numbers.float() if numbers.dtype in (torch.bfloat16, torch.float16) else numbers


# --- what gradients need --------------------------------------------------------------------------

_CHECKPOINTED = (
    "maps need the whole graph of the forward pass, which gradient checkpointing throws away ({}); "
    "switch it off (in torch's own checkpoint: use_reentrant=False)"
)


@contextmanager
def _saying_what_checkpoints_do() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "checkpoint" not in str(error):
            raise
        raise AlignmentError(_CHECKPOINTED.format(first_line(error))) from None


def _check_gradients(model: nn.Module) -> None:
    if torch.is_inference_mode_enabled() or any(w.is_inference() for w in model.parameters()):
        raise AlignmentError(
            "maps are gradients, and nothing made under torch.inference_mode has any; load the "
            "model and look outside of it"
        )
    for name, module in model.named_modules() if model.training else ():
        for flag in ("gradient_checkpointing", "grad_checkpointing"):  # transformers, timm
            if getattr(module, flag, False):
                where = f"{flag} of {name!r}" if name else flag
                raise AlignmentError(_CHECKPOINTED.format(where))


def _twice() -> AbstractContextManager[None]:
    """Attention whose gradient has a gradient: torch's fused kernels have none."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernel: Callable[[SDPBackend], AbstractContextManager[None]] = sdpa_kernel
    return kernel(SDPBackend.MATH)
