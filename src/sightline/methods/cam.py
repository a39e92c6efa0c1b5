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
    Seen,
    look_inside,
    picture_of,
    see,
    seen,
    without_channels,
)
from sightline.methods.record import Placed, record_maps

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


def ssgrad_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """SSGrad-CAM: Grad-CAM whose weights act where the slope itself is large.

    Made for detectors: a plain Grad-CAM shows every object of a class, this one the place of the
    box. Arguments and errors as in `grad_cam`.

    Source:
        Yamauchi and Ishikawa, 2022: sum_k (mean g_k) (|g_k| / max |g_k|) A_k; without the ReLU.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        size = slope.abs()
        most = size.amax((2, 3), keepdim=True)
        near = torch.where(most > 0, size / torch.where(most > 0, most, 1), 0)
        return (slope.mean((2, 3), keepdim=True) * near * features).sum(1)

    return _cam(game, "ssgrad_cam", layer, weighted)


def odam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """ODAM: at each place the features times their own slopes, where they speak for the target.

    The positive part of `hires_cam`. For one edge of a box, ask `BoxEdge`. Arguments and errors as
    in `grad_cam`.

    Source:
        Zhao and Chan, 2023: relu(sum_k g_k A_k), an object and a box coordinate at a time.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        return (slope * features).sum(1).relu()

    return _cam(game, "odam", layer, weighted)


def eigen_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """Eigen-CAM: the feature map along its first principal direction.

    It does not ask what the target is: all targets that share a map get the same scores, and a
    note says so. Arguments and errors as in `grad_cam`.

    Source:
        Muhammad and Yeasin, 2020: A v_1 of the uncentred singular value decomposition; the sign,
        which the decomposition leaves open, is such that the scores sum to at least 0.
    """

    def weighted(features: Features, slope: Slopes) -> Maps:
        places = features.flatten(1).T  # [height x width, channels]
        _, _, directions = torch.linalg.svd(places, full_matrices=False)
        along = (places @ directions[0]).unflatten(0, features.shape[1:])
        along = along if float(along.sum()) >= 0 else -along
        return along.expand(len(slope), -1, -1)

    same = ("eigen_cam does not ask what the target is: maps of one layer are the same",)
    return _cam(game, "eigen_cam", layer, weighted, notes=same)


def ablation_cam(game: Game, *, layer: str | nn.Module | None = None) -> Explanation:
    """Ablation-CAM: feature maps weighted by what the target loses without them. No gradient.

    One evaluation a channel, and one. The scores on the map sum to the sum of the losses.
    Arguments and errors as in `grad_cam`, but any model will do whose layers can be watched.

    Source:
        Desai and Ramaswamy, 2020: the slope w_k = (y - y_k) / |A_k|, |A_k| the sum of absolute
        features, so that each loss is spread over the places of its channel. The paper then
        replaces |A_k| by y, which has no meaning where a logit is near 0 or below; without ReLU.
    """
    picture, meter = picture_of(game, "ablation_cam"), Meter(game)
    found: list[Output] = []

    def look(_: Tensor) -> Tensor:
        output, features, _ = look_inside(game, picture, layer)
        found.append(output)
        return features[None]

    features = game.inside(torch.ones(1, 1), look)[0]

    def ablate(absent: Tensor) -> Tensor:
        with torch.no_grad(), without_channels(found[-1], absent):
            return see(game, picture.expand(len(absent), *picture.shape))

    channels, output = len(features), found[-1]
    loss = game.value - game.inside(torch.eye(channels), ablate)  # [channels, targets]
    size = features.abs().sum((1, 2))
    weight = torch.where(size[:, None] > 0, loss / size.clamp(min=1e-300)[:, None], 0)
    maps = torch.einsum("kt,khw->thw", weight, features)
    each = Placed(tuple(range(len(maps))), maps, output.extent)
    notes = tuple(
        f"wrong layer: {name} does not change without {output.name}, so its map is blank; give "
        "another layer=..."
        for name, own in zip(game.targets, loss.T, strict=True)
        if not bool(own.any())
    )
    settings = {"layer": output.name}
    return record_maps(game, [each], meter, "ablation_cam", settings=settings, notes=notes)


def _cam(
    game: Game,
    method: str,
    layer: str | nn.Module | None,
    weighted: Callable[[Features, Slopes], Maps],
    *,
    notes: tuple[str, ...] = (),
) -> Explanation:
    """Weigh what feeds each target, and carry the maps to the parts of the game."""
    meter = Meter(game)
    looked = seen(game, method, layer, meter)
    maps = [
        Placed(
            each.targets,
            weighted(each.features.double(), each.slopes.double()).cpu(),
            each.extent,
        )
        for each in looked
    ]
    settings = {"layer": ", ".join(each.name for each in looked)}
    notes += _blank(game, looked, maps)
    return record_maps(game, maps, meter, method, settings=settings, notes=notes)


def _blank(game: Game, looked: list[Seen], maps: list[Placed]) -> tuple[str, ...]:
    """Why maps show nothing, where the layer is the cause."""
    notes = []
    for each, placed in zip(looked, maps, strict=True):
        if not bool(each.features.any()):
            notes.append(f"dead layer: {each.name} is 0 everywhere, so every map of it is blank")
            continue
        for row, target in enumerate(each.targets):
            if not bool(each.slopes[row].any() or placed.maps[row].any()):
                name = game.targets[target]
                notes.append(
                    f"wrong layer: {name} does not change with {each.name}, so its map is blank; "
                    "give an earlier layer=..."
                )
    return tuple(notes)
