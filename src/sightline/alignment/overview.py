"""A model's maps of a split at a glance: what people are asked about, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sightline.alignment.disagreement import disagreement
from sightline.alignment.items import Item, Items, examples_of
from sightline.alignment.looking import MapSource
from sightline.alignment.map_sources import InputGradients
from sightline.alignment.matrix import Matrix
from sightline.alignment.phases import Lesson, labels_of_model
from sightline.alignment.queue import Candidate, Queue, order, write_candidates
from sightline.alignment.reading import Sighted, sights
from sightline.alignment.stroke_sources import StrokeAttention
from sightline.alignment.verdicts import Verdicts, write_verdicts
from sightline.image.read import read_photo
from sightline.models.protocol import AttentiveModel
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Overview:
    """Maps of a split, and what follows from them.

    Args:
        items: of the split.
        looked: maps and answers, by item.
        verdicts: proposed ones, on the items that have a label; none where nothing is labelled.
        queue: the items in the order in which they deserve a person's minute.
        candidates: what the queue was made of.
        lesson: the labels.
    """

    items: tuple[Item, ...]
    looked: Mapping[str, Sighted]
    verdicts: Verdicts | None
    queue: Queue
    candidates: tuple[Candidate, ...]
    lesson: Lesson

    def write(self, folder: Path, *, each: int = 3) -> None:
        """Write everything as files.

        ``queue.csv`` and ``candidates.csv``; ``maps/``, a picture of every item under its map,
        named as the item (for ``sightline align study create``); with labels ``verdicts.csv``,
        ``matrix.md``, ``matrix.png`` and ``cells.png``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.queue.write(folder / "queue.csv")
        write_candidates(folder / "candidates.csv", self.candidates)
        for item in self.items:
            _write_map(item, self.looked[item.name], folder / "maps")
        if self.verdicts is not None and len(self.verdicts):
            write_verdicts(folder / "verdicts.csv", self.verdicts)
            self._write_matrix(folder, each)

    def _write_matrix(self, folder: Path, each: int) -> None:
        from sightline.alignment.pictures import CellExample, cells_figure, matrix_figure
        from sightline.picture import write_figure

        assert self.verdicts is not None  # noqa: S101, its caller has made sure
        matrix, cells = Matrix.from_verdicts(self.verdicts), self.verdicts.cells
        with replace_file(folder / "matrix.md") as stream:
            stream.write(f"{matrix.markdown()}\n".encode())
        write_figure(matrix_figure(matrix), folder / "matrix.png")
        by_name = {item.name: item for item in self.items}
        examples = [
            CellExample(
                cells[name],
                _subject(by_name[name]),
                self.looked[name].map.numpy(),
                self.lesson.labels[name],
            )
            for name in self.queue.items
            if name in cells
        ]
        write_figure(cells_figure(examples, each=each, proposed=True), folder / "cells.png")


def overview(
    model: nn.Module,
    items: Items,
    lesson: Lesson,
    split: str,
    source: MapSource,
    *,
    strategy: str = "unreasonable-first",
    seed: int = 0,
) -> Overview:
    """Look at a split with a model, and say which of its items deserve a person's minute first.

    Methods disagree where the maps of ``source`` and those of a second one differ: input gradients
    for pictures, the attention of SketchXAINet for drawings, none for others.

    Args:
        model: left as it came.
        items: the task's.
        lesson: labels that there are already; their items come last in the queue.
        split: often ``valid``.
        source: of the maps that people see.
        strategy: of the queue.
        seed: of its ties.
    """
    own = items.splits[split]
    names = [item.name for item in own]
    data = examples_of(own, labels_of_model(model, items), model)
    looked = sights(model, source, data, names)
    second = _second(model, items)
    others = sights(model, second, data, names) if second is not None else {}
    verdicts = lesson.proposed(looked) if any(name in lesson.labels for name in names) else None
    cells = verdicts.cells if verdicts is not None else {}
    candidates = tuple(
        Candidate(
            name,
            cells.get(name),
            looked[name].confidence,
            _apart(looked[name].map, others[name].map) if others else None,
            name in lesson.labels,
        )
        for name in names
    )
    queue = order(candidates, strategy, seed=seed)
    return Overview(own, looked, verdicts, queue, candidates, lesson)


def _second(model: Any, items: Items) -> MapSource | None:
    if not items.are_drawings:
        return InputGradients()
    return StrokeAttention() if isinstance(model, AttentiveModel) else None


def _apart(one: Tensor, other: Tensor) -> float:
    """How little two maps agree, the finer one seen by the cells of the coarser."""
    if one.dim() == 2 and one.shape != other.shape:
        least = (min(one.shape[0], other.shape[0]), min(one.shape[1], other.shape[1]))
        one, other = (F.adaptive_avg_pool2d(m[None].clamp(min=0), least)[0] for m in (one, other))
    return disagreement([one.numpy(), other.numpy()])


def _subject(item: Item) -> Any:
    return item.source if isinstance(item.source, Sketch) else read_photo(item.source)


def _write_map(item: Item, looked: Sighted, folder: Path) -> None:
    """The item under its map, a photo in its own size."""
    from matplotlib.figure import Figure

    from sightline.alignment.pictures import draw_map
    from sightline.picture import DPI, write_figure

    subject = _subject(item)
    path = folder / Path(item.name).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    high, wide = (300, 300) if isinstance(subject, Sketch) else subject.size
    fig = Figure(figsize=(wide / DPI, high / DPI))
    draw_map(fig.add_axes((0, 0, 1, 1)), subject, looked.map.numpy())
    write_figure(fig, path)
