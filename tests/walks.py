"""Walks of strokes written by hand: no model, every number known."""

from __future__ import annotations

import numpy as np

from sightline.inversion.trajectory import Trajectory
from sightline.sketch.sketch import Sketch


def house_walk(
    *,
    steps: int = 4,
    far: float = 0.4,
    target: str | None = None,
    labels: tuple[str, str] = ("house", "tree"),
    restart: int = 0,
    scattered: bool = False,
) -> Trajectory:
    """A roof that stays and a ground that walks ``far`` to the right.

    The second label is the answer from the middle on: its probability rises from 0.1 to 0.9.
    """
    house, tree = labels
    sketch = Sketch.from_strokes(
        [[(-0.5, 0), (0, -0.5), (0.5, 0)], [(-0.5, 0.5), (0.5, 0.5)]], name="house"
    )
    drawn = np.array([stroke[0] for stroke in sketch.strokes])
    share = np.linspace(0, 1, steps + 1)
    locations = np.repeat(drawn[None], steps + 1, 0)
    locations[:, 1, 0] += far * share + (0.1 if scattered else 0)
    rising = 0.1 + 0.8 * share
    wants_tree = target in (None, tree)
    return Trajectory(
        sketch=sketch,
        labels=labels,
        target=tree if wants_tree else house,
        original=house,
        drawn_probability=0.95,
        restart=restart,
        locations=locations,
        target_probability=rising if wants_tree else 1 - rising,
        original_probability=1 - rising,
        answers=(rising >= 0.5).astype(np.int64),
        answer_probability=np.maximum(rising, 1 - rising),
    )


def stone() -> Trajectory:
    """A drawing of one stroke, which falls."""
    sketch = Sketch.from_strokes([[(-0.5, 0), (0, -0.5), (0.5, 0)]], name="stone")
    return Trajectory(
        sketch=sketch,
        labels=("house", "tree"),
        target="tree",
        original="house",
        drawn_probability=0.8,
        restart=0,
        locations=np.array([[[-0.5, 0.0]], [[-0.5, 0.3]]]),
        target_probability=np.array([0.2, 0.4]),
        original_probability=np.array([0.8, 0.6]),
        answers=np.array([0, 0]),
        answer_probability=np.array([0.8, 0.6]),
    )
