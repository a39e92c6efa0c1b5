"""SketchXAINet's encoder in plain numpy, one token and one head at a time, for one drawing."""

from __future__ import annotations

import math

import numpy as np


def encoder(state: dict[str, np.ndarray], tokens: np.ndarray, heads: int):
    """Class token and strokes [tokens, hidden] -> attention [layers, heads, to, from], logits."""
    x, shares = tokens, []
    width = x.shape[1] // heads
    for layer in range(len({n.split(".")[1] for n in state if n.startswith("layers.")})):
        w = {n.split(".", 2)[2]: v for n, v in state.items() if n.startswith(f"layers.{layer}.")}
        seen = _normalised(x, w["norm_attention.weight"], w["norm_attention.bias"])
        query, key, value = np.split(seen @ w["qkv.weight"].T + w["qkv.bias"], 3, axis=1)
        mixed, of_layer = np.zeros_like(x), []
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            share = np.zeros((len(x), len(x)))
            for asking in range(len(x)):
                score = [query[asking, own] @ k / math.sqrt(width) for k in key[:, own]]
                share[asking] = np.exp(score) / np.exp(score).sum()
            mixed[:, own] = share @ value[:, own]
            of_layer.append(share)
        shares.append(of_layer)
        x = x + mixed @ w["out.weight"].T + w["out.bias"]
        seen = _normalised(x, w["norm_mlp.weight"], w["norm_mlp.bias"])
        up = seen @ w["up.weight"].T + w["up.bias"]
        bent = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        x = x + bent @ w["down.weight"].T + w["down.bias"]
    answer = _normalised(x[:1], state["norm.weight"], state["norm.bias"])[0]
    return np.array(shares), state["head.weight"] @ answer + state["head.bias"]


def rollout(shares: np.ndarray) -> np.ndarray:
    """Abnar and Zuidema's equation 1, from the last layer down: what the class token hears of."""
    heard = np.eye(shares.shape[-1])[0]
    for layer in shares[::-1]:
        heard = 0.5 * heard + 0.5 * heard @ layer.mean(0)
    return heard


def _normalised(x, weight, bias):
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-12) * weight + bias
