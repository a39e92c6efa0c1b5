"""Small drawings, small models, and games whose answers are known by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import jaxtyping
import numpy as np
import torch
from torch import Tensor, nn

from sightline.game import Game
from sightline.models.raster import RasterModel
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig, StrokeTokens
from sightline.parts import Strokes
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore

LABELS = ("alpha", "beta", "gamma", "delta")


def scribble(seed: int = 0, strokes: int = 5, *, longest: int = 7) -> Sketch:
    """Random walks, one a stroke, of 2 to ``longest`` points; already normalised."""
    luck = np.random.default_rng(seed)
    walks = []
    for _ in range(strokes):
        steps = luck.normal(0, 0.2, (luck.integers(2, longest + 1), 2))
        walks.append(luck.uniform(-1, 1, 2) + steps.cumsum(0))
    return Sketch.from_strokes(walks, label="scribble", name=f"scribble {seed}").normalise()


def rails(count: int = 4) -> Sketch:
    """Level lines so far apart that their ink never overlaps."""
    width = 2.0 * count - 2
    return Sketch.from_strokes([np.array([[0, 2.0 * i], [width, 2.0 * i]]) for i in range(count)])


@contextmanager
def unchecked() -> Iterator[None]:
    """Without the tests' own check of types, as users run: the library's message must do."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def batch_of(*sketches: Sketch, dtype: torch.dtype = torch.float32) -> SketchBatch:
    return SketchBatch.from_sketches(sketches, dtype=dtype)


def empty_batch(sketches: int = 1) -> SketchBatch:
    """Drawings without any stroke, as an absent set of parts leaves them."""
    nothing = torch.zeros(sketches + 1, dtype=torch.int64)
    return SketchBatch(torch.zeros(0, 2), torch.zeros(1, dtype=torch.int64), nothing)


def stroke_net(seed: int = 0, **settings) -> SketchXAINet:
    """A SketchXAINet a hundred times smaller than the smallest, in evaluation mode."""
    shape = {"hidden": 16, "layers": 2, "heads": 2, "mlp": 32, "max_strokes": 24, "epsilon": None}
    config = SketchXAINetConfig(labels=LABELS, **(shape | settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SketchXAINet(config).eval()
        for weight in net.parameters():  # wide enough that strokes matter to each other
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.8 / weight.shape[1] ** 0.5)
    return net


def picture_net(seed: int = 0, *, size: int = 16, **settings) -> RasterModel:
    """A smooth picture classifier with batch normalisation, behind a rasteriser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2),
            nn.BatchNorm2d(6),
            nn.Tanh(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(6 * ((size - 3) // 2) ** 2, len(LABELS)),
        )
        nn.init.normal_(module[-1].weight, std=0.3)
    return behind(module, size=size, **settings).eval()


def linear_net(seed: int = 0, *, size: int = 16) -> RasterModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Flatten(), nn.Linear(size * size, len(LABELS)))
    return behind(module, size=size).eval()


def behind(module: nn.Module, *, size: int = 16, **settings) -> RasterModel:
    return RasterModel(
        module,
        **({"labels": LABELS, "rasteriser": Rasteriser(size=size, line_width=0.15)} | settings),
    )


class Toy:
    """A model of drawings that is nothing but a set function of its strokes.

    ``function`` maps presence ``[rows, strokes]`` (float64) to answers ``[rows, classes]``.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        strokes: int,
        *,
        labels: Sequence[str] = ("value",),
    ) -> None:
        self.function, self.strokes, self.labels = function, strokes, tuple(labels)
        self.asked: list[Tensor] = []

    def prepare(self, sketch: Sketch) -> Sketch:
        return sketch.normalise()

    def __call__(self, batch: SketchBatch) -> Tensor:
        return self.classify(self.embed(batch))

    def embed(self, batch: SketchBatch) -> StrokeTokens:
        nothing = batch.points.new_zeros(len(batch.order), 1)
        return StrokeTokens(nothing, batch.first_points, batch.order, batch.strokes_per_sketch)

    def classify(self, tokens, *, presence=None, location=None) -> Tensor:
        rows = len(tokens.strokes_per_sketch)
        row = torch.arange(rows).repeat_interleave(tokens.strokes_per_sketch)
        amount = torch.ones(len(row)) if presence is None else presence
        there = torch.zeros(rows * self.strokes, dtype=torch.float64)
        there = there.index_copy(0, row * self.strokes + tokens.order, amount.double())
        there = there.view(rows, self.strokes)
        self.asked.append(there.detach())
        return self.function(there)


def toy_game(function: Callable[[Tensor], Tensor], strokes: int, **settings) -> Game:
    """A game whose values are ``function`` of presence: one target, or one a column."""

    def columns(there: Tensor) -> Tensor:
        values = function(there)
        return values[:, None] if values.ndim == 1 else values

    classes = columns(torch.ones(1, strokes, dtype=torch.float64)).shape[1]
    labels = tuple(f"v{i}" for i in range(classes))
    model = Toy(columns, strokes, labels=labels)
    return Game(model, Strokes(scribble(1, strokes)), ClassScore(list(labels)), **settings)


def additive(weights: Sequence[float], *, base: float = 0.0) -> Callable[[Tensor], Tensor]:
    """Each part brings its weight, whoever else is there: its Shapley value."""
    return lambda there: base + there @ torch.tensor(weights, dtype=torch.float64)


def exclusive_or(there: Tensor) -> Tensor:
    """1 where exactly one of two parts is there: both Shapley values are 0."""
    a, b = there.unbind(1)
    return a + b - 2 * a * b


def gloves(there: Tensor) -> Tensor:
    """One left glove, two right ones, a pair is worth 1: Shapley values 2/3, 1/6, 1/6."""
    left, right, other = there.unbind(1)
    return left * (1 - (1 - right) * (1 - other))


def tangled(parts: int, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """A game with interactions of every order, smooth in presence."""
    luck = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=luck, dtype=torch.float64)

    alone, pairs, bend = draw(parts), draw(parts, parts), 2 * draw(parts, 6) / parts**0.5

    def value(there: Tensor) -> Tensor:
        together = (there @ pairs * there).sum(1) / parts**0.5
        return there @ alone + together + 2 * (there @ bend).sin().sum(1)

    return value
