"""Planted strokes: a stroke of another category, which no true explanation may rank high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sightline.errors import SightlineError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.lengths import line_length
from sightline.sketch.luck import seed_of
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch

TRIES = 200
LARGEST_OVERLAP = 0.2
"""Share of the planted stroke's ink that may lie on the host's."""

_PAPER = Rasteriser(size=64, line_width=0.05)


@dataclass(frozen=True, eq=False)
class Planted:
    """A drawing with one foreign stroke.

    Args:
        sketch: normalised; the foreign stroke fits in its box, so it does not move the others.
        index: of the foreign stroke in the order of drawing.
        donor: the category that it comes from.
        overlap: share of its ink that lies on the host's.
    """

    sketch: Sketch
    index: int
    donor: str
    overlap: float


def plant(host: Sketch, donors: Sequence[Sketch], *, seed: int = 0) -> Planted | None:
    """Plant a stroke of a drawing of another category into ``host``.

    Nothing but what it shows should give the stroke away: its length is that of one of the host's
    strokes, chosen by luck, its place in the order of drawing is by luck, and it stands inside the
    host's box with at most a fifth of its ink on the host's. Luck depends on the host and the
    seed, on nothing else.

    Args:
        host: a labelled drawing.
        donors: drawings to take a stroke from; those of the host's label are passed over.
        seed: of the luck.

    Returns:
        None where no place was found in 200 tries.

    Raises:
        SightlineError: no donor of another label.
    """
    host = host.normalise()
    foreign = [donor for donor in donors if donor.label != host.label]
    if not foreign:
        raise SightlineError(
            f"no drawing of another label than {host.label!r}: nothing foreign to plant"
        )
    luck = np.random.default_rng(seed_of(host, f"{seed}/planted", size=8))
    room, ink = host.box[2:] - host.box[:2], _ink(host.strokes)
    # chosen once: were it drawn anew at every try, long strokes, which seldom fit, would be rare
    length = line_length(host.strokes[int(luck.integers(len(host)))])
    for _ in range(TRIES):
        donor = foreign[int(luck.integers(len(foreign)))]
        stroke = donor.strokes[int(luck.integers(len(donor)))]
        stroke = stroke * (length / max(line_length(stroke), 1e-9))
        free = room - np.ptp(stroke, axis=0)
        if (free < 0).any() or length == 0:
            continue
        stroke = stroke - stroke.min(0) + host.box[:2] + luck.random(2) * free
        own = _ink([stroke])
        overlap = float(np.minimum(own, ink).sum() / own.sum())
        if overlap <= LARGEST_OVERLAP:
            index = int(luck.integers(len(host) + 1))
            return Planted(_inserted(host, stroke, index), index, str(donor.label), overlap)
    return None


def _inserted(host: Sketch, stroke: Float[np.ndarray, "_ 2"], index: int) -> Sketch:
    strokes = [*host.strokes[:index], stroke, *host.strokes[index:]]
    return replace(host, strokes=tuple(strokes), times=None, parts=None)


def _ink(strokes: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "64 64"]:
    return _PAPER(SketchBatch.from_sketches([Sketch.from_strokes(strokes)]))[0].numpy()
