"""Class activation maps written out from their papers, place by place, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def slopes_by_differences(head: Callable, features: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Slope of a head's answer by every feature [channels, height, width], no autograd."""
    slope = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[place] += step
        down[place] -= step
        slope[place] = (head(up) - head(down)) / (2 * step)
    return slope


def weighted(weights, features):
    return sum(w * a for w, a in zip(weights, features, strict=True))


def grad_cam(a, g):
    return weighted([layer.mean() for layer in g], a)


def grad_cam_pp(a, g):
    weights = []
    for layer, slope in zip(a, g, strict=True):
        w = 0.0
        for place in np.ndindex(layer.shape):
            below = 2 * slope[place] ** 2 + layer.sum() * slope[place] ** 3
            alpha = slope[place] ** 2 / below if below else 0.0
            w += alpha * max(slope[place], 0.0)
        weights.append(w)
    return weighted(weights, a)


def x_grad_cam(a, g):
    return weighted([(x * y).sum() / x.sum() for x, y in zip(a, g, strict=True)], a)


def hires_cam(a, g):
    return (a * g).sum(0)


def ablation_cam(a, head):
    weights = []
    for k in range(len(a)):
        without = a.copy()
        without[k] = 0
        weights.append((head(a) - head(without)) / np.abs(a[k]).sum())
    return weighted(weights, a)


def full_grad(model, picture: np.ndarray, column: int) -> tuple[np.ndarray, float]:
    """FullGrad of `nets.Folded` without autograd, by freezing every gate.

    With the gates of ReLU and max pooling held as they fell, the network is linear in its input
    and its biases; so a bias's share is what the frozen network answers to that bias alone.
    """
    weight = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    slope = weight["norm.weight"] / np.sqrt(weight["norm.running_var"] + model.norm.eps)
    shift = weight["norm.bias"] - slope * weight["norm.running_mean"]

    first = _convolved(picture[None], weight["first.weight"])
    first_bias = weight["first.bias"][:, None, None] + np.zeros_like(first)
    shift = shift[:, None, None] + np.zeros_like(first)
    before = slope[:, None, None] * (first + first_bias) + shift
    gate = before > 0
    pool = _argmax_gate(before * gate)
    second = _convolved(_pooled(before * gate, pool), weight["second.weight"])
    gate2 = second > 0
    pool2 = _argmax_gate(second * gate2)

    def onward(entering: np.ndarray) -> float:
        """The frozen network from after the first convolution's normalisation."""
        deep = _convolved(_pooled(entering * gate, pool), weight["second.weight"])
        return weight["head.weight"][column] @ _pooled(deep * gate2, pool2).mean((1, 2))

    def alone(whole: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """What each place of a bias brings, all its channels together."""
        brought = np.zeros(whole.shape[1:])
        for row, col in np.ndindex(brought.shape):
            only = np.zeros_like(whole)
            only[:, row, col] = whole[:, row, col] * scale
            brought[row, col] = onward(only)
        return brought

    from_input = np.zeros_like(picture)
    for place in np.argwhere(picture):
        only = np.zeros_like(picture)
        only[tuple(place)] = picture[tuple(place)]
        entering = slope[:, None, None] * _convolved(only[None], weight["first.weight"])
        from_input[tuple(place)] = onward(entering)
    maps = from_input + alone(first_bias, slope) + alone(shift, np.ones(len(slope)))
    return maps, float(weight["head.bias"][column])


def _convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """3 x 3, one pixel of nothing around: [in, h, w] -> [out, h, w]."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = x.shape[1:]
    return sum(
        np.einsum("oi,ihw->ohw", kernel[:, :, r, c], wide[:, r : r + height, c : c + width])
        for r in range(3)
        for c in range(3)
    )


def _blocks(x: np.ndarray) -> np.ndarray:
    """[c, h, w] -> [c, h / 2, w / 2, 4]."""
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, h // 2, w // 2, 4)


def _argmax_gate(x: np.ndarray) -> np.ndarray:
    return _blocks(x).argmax(3)


def _pooled(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    return np.take_along_axis(_blocks(x), gate[..., None], 3)[..., 0]
