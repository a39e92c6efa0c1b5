"""Models that are not the model: shuffled weights, a shifted canvas (sanity checks)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sightline.errors import GameError
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch

LEVELS = (0.0, 0.5, 1.0)
"""Shares of the layers below the head whose weights are shuffled as well."""

LEARNT, LEARNING_RATE, LEARNT_AT_ONCE = 0.95, 5e-4, 16


@dataclass(frozen=True)
class Cascade:
    """A model with more and more of its weights shuffled, from the head down.

    Args:
        shares: of the layers shuffled; the first is the head alone.
        models: one a share; copies, the user's model is not touched.
    """

    shares: tuple[float, ...]
    models: tuple[nn.Module, ...]


def randomised(model: SketchModel, *, levels: Sequence[float] = LEVELS, seed: int = 0) -> Cascade:
    """The parameter randomisation cascade.

    Each weight tensor is permuted, so that it keeps its scale and its distribution and nothing
    else of what was learnt.

    Raises:
        GameError: the model has no weights to shuffle.

    Source:
        Adebayo et al., Sanity Checks for Saliency Maps, 2018; there weights are drawn anew.
    """
    layers = _layers(model)
    models = []
    for level in levels:
        count = 1 + round(level * (len(layers) - 1))
        other: Any = copy.deepcopy(model)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in _layers(other)[:count]:
                for weight in layer.parameters(recurse=False):
                    _shuffle(weight, generator)
        models.append(other)
    return Cascade(tuple(levels), tuple(models))


@dataclass(frozen=True, eq=False)
class Relabelled:
    """A model of the same make that learnt labels dealt out by luck.

    Args:
        model: a copy; the user's model is not touched.
        accuracy: on the drawings and the labels that it learnt.
    """

    model: nn.Module
    accuracy: float


def relabelled(
    model: SketchModel, sketches: Sequence[Sketch], *, epochs: int = 60, seed: int = 0
) -> Relabelled:
    """Begin anew, and learn a random permutation of the drawings' labels by heart.

    Without dropout, which is there to prevent just that. Stops when 95 % are learnt, or after
    ``epochs``.

    Args:
        model: differentiable in its weights.
        sketches: labelled drawings to learn; it is these that should be explained.
        epochs: most passes over them.
        seed: of weights, labels, order and dropout.

    Raises:
        GameError: the model has no weights, or they carry no gradient.

    Source:
        Adebayo et al., 2018 (data randomisation).
    """
    other = _untrained(model, seed)
    device, dtype = place(model)
    drawings = SketchBatch.from_sketches([model.prepare(s) for s in sketches], dtype=dtype)
    index = {label: i for i, label in enumerate(model.labels)}
    generator = torch.Generator().manual_seed(seed)
    dealt = torch.randperm(len(sketches), generator=generator).tolist()
    target = torch.tensor([index[str(sketches[i].label)] for i in dealt], device=device)
    drawings, accuracy = drawings.to(device), 0.0
    weights = [w.requires_grad_() for w in other.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=LEARNING_RATE)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for _ in range(epochs):
            hits = 0
            for some in torch.randperm(len(sketches), generator=generator).split(LEARNT_AT_ONCE):
                logits = other.train()(drawings.select(some.to(device)))
                loss = nn.functional.cross_entropy(logits, target[some])
                _check_learnable(loss, model)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                hits += int((logits.argmax(1) == target[some]).sum())
            accuracy = hits / len(sketches)
            if accuracy >= LEARNT:
                break
    return Relabelled(other.eval().requires_grad_(False), accuracy)


def _untrained(model: SketchModel, seed: int) -> nn.Module:
    """A copy with weights as torch first draws them; shuffled where it does not say how."""
    (other,) = randomised(model, levels=(1.0,), seed=seed).models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in other.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    return other


def _check_learnable(loss: torch.Tensor, model: object) -> None:
    if not loss.requires_grad:
        raise GameError(f"{type(model).__name__} carries no gradient to its weights: cannot learn")


def _layers(model: object) -> list[nn.Module]:
    """Modules with weights of their own, the last registered (the head) first."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    own = [m for m in modules if next(m.parameters(recurse=False), None) is not None]
    if not own:
        raise GameError(f"{type(model).__name__} has no weights to shuffle: no cascade")
    return own[::-1]


def _shuffle(weight: nn.Parameter, generator: torch.Generator) -> None:
    order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
    weight.copy_(weight.flatten()[order].view_as(weight))


def shifted(model: SketchModel, shift: tuple[float, float]) -> SketchModel:
    """The same model, to which every drawing stands elsewhere on the canvas.

    Args:
        model: whose weights are shared.
        shift: x and y in the normalised frame.
    """
    other: Any = copy.copy(model)  # shares weights and buffers
    prepare = model.prepare

    def moved(sketch: Sketch) -> Sketch:
        return prepare(sketch).transform(shift=shift)

    object.__setattr__(other, "prepare", moved)
    return other
