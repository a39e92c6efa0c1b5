"""The way that a drawing's strokes went: one sketch, one target, one start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from sightline.errors import GameError
from sightline.sketch.sketch import Sketch

PUBLISHED_STEPS = (0, 1, 2, 3, 4, 5, 10, 50, 100)
"""The columns that the authors print, after the drawing itself."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Where the strokes of one drawing stood at every step, and what the model said there.

    Convention:
        Locations are the strokes' first points in the normalised frame [-1, 1], y down. Entry 0 is
        the start, entry ``t`` stands after ``t`` steps; every array has ``steps + 1`` entries.

    Args:
        sketch: as the model reads it, strokes where they were drawn.
        labels: the model's.
        target: the label walked to; original: the model's answer to the drawing as drawn.
        drawn_probability: of the original label, for the drawing as drawn.
        restart: number of the start, from 0.
        locations: of the strokes.
        target_probability, original_probability: of the two labels.
        answers: index of the most probable label; answer_probability: of it.
    """

    sketch: Sketch
    labels: tuple[str, ...]
    target: str
    original: str
    drawn_probability: float
    restart: int
    locations: Float[np.ndarray, "entries strokes 2"]
    target_probability: Float[np.ndarray, " entries"]
    original_probability: Float[np.ndarray, " entries"]
    answers: Int[np.ndarray, " entries"]
    answer_probability: Float[np.ndarray, " entries"]

    def __repr__(self) -> str:
        step = self.flipped_at
        flip = "not reached" if step is None else f"reached at step {step}"
        return f"Trajectory({self.original} -> {self.target}: {flip} of {self.steps})"

    @property
    def steps(self) -> int:
        """How many steps were walked."""
        return len(self.locations) - 1

    @cached_property
    def flipped_at(self) -> int | None:
        """The first step at which the target is the answer; None if it never is."""
        hits = np.flatnonzero(self.answers == self.labels.index(self.target))
        return int(hits[0]) if len(hits) else None

    @property
    def flipped(self) -> bool:
        """Whether the target is the answer in the end."""
        return self.labels[self.answers[-1]] == self.target

    @property
    def note(self) -> str | None:
        """What keeps this result from meaning much, or None."""
        if len(self.sketch) == 1:
            return (
                "one stroke: nothing can be arranged, only its place on the canvas changes; "
                "left out of scores"
            )
        return None

    def at(self, step: int) -> Sketch:
        """The drawing as it stood after ``step`` steps; each stroke as drawn, moved as a whole.

        Raises:
            GameError: no such step.
        """
        if not 0 <= step <= self.steps:
            raise GameError(f"no step {step} here; this way has steps 0 to {self.steps}")
        moves = self.locations[step] - self.drawn
        strokes = [s + move for s, move in zip(self.sketch.strokes, moves, strict=True)]
        return Sketch.from_strokes(strokes, label=self.sketch.label, name=self.sketch.name)

    @property
    def drawn(self) -> Float[np.ndarray, "strokes 2"]:
        """Where the strokes were drawn."""
        return np.array([stroke[0] for stroke in self.sketch.strokes])

    def plot(self, path: str | os.PathLike[str], *, steps: Sequence[int] = PUBLISHED_STEPS) -> None:
        """Write the drawing at chosen steps as one picture: .png, .pdf or .svg."""
        from sightline.inversion.pictures import snapshots_figure
        from sightline.picture import write_figure

        write_figure(snapshots_figure(self, steps), Path(path))

    def animate(self, path: str | os.PathLike[str]) -> None:
        """Write the walk as a moving picture: .gif, or .mp4 or .webm with ``sightline[video]``."""
        from sightline.inversion.animation import animate

        animate(self, path)

    def distance(self, step: int = -1) -> float:
        """How far the layout is from the drawn one: root mean square over strokes, canvas units.

        After the best translation of the whole layout, which recognition should not depend on.

        Example:
            >>> way = _example()
            >>> way.distance(0), way.distance()
            (0.5, 0.0)
        """
        return layout_distance(self.locations[step], self.drawn)


def layout_distance(a: Float[np.ndarray, "strokes 2"], b: Float[np.ndarray, "strokes 2"]) -> float:
    """Root mean square distance of strokes between two layouts after the best translation.

    Moving one of them by the mean difference is the best in the sense of least squares.
    """
    gap = a - b
    return float(np.sqrt(((gap - gap.mean(0)) ** 2).sum(1).mean()))


def _example() -> Trajectory:
    house = Sketch.from_strokes([[(0, 0), (1, 0)], [(0, 1), (1, 1)]])
    drawn = np.array([[0.0, 0.0], [0.0, 1.0]])
    return Trajectory(
        sketch=house,
        labels=("house", "ladder"),
        target="house",
        original="house",
        drawn_probability=0.9,
        restart=0,
        locations=np.stack([drawn + np.array([[0, 0], [1, 0]]), drawn + np.array([5, 5])]),
        target_probability=np.array([0.4, 0.9]),
        original_probability=np.array([0.4, 0.9]),
        answers=np.array([1, 0]),
        answer_probability=np.array([0.6, 0.9]),
    )
