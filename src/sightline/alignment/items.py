"""Photos or drawings of a task, by split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sightline.alignment.combine import OnContradiction, combined
from sightline.alignment.formats.read import found_name
from sightline.alignment.labels import AttentionLabel, AttentionLabels, OnUnknown
from sightline.errors import AlignmentError
from sightline.image.read import read_photo
from sightline.sketch.collection import labels_of, read_collection, split_collection
from sightline.sketch.formats.quickdraw import OnError, Skipped
from sightline.sketch.sketch import Sketch
from sightline.training.class_folders import ClassFolders, read_class_folders
from sightline.training.examples import Examples, Labelled
from sightline.training.item_names import Names
from sightline.training.labelled_list import read_labelled_list
from sightline.training.pictures import Pictures


class Item(NamedTuple):
    """One photo or drawing of a task.

    ``label`` is its class; ``source`` is the photo's file, or the drawing.
    """

    name: str
    label: str
    source: Path | Sketch


@dataclass(frozen=True)
class Items:
    """Photos or drawings of a task, by split.

    Args:
        labels: the classes, sorted.
        splits: ``train``, ``valid`` and ``test``.
        notes: what was left out on reading.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Item, ...]]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        seed: int = 0,
        on_error: OnError = "raise",
        skipped: Skipped | None = None,
    ) -> Items:
        """Class folders of photos, a list of them, or a collection of drawings, with their splits.

        Args:
            path: as `read_class_folders` or `read_collection` reads it; or a .csv of photos beside
                it (`read_labelled_list`).
            seed: of the splits, where the data names none.
            on_error: for drawings, as in `read_collection`.
            skipped: collects what was left out.

        Raises:
            SightlineError: neither; a class folder with no image; a bad drawing.
        """
        path = Path(path)
        if path.suffix.lower() == ".csv":
            return cls._of_photos(read_labelled_list(path, path.parent, seed=seed))
        if path.is_dir() and any(p.is_dir() and not p.name.startswith(".") for p in path.iterdir()):
            return cls._of_photos(read_class_folders(path, seed=seed))
        sketches = read_collection(path, on_error=on_error, skipped=skipped)
        return cls.from_sketches(split_collection(sketches, path, seed=seed), labels_of(sketches))

    @classmethod
    def _of_photos(cls, found: ClassFolders) -> Items:
        rows = {
            split: tuple(Item(name, label, file) for file, label, name in own)
            for split, own in found.splits.items()
        }
        return cls(found.labels, rows, found.notes)

    @classmethod
    def from_sketches(
        cls, splits: Mapping[str, Sequence[Sketch]], labels: tuple[str, ...]
    ) -> Items:
        """Labelled drawings by split; one without a name is called by its place."""
        return cls(
            labels,
            {
                split: tuple(
                    Item(sketch.name or f"{split} {i}", str(sketch.label), sketch)
                    for i, sketch in enumerate(own)
                )
                for split, own in splits.items()
            },
        )

    @property
    def are_drawings(self) -> bool:
        """Whether the items are drawings."""
        return any(isinstance(i.source, Sketch) for own in self.splits.values() for i in own)

    @cached_property
    def by_name(self) -> Mapping[str, Item]:
        """All items by their names."""
        return {item.name: item for own in self.splits.values() for item in own}

    @cached_property
    def by_end(self) -> Names:
        """Their names, found by the end of a path."""
        return Names(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all items, in the order of the splits."""
        return tuple(item.name for own in self.splits.values() for item in own)

    def find(self, name: str) -> str | None:
        """The item that a name, or as much of a path as tells it from others, means."""
        return found_name(self.by_end, name)

    def with_learnt(self, names: Iterable[str]) -> Items:
        """The same, with these items of the validation split moved to the training split."""
        moved = set(names)
        valid = self.splits["valid"]
        taken = tuple(item for item in valid if item.name in moved)
        left = tuple(item for item in valid if item.name not in moved)
        return replace(
            self, splits={**self.splits, "train": (*self.splits["train"], *taken), "valid": left}
        )


def examples_of(items: Sequence[Item], labels: tuple[str, ...], model: Any) -> Examples:
    """Items as a model reads them.

    Raises:
        AlignmentError: none, or a class that the model does not know.
    """
    if not items:
        raise AlignmentError("no items: the split is empty")
    place = {label: index for index, label in enumerate(labels)}
    unknown = sorted({item.label for item in items} - set(place))
    if unknown:
        raise AlignmentError(
            f"classes {', '.join(unknown)} are not among the model's: {', '.join(labels)}"
        )
    drawings = [item.source for item in items if isinstance(item.source, Sketch)]
    if drawings:
        return Labelled.from_sketches(drawings, labels, model.prepare)
    files = [item.source for item in items if isinstance(item.source, Path)]
    names = [item.name for item in items]
    return Pictures.from_files(files, [place[i.label] for i in items], model, names=names)


def labels_for(
    items: Items,
    labels: AttentionLabels,
    *,
    on_unknown: OnUnknown = "raise",
    on_contradiction: OnContradiction = "raise",
) -> dict[str, AttentionLabel]:
    """One label an item, under the items' own names, held against the items themselves.

    Args:
        items: the task's.
        labels: of any number of people; as much of an item's path will do as tells it from others.
        on_unknown: a label for an item that is not there is an error (``"raise"``) or left out.
        on_contradiction: as in `combined`.

    Raises:
        AlignmentError: an unknown item, or a name that several items have; a mask of another
            aspect or number of strokes than its item, contradictory places.
    """
    known = checked_labels(items, labels, on_unknown=on_unknown)
    return {
        name: combined(known.of(name), on_contradiction=on_contradiction) for name in known.items
    }


def checked_labels(
    items: Items, labels: AttentionLabels, *, on_unknown: OnUnknown = "raise"
) -> AttentionLabels:
    """The labels of these items, under the items' own names, still one a person.

    Raises:
        AlignmentError: as `labels_for`, but for contradictions.
    """
    named = labels.renamed(lambda name: items.find(name) or name)
    for name, count in Counter(items.names).items():
        if count > 1 and name in named:
            raise AlignmentError(
                f"a label for {name!r}, which is the name of {count} items; give each its own"
            )
    sizes = dict.fromkeys(items.names, (0, 0)) | {
        name: _size(items.by_name[name]) for name in named.items if name in items.by_name
    }
    return named.check(sizes, on_unknown)


def _size(item: Item) -> tuple[int, ...]:
    if isinstance(item.source, Sketch):
        return (len(item.source),)
    return read_photo(item.source).size
