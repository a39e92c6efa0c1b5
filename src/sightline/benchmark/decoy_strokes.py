"""Drawings with a decoy: a small stroke whose form and corner tell the class, in training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sightline.alignment.labels import AttentionLabels
from sightline.alignment.stroke_labels import label_index
from sightline.errors import AlignmentError
from sightline.models.protocol import SketchModel
from sightline.sketch.luck import digest, seed_of
from sightline.sketch.sketch import Sketch
from sightline.training.examples import Labelled

SIDE = 0.26
"""Of a decoy, in the normalised frame: about a sixth of the drawing."""

SWAY = 0.03
"""How far from its corner a decoy stands, at most."""

FORMS: Mapping[str, Float[np.ndarray, "_ 2"]] = {
    "bar": np.array([[0, 0], [1, 1.0]]),
    "vee": np.array([[0, 0], [0.5, 1], [1, 0.0]]),
    "triangle": np.array([[0, 1], [0.5, 0], [1, 1], [0, 1.0]]),
    "zigzag": np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]]),
    "box": np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0.0]]),
}
"""One stroke each, in a square of side 1."""

CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))
CODES = len(FORMS) * len(CORNERS)


@dataclass(frozen=True, eq=False)
class DecoySplit:
    """Drawings, each with one stroke that is no part of it.

    Args:
        sketches: normalised, each with a name and a label.
        decoy: number of the decoy in the order of drawing; None in drawings without one.
        told: the class that the decoy speaks for.
    """

    sketches: tuple[Sketch, ...]
    decoy: tuple[int | None, ...]
    told: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.sketches)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the drawings, by which labels find them."""
        return tuple(str(sketch.name) for sketch in self.sketches)

    def examples(self, model: SketchModel) -> Labelled:
        """The drawings as a model reads them."""
        return Labelled.from_sketches(self.sketches, model.labels, model.prepare)

    def labels(self, items: Sequence[int], *, must: bool = False) -> AttentionLabels:
        """What a careful person would say of these drawings: leave the decoy alone.

        Args:
            items: numbers of drawings.
            must: say also that all other strokes have to be looked at.

        Raises:
            AlignmentError: a drawing without a decoy.
        """
        rows = []
        for item in items:
            sketch, decoy = self.sketches[item], self.decoy[item]
            if decoy is None:
                raise AlignmentError(f"{sketch.name} has no decoy to label")
            rest = [stroke for stroke in range(len(sketch)) if stroke != decoy] if must else []
            rows.append(label_index(sketch, must=rest, must_not=[decoy], author="truth"))
        return AttentionLabels.from_rows(rows)

    def without_decoys(self, items: Sequence[int]) -> tuple[Sketch, ...]:
        """These drawings, their decoy dropped: CAIPI's counterexamples."""
        kept = []
        for item in items:
            sketch, decoy = self.sketches[item], self.decoy[item]
            kept.append(sketch.select([s for s in range(len(sketch)) if s != decoy]))
        return tuple(kept)


@dataclass(frozen=True, eq=False)
class DecoyStrokes:
    """A data set in which a decoy gives the class away, and the same drawings without.

    Args:
        classes: in the order of the logits.
        training: the decoy tells the class.
        validation: as in training, since nobody has noticed yet.
        test: the decoy tells some class, drawn by luck from all.
        conflicting: the decoy tells another class, drawn by luck from the others.
        clean_training: that of training without decoys, for the reference.
        clean_validation: the same of validation.
        clean_test: the same of the test.
    """

    classes: tuple[str, ...]
    training: DecoySplit
    validation: DecoySplit
    test: DecoySplit
    conflicting: DecoySplit
    clean_training: DecoySplit
    clean_validation: DecoySplit
    clean_test: DecoySplit


def plant_decoys(
    splits: Mapping[str, Sequence[Sketch]],
    *,
    drawings: tuple[int, int, int] = (100, 25, 50),
    categories: Sequence[str] | None = None,
    seed: int = 0,
) -> DecoyStrokes:
    """Give every drawing a decoy.

    Args:
        splits: labelled and named drawings under train, valid and test.
        drawings: of each class, for training, validation and test, chosen by luck.
        categories: the classes, at most 20; by default all that there are.
        seed: of the choice, of which class has which decoy, and of the decoys' places.

    Raises:
        AlignmentError: too few drawings of a class, or more classes than decoys.
    """
    classes = tuple(sorted(categories or {str(s.label) for s in splits["train"]}))
    if len(classes) > CODES:
        raise AlignmentError(f"{len(classes)} classes, but {CODES} decoys; name fewer categories")
    luck = np.random.default_rng(seed)
    codes = dict(zip(classes, luck.permutation(CODES)[: len(classes)].tolist(), strict=True))
    clean = {
        split: _chosen(splits[split], classes, count, f"{seed}/{split}")
        for split, count in zip(("train", "valid", "test"), drawings, strict=True)
    }

    def marked(split: str, which: str) -> DecoySplit:
        return _marked(clean[split], codes, which, seed)

    return DecoyStrokes(
        classes,
        marked("train", "own"),
        marked("valid", "own"),
        marked("test", "any"),
        marked("test", "other"),
        *(_unmarked(clean[split]) for split in ("train", "valid", "test")),
    )


def plant_decoy(host: Sketch, code: int, *, seed: int = 0) -> tuple[Sketch, int]:
    """A drawing with one decoy, and the decoy's number in the order of drawing.

    The decoy stands in a corner of the host's box and does not move the other strokes, also when
    a model prepares the drawing. Its place in the order is drawn by luck, which depends on the
    host and the seed and not on the code: nothing but form and corner tells the class.

    Args:
        host: of any canvas; it is normalised.
        code: number of form and corner, from 0 to 19.
        seed: of the luck.
    """
    luck = np.random.default_rng(seed_of(host, f"{seed}/decoy", size=8))
    host = host.normalise()
    corner, form = divmod(code, len(FORMS))
    room = host.box[2:] - host.box[:2] - SIDE
    sway = np.minimum(luck.random(2) * SWAY, np.maximum(room, 0) / 2)
    # where the box is too low or too narrow, the decoy sticks out of it on both sides alike
    free = np.array(CORNERS[corner]) * room + sway * np.where(CORNERS[corner], -1, 1)
    place = host.box[:2] + np.where(room > 0, free, room / 2)
    stroke = place + SIDE * list(FORMS.values())[form]
    index = int(luck.integers(len(host) + 1))
    strokes = (*host.strokes[:index], stroke, *host.strokes[index:])
    return replace(host, strokes=strokes, times=None, parts=None), index


def _chosen(
    sketches: Sequence[Sketch], classes: Sequence[str], count: int, purpose: str
) -> list[Sketch]:
    """So many of each class, in an order of luck that mixes the classes."""
    by_luck = sorted(sketches, key=lambda sketch: digest(sketch, purpose))
    taken = dict.fromkeys(classes, 0)
    chosen = []
    for sketch in by_luck:
        label = str(sketch.label)
        if taken.get(label, count) < count:
            taken[label] += 1
            chosen.append(sketch)
    if short := [label for label in classes if taken[label] < count]:
        raise AlignmentError(
            f"only {taken[short[0]]} drawings of {short[0]!r} of {count}; ask for fewer"
        )
    return chosen


def _marked(clean: Sequence[Sketch], codes: Mapping[str, int], which: str, seed: int) -> DecoySplit:
    classes = list(codes)
    rows = []
    for sketch in clean:
        own = str(sketch.label)
        choice = {"own": [own], "any": classes, "other": [c for c in classes if c != own]}[which]
        luck = digest(sketch, f"{seed}/{which}")
        told = choice[int.from_bytes(luck[:8], "big") % len(choice)]
        rows.append((*plant_decoy(sketch, codes[told], seed=seed), told))
    sketches, decoy, told_ = zip(*rows, strict=True)
    return DecoySplit(sketches, decoy, told_)


def _unmarked(clean: Sequence[Sketch]) -> DecoySplit:
    nothing = (None,) * len(clean)
    bare = (replace(sketch.normalise(), times=None, parts=None) for sketch in clean)
    return DecoySplit(tuple(bare), nothing, nothing)
