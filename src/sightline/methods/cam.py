"""Class activation maps: what a model of pictures saw inside, carried to the parts.

Every map is signed and raw: no ReLU, no scaling to [0, 1]. The map is an explanation on the grid
of the layer's own cells, each of which stands for its share of the canvas; `Explanation.on`
carries it to the parts of the game.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.features import (
    Output,
    as_map,
    choose,
    network,
    picture_of,
    see,
    slopes,
    watched,
    without_channels,
)
from sightline.methods.record import record
from sightline.parts import GridCells

Features = Float[Tensor, "channels height width"]
Slopes = Float[Tensor, "targets channels height width"]
Maps = Float[Tensor, "targets height width"]


def grad_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """Feature maps, each weighted by the mean of the target's slope over it.

    One forward pass for all targets. Under a global mean and a linear head the scores on the map
    sum to the value without the head's bias.

    Args:
        game: of a model that reads pictures.
        layer: name of a module, or the module; by default the last that gives a feature map (for
            transformers: whose patch tokens the target still depends on).

    Raises:
        GameError: no pictures, no gradient, no such layer, no map.

    Source:
        Selvaraju et al., 2017, equations 1 and 2: w_k = mean_ij dy/dA_kij, sum_k w_k A_k; here
        without the ReLU, so that evidence against the target is seen as well.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        return torch.einsum("tk,khw->thw", slope.mean((2, 3)), features)

    return _cam(game, "grad_cam", layer, weighted)


def grad_cam_pp(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """Grad-CAM++: like Grad-CAM, places with a positive slope weighted by their own coefficients.

    Only slopes for the target count, and the coefficients are not in its unit: compare scores
    with each other, not with the value. Made for features of ReLU: where a map's sum is negative
    the coefficients have poles. Arguments and errors as in `grad_cam`.

    Source:
        Chattopadhay et al., 2018, equations 10 and 19 for exp(y): alpha = g^2 / (2 g^2 +
        (sum A) g^3), w_k = sum alpha relu(g); without the last ReLU.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        below = 2 * slope**2 + features.sum((1, 2))[:, None, None] * slope**3
        alpha = torch.where(below == 0, 0, slope**2 / torch.where(below == 0, 1, below))
        return torch.einsum("tk,khw->thw", (alpha * slope.relu()).sum((2, 3)), features)

    return _cam(game, "grad_cam_pp", layer, weighted)


def x_grad_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """XGrad-CAM: like Grad-CAM, the mean of the slope weighted by the feature itself.

    Arguments and errors as in `grad_cam`. The scores on the map sum to those of `hires_cam`.

    Source:
        Fu et al., 2020: w_k = sum_ij A_kij g_kij / sum_ij A_kij; without the ReLU.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        total = features.sum((1, 2))
        mean = (slope * features).sum((2, 3)) / torch.where(total == 0, 1, total)
        return torch.einsum("tk,khw->thw", mean * (total != 0), features)

    return _cam(game, "x_grad_cam", layer, weighted)


def hires_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """HiRes-CAM: at each place the features times their own slopes.

    Arguments and errors as in `grad_cam`. Where all that follows the layer is linear, the scores on
    the map are the layer's contributions: they sum to the value without the biases that follow.

    Source:
        Draelos and Carin, 2020: sum_k g_k A_k; without the ReLU.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        return (slope * features).sum(1)

    return _cam(game, "hires_cam", layer, weighted)


def ablation_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """Ablation-CAM: feature maps weighted by what the target loses without them. No gradient.

    One evaluation a channel, and one. The scores on the map sum to the sum of the losses.
    Arguments and errors as in `grad_cam`, but any model will do whose layers can be watched.

    Source:
        Desai and Ramaswamy, 2020: the slope w_k = (y - y_k) / |A_k|, |A_k| the sum of absolute
        features, so that each loss is spread over the places of its channel. The paper then
        replaces |A_k| by y, which has no meaning where a logit is near 0 or below; without ReLU.
    """
    picture, root, meter = picture_of(game, "ablation_cam"), network(game), Meter(game)
    found: list[Output] = []

    def look(_: Tensor) -> Tensor:
        output, features, _ = _look(game, root, picture, layer)
        found.append(output)
        return features[None]

    features = game.inside(torch.ones(1, 1), look)[0]

    def ablate(absent: Tensor) -> Tensor:
        with torch.no_grad(), without_channels(found[-1], absent):
            return see(game, picture.expand(len(absent), -1, -1))

    channels = len(features)
    loss = game.value - game.inside(torch.eye(channels), ablate)  # [channels, targets]
    size = features.abs().sum((1, 2))
    weight = torch.where(size[:, None] > 0, loss / size.clamp(min=1e-300)[:, None], 0)
    maps = torch.einsum("kt,khw->thw", weight, features)
    return _on_parts(game, maps, meter, "ablation_cam", found[-1].name)


def _cam(
    game: Game,
    method: str,
    layer: str | nn.Module | None,
    weighted: Callable[[Features, Slopes], Maps],
) -> Explanation:
    """One forward pass; a backward pass a target, which stops at the feature map."""
    picture, root, meter = picture_of(game, method), network(game), Meter(game)
    game.check_differentiable()
    names: list[str] = []

    def look(_: Tensor) -> Tensor:
        output, features, values = _look(game, root, picture, layer)
        names.append(output.name)
        (slope,) = slopes(values, [output.tensor])  # [targets, 1, ...]
        return weighted(features, _map_of(slope.squeeze(1)))[None]

    maps = game.inside(torch.ones(1, 1), look)[0]
    return _on_parts(game, maps, meter, method, names[-1])


def _look(
    game: Game, root: nn.Module, picture: Tensor, layer: str | nn.Module | None
) -> tuple[Output, Features, Tensor]:
    """The layer's output for one picture, as a map, and the values that came of it."""
    slopes_exist = not any(weight.is_inference() for weight in root.parameters())
    with torch.set_grad_enabled(slopes_exist), watched(root) as outputs:
        values = see(game, picture[None].clone().requires_grad_())[0]
        output = choose(outputs, root, layer, values[0])
    return output, _map_of(output.tensor)[0].detach(), values


def _map_of(tensor: Tensor) -> Tensor:
    found = as_map(tensor)
    assert found is not None  # noqa: S101, `choose` gives nothing else
    return found


def _on_parts(
    game: Game,
    maps: Maps,
    meter: Meter,
    method: str,
    name: str,
) -> Explanation:
    height, width = maps.shape[1:]
    return record(
        game,
        maps.flatten(1),
        meter,
        method,
        parts=GridCells(game.parts.sketch, height, width),
        settings={"layer": name},
    )
