"""What the modules of a model give on the way to its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import GameError, unknown_name
from sightline.game import NEED_NO_GRADIENT, Game, Meter
from sightline.models.detector import Candidates, DenseDetector
from sightline.models.generator import Generator, RasterGenerator
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel


@dataclass(frozen=True, eq=False)
class Output:
    """What one module gave in one of its calls: [pictures, ...].

    ``extent`` is that of `Candidates`, where the network sees past the picture's edge.
    """

    name: str
    module: nn.Module
    call: int
    tensor: Tensor
    extent: tuple[int, int] | None = None

    @property
    def map(self) -> Float[Tensor, "pictures channels height width"] | None:
        """The output as a feature map; None where it is none."""
        return as_map(self.tensor)


def as_map(tensor: Tensor) -> Float[Tensor, "pictures channels height width"] | None:
    """Maps as they are, channels first; tokens as the square of patches they came from.

    Tokens are [pictures, tokens, width], with or without a class token before the patches.

    Example:
        >>> as_map(torch.zeros(1, 10, 8)).shape  # a class token and 3 x 3 patches
        torch.Size([1, 8, 3, 3])
    """
    if tensor.ndim == 4 and min(tensor.shape[2:]) > 1:
        return tensor
    patches = _patches(tensor)
    return None if patches is None else patches.transpose(1, 2).unflatten(2, (_side(patches), -1))


def _patches(tensor: Tensor) -> Tensor | None:
    """Tokens without the class token, where they are a square number of at least 4."""
    if tensor.ndim != 3:
        return None
    for first in (0, 1):
        patches = tensor[:, first:]
        if _side(patches) > 1 and _side(patches) ** 2 == patches.shape[1]:
            return patches
    return None


def _side(patches: Tensor) -> int:
    return math.isqrt(patches.shape[1])


def picture_of(game: Game, method: str) -> Float[Tensor, "*size"]:
    """The picture that a game's model looks at: ink ``[height, width]``, or a photo's three.

    Raises:
        GameError: it looks at no picture, or is no module that could be watched.
    """
    picture = game.bound.picture()
    if picture is not None and isinstance(game.model, nn.Module):
        return picture
    what = "reads no pictures" if picture is None else "is no torch.nn.Module"
    raise GameError(
        f"{method} looks at the feature maps of a torch.nn.Module that reads pictures, but "
        f"{type(game.model).__name__} {what}; use {game.without_gradient}"
    )


def see(game: Game, pictures: Float[Tensor, rows * size]) -> Float[Tensor, "rows targets"]:
    """Values of pictures, with whatever gradients are being recorded."""
    return game.read(game.bound.see(pictures), rows=len(pictures))


def network(game: Game) -> nn.Module:
    """The module that sees the picture, whose layers have names."""
    model = game.model
    assert isinstance(model, nn.Module)  # noqa: S101, picture_of has made sure
    if isinstance(model, RasterGenerator):
        model = model.raster
    if isinstance(model, RasterModel | PictureClassifier):
        return model.module
    return model


@dataclass(frozen=True, eq=False)
class Seen:
    """One feature map of the whole input, and how some targets would change with it.

    ``name`` is the layer's; ``targets`` are rows of the game's; ``extent`` is as in `Output`.
    """

    name: str
    targets: tuple[int, ...]
    features: Float[Tensor, "channels height width"]
    slopes: Float[Tensor, "targets channels height width"]
    extent: tuple[int, int] | None = None


def seen(game: Game, method: str, layer: str | nn.Module | None, meter: Meter) -> list[Seen]:
    """What feeds each target: for a box the map that feeds its head, else one layer for all.

    One forward pass for all targets, which all methods of one game share; a backward pass a
    target, which stops at the feature map. Each call counts as one evaluation, and is charged the
    time of the pass, whoever made it.

    Raises:
        GameError: no pictures, no gradient, no such layer, no map.
    """
    picture = picture_of(game, method)
    game.check_differentiable()
    key = ("seen", layer)
    if key in game.seen_inside:
        found, seconds = game.seen_inside[key]
        game.evaluations += 1
        meter.charge(seconds)
        return found
    found, before = [], meter.seconds

    def look(_: Tensor) -> Tensor:
        heads = layer is None and isinstance(game.model, DenseDetector)
        found.extend(_feeding(game, picture) if heads else [])
        if not found:
            found.append(_watching(game, picture, layer))
        return torch.zeros(1, 1)

    game.inside(torch.ones(1, 1), look)
    game.seen_inside[key] = found, meter.seconds - before
    return found


def _feeding(game: Game, picture: Tensor) -> list[Seen]:
    """The maps that feed a detector's heads, each with the targets that it feeds."""
    with torch.enable_grad():
        reply = game.bound.see(picture[None])
        if not isinstance(reply, Candidates) or not reply.features:
            return []
        values = game.read(reply, rows=1)[0]
        level = _levels(game, reply, values)
        groups = {at: [t for t, own in enumerate(level) if own == at] for at in sorted(set(level))}
        return [
            Seen(
                f"feature map {at}",
                tuple(own),
                reply.features[at][0].detach(),
                slopes(values[own], [reply.features[at]])[0][:, 0],
                reply.extent,
            )
            for at, own in groups.items()
        ]


def _levels(game: Game, reply: Candidates, values: Tensor) -> list[int]:
    """Which map feeds each target; without a candidate, the one that it depends on most."""
    if game.candidates and reply.level is not None:
        return reply.level[list(game.candidates)].tolist()
    by = slopes(values, reply.features)
    size = [
        (g * f).abs().flatten(1).sum(1) for g, f in zip(by, reply.features, strict=True)
    ]  # one [targets] a map
    return torch.stack(size).argmax(0).tolist()


def _watching(game: Game, picture: Tensor, layer: str | nn.Module | None) -> Seen:
    """One layer of the network for all targets."""
    output, features, values = look_inside(game, picture, layer)
    (slope,) = slopes(values, [output.tensor])  # [targets, 1, ...]
    maps = as_map(slope.squeeze(1))
    assert maps is not None  # noqa: S101, `choose` gives nothing else
    return Seen(output.name, tuple(range(len(values))), features, maps, output.extent)


def look_inside(
    game: Game, picture: Tensor, layer: str | nn.Module | None
) -> tuple[Output, Float[Tensor, "channels height width"], Tensor]:
    """A layer's output for one picture, as a map, and the values that came of it."""
    root = network(game)
    slopes_exist = not any(weight.is_inference() for weight in root.parameters())
    with torch.set_grad_enabled(slopes_exist), watched(root) as outputs:
        reply = game.bound.see(picture[None].clone().requires_grad_())
        values = game.read(reply, rows=1)[0]
        if layer is None and isinstance(game.model, Generator):
            raise GameError(
                "a generator's last feature map is its picture, which shows where the region is "
                "and not what in the drawing made it; give layer=..., one of: "
                f"{', '.join(_names_of_maps(outputs)) or 'none'}; or use {game.without_gradient}"
            )
        output = choose(outputs, root, layer, values[0])
    if isinstance(reply, Candidates):
        output = replace(output, extent=reply.extent)
    features = as_map(output.tensor)
    assert features is not None  # noqa: S101, `choose` gives nothing else
    return output, features[0].detach(), values


@contextmanager
def watched(root: nn.Module) -> Iterator[list[Output]]:
    """Everything that the modules inside ``root`` give while this is open, in order.

    What is kept can be differentiated by; what is changed in place later was copied first.
    """
    seen: list[Output] = []

    def keep(name: str, module: nn.Module) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return None
            kept = output if output.requires_grad else output.detach().requires_grad_()
            calls = sum(other.module is module for other in seen)
            seen.append(Output(name, module, calls, kept))
            return kept.clone()

        return hook

    hooks = [m.register_forward_hook(keep(name, m)) for name, m in root.named_modules() if name]
    try:
        yield seen
    finally:
        for handle in hooks:
            handle.remove()


@contextmanager
def without_channels(found: Output, absent: Float[Tensor, "pictures channels"]) -> Iterator[None]:
    """While this is open, the output is 0 in one picture's channels that are ``absent``."""
    calls = 0

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls != found.call + 1:
            return None
        changed = output.clone()
        seen = as_map(changed)  # a view: what is written there is written in ``changed``
        assert seen is not None  # noqa: S101, it was a map before
        seen *= (1 - absent)[:, :, None, None].to(seen.dtype)
        return changed

    handle = found.module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def slopes(values: Float[Tensor, " targets"], by: Sequence[Tensor]) -> list[Tensor]:
    """Derivative of each target by each tensor, [targets, ...]; 0 where it does not depend on it.

    Raises:
        GameError: the values carry no gradient.
    """
    if not values.requires_grad:
        raise GameError(
            "the model's answer carries no gradient (it detaches, converts to numpy, or runs "
            f"under no_grad inside); use a method that needs none: {NEED_NO_GRADIENT}"
        )
    with torch.enable_grad():  # the caller may have switched them off
        found = [torch.autograd.grad(v, by, retain_graph=True, allow_unused=True) for v in values]
    return [
        torch.stack([torch.zeros_like(x) if s is None else s for s in column])
        for x, column in zip(by, zip(*found, strict=True), strict=True)
    ]


def choose(
    outputs: Sequence[Output], root: nn.Module, layer: str | nn.Module | None, value: Tensor
) -> Output:
    """The output of ``layer``, or the last feature map on which ``value`` depends.

    Raises:
        GameError: no such layer, or its output is no map.
    """
    if layer is None:
        return _last_map(outputs, value)
    names = {name: module for name, module in root.named_modules() if name}
    name = next((n for n, m in names.items() if m is layer), layer)
    if name not in names:
        if isinstance(name, str):
            raise GameError(unknown_name("layer", name, names))
        raise GameError(f"this {type(name).__name__} is no layer of the model; give a name")
    own = [output for output in outputs if output.module is names[name]]
    if not own or own[-1].map is None:
        came = f"gave {list(own[-1].tensor.shape)}" if own else "gave no tensor"
        raise GameError(
            f"layer {name!r} {came}, not a feature map [batch, channels, height, width] nor a "
            f"square of tokens; those that do: {', '.join(_names_of_maps(outputs)) or 'none'}"
        )
    return own[-1]


def _names_of_maps(outputs: Sequence[Output]) -> list[str]:
    return list(dict.fromkeys(output.name for output in outputs if output.map is not None))


def _last_map(outputs: Sequence[Output], value: Tensor) -> Output:
    """The last as wide as the very last, on whose places the value depends.

    A transformer's class token leaves the last layer alone, so the patches' last output has no
    slope; and queries, keys and values (linear layers inside a block) are no places of the stream.
    """
    tokens = {o.tensor.shape[1] for o in outputs if _patches(o.tensor) is not None}
    maps = [
        o
        for o in outputs
        if o.map is not None
        and not isinstance(o.module, nn.Linear)
        and not (o.tensor.ndim == 4 and o.tensor.shape[2] in tokens)  # tokens by tokens, by head
    ]
    if not maps:
        raise GameError(
            "no layer of the model gives a feature map [batch, channels, height, width] with more "
            f"than one row and column, or a square of tokens; use {NEED_NO_GRADIENT}"
        )
    alike = [o for o in maps if o.tensor.shape[1 if o.tensor.ndim == 4 else 2] == _width(maps[-1])]
    if not value.requires_grad:
        return alike[-1]
    found = slopes(value[None], [o.tensor for o in alike])
    depends = [bool(as_map(slope[0]).any()) for slope in found]  # type: ignore[union-attr]
    return next((o for o, yes in zip(alike[::-1], depends[::-1], strict=True) if yes), alike[-1])


def _width(output: Output) -> int:
    return output.tensor.shape[1 if output.tensor.ndim == 4 else 2]
