"""Sanity: does an explanation change when the model it explains is no longer that model?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError, SightlineError, unknown_name
from sightline.metrics.agreement import spearman
from sightline.metrics.localisation import Map
from sightline.models.as_found import as_found

GROUPS = 6
ALIKE = 0.1

Explain = Callable[[nn.Module], Map]
Layer = tuple[str, list[nn.Parameter]]


@dataclass(frozen=True)
class LayerSimilarity:
    """How like the original a map is, once some layers are random.

    Args:
        layers: names of the layers made random in this step, first to last.
        spearman: rank correlation of the two maps; None where the new one ranks nothing.
        absolute: the same of their absolute values.
        note: why there is no correlation.
    """

    layers: tuple[str, ...]
    spearman: float | None
    absolute: float | None
    note: str = ""


@dataclass(frozen=True)
class Cascade:
    """The similarities, from the head random to all random.

    Args:
        steps: one a group of layers, the head first.
        cumulative: whether each step keeps the layers of those before it random.
    """

    steps: tuple[LayerSimilarity, ...]
    cumulative: bool = True

    @property
    def passes(self) -> bool | None:
        """Whether nothing of the map is left in the wholly random model.

        That is: both correlations within `ALIKE` (0.1) of 0, or a map without any contrast. None
        where that cannot be said: layers randomised one by one, or a map that is not finite.
        """
        last = self.steps[-1]
        if not self.cumulative or last.note == _BROKEN:
            return None
        found = [r for r in (last.spearman, last.absolute) if r is not None]
        return all(abs(r) < ALIKE for r in found)

    @property
    def verdict(self) -> str:
        """One sentence for a report."""
        last = self.steps[-1]
        if not self.cumulative:
            return "undecided: layers were randomised one by one, never all together"
        if last.note:
            word = "undecided" if self.passes is None else "passes"
            return f"{word}: with every layer random the map is {last.note}"
        numbers = f"rank correlation {last.spearman:.2f}" + (
            "" if last.absolute is None else f", of absolute values {last.absolute:.2f}"
        )
        if self.passes:
            return f"passes: {numbers} with every layer random, within {ALIKE:g} of 0"
        return (
            f"fails: {numbers} with every layer random, expected within {ALIKE:g} of 0; the map "
            "shows more of the photo or of the method than of what the model learnt"
        )


_BLANK = "the same everywhere"
_BROKEN = "not finite"


def randomised_cascade(
    module: nn.Module,
    explain: Explain,
    *,
    seed: int = 0,
    groups: int = GROUPS,
    layers: Sequence[str] | None = None,
    cumulative: bool = True,
) -> Cascade:
    """Randomise a model from its head to its first layer, and see the explanation go.

    A layer is a module with parameters of its own. Made random, each of its parameters has its
    entries shuffled: the same numbers, so the same mean, spread and tails, in places that mean
    nothing. Buffers (the statistics of batch norms) stay, and so does a parameter whose entries
    are all equal.

    Args:
        module: left exactly as it was found, also when ``explain`` fails. Each call of it sees the
            module in evaluation mode, without gradients on its weights, and the same random state.
        explain: the map of the module as it now is, of one shape always. It must read the weights
            anew each time.
        seed: of the shuffles. Each layer has its own, so the wholly random model does not depend on
            ``groups``.
        groups: steps to take; layers are shared out evenly. As many as layers: one by one.
        layers: their names, first to last, where the order of ``named_modules`` is not the order of
            the computation.
        cumulative: False restores each group before the next (the paper's independent mode).

    Returns:
        The similarities. One photo and one seed scatter: on a map of n cells that know nothing
        of each other the correlation's standard deviation is 1 / sqrt(n - 1), so a coarse map may
        miss `ALIKE` by luck. For a claim take the mean over many photos (`clustered_mean`).

    Raises:
        ModelError: no parameter can be randomised, or a layer has no such name.
        SightlineError: ``groups`` below 1; the original map ranks nothing; maps of unlike shapes.

    Example:
        >>> net = nn.Linear(16, 1)
        >>> photo_only = randomised_cascade(net, lambda _: np.arange(16.0).reshape(4, 4))
        >>> photo_only.passes, photo_only.steps[-1].spearman
        (False, 1.0)

    Source:
        Adebayo et al., 2018, section 3. They draw weights anew from the initialiser; a shuffle
        needs to know none, and keeps each parameter's scale.
    """
    if groups < 1:
        raise SightlineError(f"groups is {groups}; at least 1 step is needed")
    found = _layers(module, layers)
    # a layer's number, not its group, makes its luck
    luck = {name: i for i, (name, _) in enumerate(found)}
    steps: list[LayerSimilarity] = []
    with _kept(found):
        original = _seen(module, explain)
        if not np.isfinite(original).all() or np.ptp(original) == 0:
            raise SightlineError("the original map ranks nothing: constant, or not finite")
        parts = np.array_split(np.arange(len(found)), min(groups, len(found)))
        for places in parts[::-1]:
            group = [found[i] for i in places]
            with _kept([] if cumulative else group):
                for name, weights in group:
                    _shuffle(weights, (seed, luck[name]))
                names = tuple(name for name, _ in group)
                steps.append(_similarity(names, original, _seen(module, explain)))
    return Cascade(tuple(steps), cumulative)


def _layers(module: nn.Module, names: Sequence[str] | None) -> list[Layer]:
    modules = dict(module.named_modules())
    for name in names or ():
        if name not in modules:
            raise ModelError(unknown_name("layer", name, modules))
    seen: set[int] = set()  # a weight shared by two layers is shuffled once
    found = []
    for name in modules if names is None else names:
        own = [p for p in modules[name].parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            found.append((name, own))
    if not any(bool((p != p.flatten()[0]).any()) for _, own in found for p in own if p.numel()):
        raise ModelError(
            "no parameter can be randomised: there is none, or each is one number throughout; "
            "weights held as buffers are not parameters"
        )
    return found


@contextmanager
def _kept(layers: list[Layer]) -> Iterator[None]:
    """Puts the layers' numbers back, to the last bit."""
    # .data: the caller's own graphs stay valid, and weights made in inference mode can be written
    kept = [(p, p.data.clone()) for _, weights in layers for p in weights]
    try:
        yield
    finally:
        for weight, numbers in kept:
            weight.data.copy_(numbers)


def _shuffle(weights: list[nn.Parameter], luck: tuple[int, int]) -> None:
    generator = np.random.default_rng(luck)
    for weight in weights:
        places = torch.from_numpy(generator.permutation(weight.numel())).to(weight.device)
        weight.data.copy_(weight.data.flatten()[places].view(weight.shape))


def _seen(module: nn.Module, explain: Explain) -> Float[np.ndarray, "*any"]:
    # as found for each look, so that no look can leave its mode or its statistics to the next
    with as_found(module):
        of_pixels = explain(module)
    if isinstance(of_pixels, Tensor):
        of_pixels = of_pixels.detach().to("cpu", torch.float64).numpy()
    return np.array(of_pixels, dtype=np.float64)


def _similarity(
    layers: tuple[str, ...],
    original: Float[np.ndarray, "*before"],
    changed: Float[np.ndarray, "*after"],
) -> LayerSimilarity:
    if changed.shape != original.shape:
        raise SightlineError(
            f"explain gave a map of shape {list(original.shape)}, then {list(changed.shape)}"
        )
    if not np.isfinite(changed).all():
        return LayerSimilarity(layers, None, None, _BROKEN)
    if np.ptp(changed) == 0:
        return LayerSimilarity(layers, None, None, _BLANK)
    signed = spearman(original.ravel(), changed.ravel())
    sizes = spearman(np.abs(original).ravel(), np.abs(changed).ravel())
    return LayerSimilarity(layers, signed, None if np.isnan(sizes) else sizes)
