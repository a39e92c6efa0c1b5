"""A model's maps of a split at a glance: what people are asked about, and in which order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from sightline.alignment.disagreement import disagreement
from sightline.alignment.items import Item, Items, examples_of
from sightline.alignment.looking import MapSource
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.matrix import Matrix
from sightline.alignment.phases import Lesson, labels_of_model
from sightline.alignment.queue import Candidate, Queue, order, write_candidates
from sightline.alignment.reading import Sighted, sights
from sightline.alignment.stroke_sources import StrokeAttention, StrokeScores
from sightline.alignment.verdicts import Verdicts, write_verdicts
from sightline.image.coco import safe_name
from sightline.image.read import read_photo
from sightline.models.protocol import AttentiveModel
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch

LONGEST = 60
"""Characters of a drawing's name in a file's; each can be four bytes, of the 255 that there are."""


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
        names = map_names(self.items)
        for item in self.items:
            _write_map(item, self.looked[item.name], folder / "maps" / names[item.name])
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
    judged: Mapping[str, str] | None = None,
    strategy: str | None = None,
    wanted: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Overview:
    """Look at a split with a model, and say which of its items deserve a person's minute first.

    Methods disagree where the maps of ``source`` and those of a second one differ: input gradients
    for pictures (beside those, Grad-CAM); the attention of SketchXAINet for its drawings (beside
    that, scores of strokes); none for other models.

    Args:
        model: left as it came.
        items: the task's.
        lesson: labels, from which verdicts are proposed.
        split: often ``valid``.
        source: of the maps that people see.
        judged: the cells of items on which people gave their verdict. They come last in the queue,
            and count towards ``wanted``.
        strategy: of the queue; by default ``"unreasonable-first"``, or ``"uncertain"`` where
            neither a verdict nor a disagreement is known.
        wanted: how many labels of each cell are wanted in all.
        seed: of its ties.
    """
    own = items.splits[split]
    names = [item.name for item in own]
    data = examples_of(own, labels_of_model(model, items), model)
    looked = sights(model, source, data, names)
    second = _second(model, items, source)
    others = sights(model, second, data, names) if second is not None else {}
    verdicts = lesson.proposed(looked) if any(name in lesson.labels for name in names) else None
    judged = judged or {}
    cells = {**(verdicts.cells if verdicts is not None else {}), **judged}
    candidates = tuple(
        Candidate(
            name,
            cells.get(name),
            looked[name].confidence,
            _apart(looked[name].map, others[name].map) if others else None,
            name in judged,
        )
        for name in names
    )
    told = any(c.cell or c.disagreement is not None for c in candidates if not c.labelled)
    strategy = strategy or ("unreasonable-first" if told else "uncertain")
    queue = order(candidates, strategy, wanted=wanted or {}, seed=seed)
    return Overview(own, looked, verdicts, queue, candidates, lesson)


def _second(model: Any, items: Items, first: MapSource) -> MapSource | None:
    """Another way to look than the first."""
    if not items.are_drawings:
        return GradCamMaps() if isinstance(first, InputGradients) else InputGradients()
    if not isinstance(model, AttentiveModel):
        return None
    return StrokeScores() if isinstance(first, StrokeAttention) else StrokeAttention()


def _apart(one: Tensor, other: Tensor) -> float:
    """How little two maps agree, the finer one seen by the cells of the coarser."""
    if one.dim() == 2 and one.shape != other.shape:
        least = (min(one.shape[0], other.shape[0]), min(one.shape[1], other.shape[1]))
        one, other = (F.adaptive_avg_pool2d(m[None].clamp(min=0), least)[0] for m in (one, other))
    return disagreement([one.numpy(), other.numpy()])


def _subject(item: Item) -> Any:
    return item.source if isinstance(item.source, Sketch) else read_photo(item.source)


def map_names(items: Sequence[Item]) -> dict[str, str]:
    """A file name for the map of each item: a photo's own path, a drawing's name made safe.

    Names come from files: none leaves the folder, and no two items share one.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> rows = [Item(name, "dash", dash) for name in ("../a b", "a b")]
        >>> sorted(map_names(rows).values())
        ['a_b-1.png', 'a_b.png']
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for item in items:
        if isinstance(item.source, Sketch):
            # the end of a long name, where the number of a line stands
            stem = re.sub(r"[^\w-]+", "_", item.name)[-LONGEST:].strip("_") or "drawing"
        else:
            stem = Path(safe_name(item.name, "a photo")).with_suffix("").as_posix()
        free = (f"{stem}{'' if not n else f'-{n}'}.png" for n in itertools.count())
        found[item.name] = next(name for name in free if name.lower() not in taken)
        taken.add(found[item.name].lower())
    return found


def _write_map(item: Item, looked: Sighted, path: Path) -> None:
    """The item under its map, a photo in its own size."""
    from matplotlib.figure import Figure

    from sightline.alignment.pictures import draw_map
    from sightline.picture import DPI, write_figure

    subject = _subject(item)
    path.parent.mkdir(parents=True, exist_ok=True)
    high, wide = (300, 300) if isinstance(subject, Sketch) else subject.size
    fig = Figure(figsize=(wide / DPI, high / DPI))
    draw_map(fig.add_axes((0, 0, 1, 1)), subject, looked.map.numpy())
    write_figure(fig, path)
