"""What every command about a task of alignment is asked: labels, a way to look, luck."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sightline.alignment.items import Items
    from sightline.alignment.labels import AttentionLabel, OnUnknown
    from sightline.alignment.looking import Guide, MapSource
    from sightline.alignment.phases import Lesson

SKETCH_SIZES = ("nano", "tiny", "base", "cnn")

LABELS = click.option(
    "--labels",
    "label_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Labels of attention: a folder of masks, or GRADIA's, COCO's or Label Studio's JSON.",
)
CATEGORY = click.option("--category", help="Of a COCO file: what must be looked at.")
ON_UNKNOWN = click.option(
    "--skip-unknown", is_flag=True, help="Leave out labels for items that are not there."
)
ON_CONTRADICTION = click.option(
    "--on-contradiction",
    type=click.Choice(["raise", "weigh", "must", "must_not"]),
    default="raise",
    show_default=True,
    help="Places that must be looked at and must not.",
)
LAYER = click.option("--layer", help="Module whose map is read; by default the last map.")
MAPS = click.option(
    "--maps",
    type=click.Choice(["grad-cam", "input-gradients", "strokes", "attention", "occlusion"]),
    help="Where the model looks; by default the guide's own, for drawings scores of strokes.",
)
SIZE = click.option(
    "--size",
    type=click.IntRange(16),
    help="Side of the pictures. Default: the model's own; 64 for small-resnet.",
)
SEED = click.option("--seed", default=0, show_default=True, help="Of all luck.")
SPLIT = click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True
)
VERDICTS = click.option(
    "--verdicts",
    type=click.Path(path_type=Path),
    help="Of people, on the maps of the model: they put items into the cells of the matrix.",
)


@dataclass(frozen=True)
class Asked:
    """The options that commands about a task share."""

    label_files: tuple[Path, ...]
    category: str | None
    layer: str | None
    maps: str | None
    skip_unknown: bool
    on_contradiction: Any
    size: int | None
    seed: int

    def items(self, data: Path) -> Items:
        """The photos or drawings, by split."""
        from sightline.alignment.items import Items

        return Items.read(data, seed=self.seed)

    def model(self, name: str, items: Items) -> Any:
        """A saved model, or a new one for these items."""
        import torch

        import sightline as sl

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if not items.are_drawings:
                # a saved model knows its classes; others in their place would only rename them
                labels = None if Path(name).is_dir() else items.labels
                sides = None if self.size is None else (self.size, self.size)
                return sl.load_classifier(name, labels=labels, size=sides, seed=self.seed)
            if name == "cnn":
                return sl.sketch_cnn(items.labels)
            return sl.sketchxainet(name, items.labels) if name in SKETCH_SIZES else sl.load(name)

    def lesson(self, items: Items, data: Path, **settings: Any) -> Lesson:
        """All labels of the files, one an item."""
        from sightline.alignment.formats.read import read_labels
        from sightline.alignment.items import checked_labels, labels_for
        from sightline.alignment.labels import AttentionLabels
        from sightline.alignment.phases import Lesson

        photos = None if items.are_drawings else data if data.is_dir() else data.parent
        unknown: OnUnknown = "skip" if self.skip_unknown else "raise"
        rows: list[AttentionLabel] = []
        for file in self.label_files:
            with naming(file):
                given = read_labels(
                    file,
                    items=items.names,
                    photos=photos,
                    category=self.category,
                    on_unknown=unknown,
                )
                found = checked_labels(items, given, on_unknown=unknown)
            for note in found.notes:
                click.echo(f"{file}: {note}", err=True)
            rows += found.rows
        with naming(*self.label_files):
            own = labels_for(
                items, AttentionLabels(tuple(rows)), on_contradiction=self.on_contradiction
            )
        return Lesson(own, **settings)

    def cells(self, verdicts: Path | None, items: Items) -> dict[str, str]:
        """The cells of the items that people judged."""
        from sightline.alignment.labels import nearest_names
        from sightline.alignment.verdicts import read_verdicts
        from sightline.errors import AlignmentError

        if verdicts is None:
            return {}
        with naming(verdicts):
            told = read_verdicts(verdicts, only="people").cells
            if not told:
                raise AlignmentError(
                    "no verdict of a person; proposed ones are for a person to judge"
                )
            names = {given: items.find(given) for given in told}
            lost = [given for given, name in names.items() if name is None]
            if lost and not self.skip_unknown:
                raise AlignmentError(
                    f"{len(lost)} of {len(told)} verdicts are on items that are not there; first: "
                    f"{nearest_names(lost[0], items.names)}; mend the names, or --skip-unknown"
                )
        return {name: told[given] for given, name in names.items() if name is not None}

    def guide(self, name: str, items: Items, strength: float | None = None) -> Guide:
        """A guide that looks as it was asked to."""
        from sightline.alignment.guides import guide

        source = self.maps or ("strokes" if items.are_drawings and self.layer is None else None)
        return guide(name, strength=strength, layer=self.layer, source=source)

    def source(self, items: Items) -> MapSource:
        """Where the model is asked to have looked: that of any guide of such maps."""
        return self.guide("rrr" if self.maps == "input-gradients" else "gradia", items).source


OPTIONS = (LABELS, CATEGORY, LAYER, MAPS, ON_UNKNOWN, ON_CONTRADICTION, SIZE, SEED)


def about_a_task(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `Asked` to a command, which gets them as ``asked``."""

    @functools.wraps(command)
    def with_asked(**given: Any) -> None:
        own = {name: given.pop(name) for name in Asked.__dataclass_fields__}
        command(asked=Asked(**own), **given)

    for option in reversed(OPTIONS):
        with_asked = option(with_asked)
    return with_asked


@contextmanager
def naming(*files: Path) -> Iterator[None]:
    """What is wrong with labels, with the files that have it."""
    from sightline.errors import AlignmentError

    try:
        yield
    except AlignmentError as error:
        named = all(str(file) in str(error) for file in files)
        told = ", ".join(str(file) for file in files)
        raise AlignmentError(str(error) if named else f"{told}: {error}") from error
