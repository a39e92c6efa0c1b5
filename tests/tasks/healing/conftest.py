"""Models whose answer can be worked out by hand, and drawings for them."""

import pytest
import torch

import sightline as sl
from sightline.models.sketchxainet import StrokeTokens


class Worth:
    """Each stroke brings what its number of points is worth, wherever it stands.

    The second class is always 0, so that an answer can change. It remembers the size of every
    drawing that it was asked about.
    """

    labels = ("worth", "nothing")

    def __init__(self, **worth: float) -> None:
        self.worth = {int(points[1:]): value for points, value in worth.items()}
        self.strokes_asked: list[int] = []

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        self.strokes_asked += batch.strokes_per_sketch.tolist()
        return self.classify(self.embed(batch))

    def embed(self, batch):
        worth = [self.worth.get(count, 0.0) for count in batch.points_per_stroke.tolist()]
        shape = torch.tensor(worth, dtype=torch.float32)[:, None]
        return StrokeTokens(shape, batch.first_points, batch.order, batch.strokes_per_sketch)

    def classify(self, tokens, *, presence=None, location=None):
        counts = tokens.strokes_per_sketch
        owner = torch.arange(len(counts)).repeat_interleave(counts)
        values = tokens.shape[:, 0] if presence is None else tokens.shape[:, 0] * presence
        total = torch.zeros(len(counts)).index_add(0, owner, values)
        return torch.stack([total, torch.zeros_like(total)], 1)


class LevelLines:
    """Answers how far a drawing's lines go across, less how far they go up or down."""

    labels = ("level",)

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        step = batch.points[1:] - batch.points[:-1]
        joined = batch.stroke_of_point[1:] == batch.stroke_of_point[:-1]
        value = torch.where(joined, step[:, 0].abs() - step[:, 1].abs(), 0.0)
        total = batch.points.new_zeros(len(batch))
        return total.index_add(0, batch.sketch_of_point[1:], value)[:, None]


class Enough:
    """One stroke is enough: 1 for having any, less a tenth for each, and for going up or down."""

    labels = ("enough",)

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        count = batch.strokes_per_sketch
        steps = batch.points[1:] - batch.points[:-1]
        joined = batch.stroke_of_point[1:] == batch.stroke_of_point[:-1]
        up = torch.where(joined, steps[:, 1].abs(), 0.0)
        climbed = batch.points.new_zeros(len(batch))
        climbed = climbed.index_add(0, batch.sketch_of_point[1:], up)
        return (count.clamp(max=1) - 0.1 * count - 0.01 * climbed)[:, None]


def run_of(points: int, at: float = 0.0) -> list[tuple[float, float]]:
    return [(float(i), at + i) for i in range(points)]


@pytest.fixture
def drawing():
    """Strokes of 2, 3, 4 and 5 points."""
    return sl.Sketch.from_strokes([run_of(n, at=n) for n in (2, 3, 4, 5)], name="four")


@pytest.fixture
def game_of():
    """A game of a drawing whose strokes are worth what is said: p3=-1.0 is a stroke of 3 points."""

    def make(sketch, target="worth", **worth):
        return sl.Game(Worth(**worth), sl.Strokes(sketch), sl.ClassScore(target))

    return make


@pytest.fixture
def level():
    """A game that likes level lines."""
    return lambda sketch: sl.Game(LevelLines(), sl.Strokes(sketch), sl.ClassScore("level"))


@pytest.fixture
def enough():
    """A game that one stroke is enough for."""
    return lambda sketch: sl.Game(Enough(), sl.Strokes(sketch), sl.ClassScore("enough"))


@pytest.fixture
def hook():
    """A level line of 9 points, and from its end a tail of 4 more, going up."""
    line = [(float(i), 0.0) for i in range(9)] + [(8.0, -0.5 * i) for i in range(1, 5)]
    return sl.Sketch.from_strokes([line, [(0, 1), (8, 1)]])
