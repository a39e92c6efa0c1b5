"""A rating study: people judge the maps of several models without knowing whose they are."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.alignment.ratings import Rating, Ratings
from sightline.alignment.sheets import Progress, Sheet, SheetMap, Told, answer_of
from sightline.alignment.study_files import append_line, store_map, store_picture
from sightline.errors import AlignmentError, unknown_name
from sightline.image.coco import safe_name
from sightline.sketch.files import replace_file

MANIFEST, PICTURES, RATINGS = "study.json", "pictures", "ratings"
FORMAT, VERSION = "sightline rating study", 1
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

HeatMap = Float[np.ndarray, "height width"]
MapOf = Callable[[str, str], "str | os.PathLike[str] | HeatMap"]


@dataclass(frozen=True, eq=False)
class RatingStudy:
    """A rating study in a folder: pictures, a manifest, and one file of answers a rater.

    Convention:
        ``study.json`` has the items, and of each the code of every model's map; pictures are named
        by codes alone, and hold nothing but pixels. ``ratings/`` has a file of JSON lines a
        rater: each sheet with its order when it is first drawn, and each answer. Nothing is ever
        deleted; of several answers to one map the last one counts.

    Args:
        folder: of the study.
        manifest: as ``study.json`` has it.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (4, 4)).save(folder / "owl.png")
        >>> study = RatingStudy.create(folder / "study", ["owl.png"], ["plain", "taught"], seed=7,
        ...     photo=lambda item: folder / item, map_of=lambda item, model: np.eye(4))
        >>> sheet = study.next("ada")
        >>> [shown.letter for shown in sheet.maps], sheet.maps[0].answer is None
        (['A', 'B'], True)
        >>> study.rate(sheet.id, "A", necessary=True, nothing_unnecessary=False, rating=3)
        >>> study.progress("ada").maps
        1

    Source:
        The study of GRADIA (Gao et al., CSCW 2022), whose form came with every answer filled in.
    """

    folder: Path
    manifest: Mapping[str, Any]

    # --- made and opened --------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        items: Sequence[str],
        models: Sequence[str],
        *,
        photo: Callable[[str], str | os.PathLike[str]],
        map_of: MapOf,
        seed: int,
        author: str = "",
        task: str = "",
    ) -> RatingStudy:
        """Make a study: pictures are copied as pixels, under names that tell nothing.

        Args:
            folder: new, or without a study.
            items: names of the photos.
            models: names of those whose maps are judged.
            photo: the file of an item's photo.
            map_of: the map of a model on an item: a picture file (an overlay), or an array
                ``[height, width]``, stored as it is.
            seed: of the codes and of every order.
            author: of the study.
            task: what the models decide, as a rater is told ("is it a cat or a dog?").

        Raises:
            AlignmentError: a study is there; no or repeated names; more than 26 models.
            PhotoError: a file that is no picture.
        """
        folder = Path(folder)
        if (folder / MANIFEST).exists():
            raise AlignmentError(f"{folder} has a study already; open it, or give another folder")
        _refuse_names("items", items)
        _refuse_names("models", models)
        if len(models) > len(LETTERS):
            raise AlignmentError(f"{len(models)} models; a sheet has letters for {len(LETTERS)}")
        rows = []
        for item in items:
            name = f"{PICTURES}/{_code(f'{seed}/photo/{item}')}"
            original = store_picture(folder, name, photo(item))
            maps = _stored_maps(folder, item, models, map_of, seed)
            rows.append({"item": item, "photo": original, "maps": maps})
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "seed": seed,
            "author": author,
            "task": task,
            "created": _now(),
            "models": list(models),
            "items": rows,
        }
        with replace_file(folder / MANIFEST) as stream:
            stream.write(json.dumps(manifest, indent=1).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> RatingStudy:
        """Open a study; answers go on where they stopped.

        Raises:
            AlignmentError: no study, or a broken manifest.
        """
        path = Path(folder) / MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise AlignmentError(f"no study in {folder}: {MANIFEST} is missing") from None
        except ValueError as error:
            raise AlignmentError(f"{path} is no JSON: {error}") from None
        _check(manifest, path)
        return cls(Path(folder), manifest)

    @property
    def models(self) -> tuple[str, ...]:
        """Their names; no sheet has them."""
        return tuple(self.manifest["models"])

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the photos, as given."""
        return tuple(self._rows)

    @property
    def task(self) -> str:
        """What the models decide."""
        return str(self.manifest["task"])

    @cached_property
    def _rows(self) -> Mapping[str, Mapping[str, Any]]:
        return {row["item"]: row for row in self.manifest["items"]}

    # --- rated ------------------------------------------------------------------------------------

    def next(self, rater: str) -> Sheet | None:
        """The rater's first sheet with a map that is not rated; None when all is done.

        Items come in an order of the rater's own. The order of the maps is drawn from the seed, the
        rater and the item, and written down before it is shown.

        Raises:
            AlignmentError: no name.
        """
        told = self._told(rater)
        for number, item in enumerate(self._order(rater), start=1):
            sheet = self._sheet(rater, item, number, told)
            if not sheet.done:
                if sheet.id not in told.orders:
                    self._draw(rater, sheet)
                return sheet
        return None

    def sheet(self, sheet_id: str) -> Sheet:
        """A sheet that was drawn before, with its answers so far.

        Raises:
            AlignmentError: no such sheet.
        """
        rater, item = self._drawn(sheet_id)
        number = self._order(rater).index(item) + 1
        return self._sheet(rater, item, number, self._told(rater))

    def rate(
        self,
        sheet_id: str,
        letter: str,
        *,
        necessary: object,
        nothing_unnecessary: object,
        rating: object,
    ) -> None:
        """Write down the answers to one map of a sheet; on disk when this returns.

        Rating a map again corrects it: the last answers count, the earlier ones stay in the file.

        Args:
            sheet_id: of a sheet that `next` gave.
            letter: of the map.
            necessary: question 1, True or False.
            nothing_unnecessary: question 2, True or False.
            rating: 1 to 5.

        Raises:
            AlignmentError: no such sheet or letter; an answer that is missing or no answer.
        """
        rater, item = self._drawn(sheet_id)
        order = self._told(rater).orders[sheet_id]
        if letter not in LETTERS[: len(order)] or len(letter) != 1:
            raise AlignmentError(unknown_name("letter", letter, LETTERS[: len(order)]))
        answer = answer_of(
            {
                "necessary": necessary,
                "nothing_unnecessary": nothing_unnecessary,
                "rating": rating,
            }
        )
        line = {
            "kind": "answer",
            "rater": rater,
            "sheet": sheet_id,
            "item": item,
            "code": order[LETTERS.index(letter)],
            **vars(answer),
            "time": _now(),
        }
        append_line(self._file(rater), line)

    def progress(self, rater: str) -> Progress:
        """How far a rater is, and which of their lines are lost."""
        told = self._told(rater)
        sheets = [self._sheet(rater, item, 0, told) for item in self.items]
        rated = sum(shown.answer is not None for sheet in sheets for shown in sheet.maps)
        return Progress(rater, sum(s.done for s in sheets), len(sheets), rated, told.notes)

    @property
    def raters(self) -> tuple[str, ...]:
        """Everybody who was shown a sheet, by name."""
        return tuple(sorted(told.rater for told in self._everyone()))

    def ratings(self, *, history: bool = False) -> Ratings:
        """All answers with the names of the models.

        Args:
            history: corrected answers too, in the order in which they were given.
        """
        everyone = self._everyone()
        rows = [row for told in everyone for row in self._of_rater(told, history)]
        return Ratings(tuple(rows), tuple(note for told in everyone for note in told.notes))

    # --- inside -----------------------------------------------------------------------------------

    def _of_rater(self, told: Told, history: bool) -> Iterator[Rating]:
        for (sheet, code), given in sorted(told.answers.items()):
            item, place = told.items[sheet], told.orders[sheet].index(code)
            model = self.models[self._rows[item]["maps"][code]["model"]]
            for corrections, line in enumerate(given):
                if history or corrections == len(given) - 1:
                    yield Rating(
                        item=item,
                        model=model,
                        rater=told.rater,
                        letter=LETTERS[place],
                        place=place + 1,
                        time=line["time"],
                        corrections=corrections,
                        **vars(answer_of(line)),
                    )

    def _sheet(self, rater: str, item: str, number: int, told: Told) -> Sheet:
        row, sheet_id = self._rows[item], self._id(rater, item)
        order = told.orders.get(sheet_id) or _shuffled(
            row["maps"], f"{self.manifest['seed']}/maps/{rater}/{item}"
        )
        maps = tuple(
            SheetMap(
                letter,
                self.folder / row["maps"][code]["file"],
                told.last(sheet_id, code),
            )
            for letter, code in zip(LETTERS, order, strict=False)
        )
        return Sheet(sheet_id, item, self.folder / row["photo"], maps, number, len(self.items))

    def _draw(self, rater: str, sheet: Sheet) -> None:
        row = self._rows[sheet.item]["maps"]
        by_file = {self.folder / of["file"]: code for code, of in row.items()}
        line = {
            "kind": "sheet",
            "rater": rater,
            "sheet": sheet.id,
            "item": sheet.item,
            "order": [by_file[shown.file] for shown in sheet.maps],
            "time": _now(),
        }
        append_line(self._file(rater), line)

    def _order(self, rater: str) -> list[str]:
        return _shuffled(self.items, f"{self.manifest['seed']}/items/{rater}")

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {item: number for number, item in enumerate(self._rows, start=1)}

    def _id(self, rater: str, item: str) -> str:
        return f"{_code(rater)}-{self._numbers[item]:05d}"

    def _drawn(self, sheet_id: str) -> tuple[str, str]:
        """Rater and item of a sheet."""
        path = self.folder / RATINGS / f"{sheet_id.partition('-')[0]}.jsonl"
        if sheet_id.partition("-")[0].isalnum() and path.is_file():
            told = self._read(path)
            if sheet_id in told.orders:
                return told.rater, told.items[sheet_id]
        raise AlignmentError(f"no sheet {sheet_id!r}; rate one that next(rater) gave")

    def _file(self, rater: str) -> Path:
        return self.folder / RATINGS / f"{_code(rater)}.jsonl"

    def _told(self, rater: str) -> Told:
        if not rater.strip():
            raise AlignmentError("a rater needs a name, by which their order is kept")
        return self._read(self._file(rater))

    def _everyone(self) -> list[Told]:
        files = sorted((self.folder / RATINGS).glob("*.jsonl"))
        return [told for told in map(self._read, files) if told.rater]

    def _read(self, path: Path) -> Told:
        return Told.read(path, self._rows)


def _stored_maps(
    folder: Path, item: str, models: Sequence[str], map_of: MapOf, seed: int
) -> dict[str, dict[str, Any]]:
    """Maps of one item, written in the order of their codes: times of files tell nothing."""
    codes = {_code(f"{seed}/map/{item}/{model}"): i for i, model in enumerate(models)}
    maps = {}
    for code, model in sorted(codes.items()):
        given, name = map_of(item, models[model]), f"{PICTURES}/{code}"
        if isinstance(given, np.ndarray):
            file = store_map(folder, name, given)
        else:
            file = store_picture(folder, name, given)
        maps[code] = {"model": model, "file": file}
    return maps


def _shuffled(names: Sequence[str] | Mapping[str, Any], purpose: str) -> list[str]:
    """An order of luck that depends on the purpose and on nothing else."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{purpose}/{name}".encode()).digest())


def _code(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _refuse_names(kind: str, names: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise AlignmentError(
            f"{kind} are {', '.join(names) or 'none'}; give each a name of its own"
        )


def _check(manifest: Any, path: Path) -> None:
    try:
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise AlignmentError(
                f"{path} is {manifest['format']} {manifest['version']}; expected {FORMAT} {VERSION}"
            )
        models = manifest["models"]
        for row in manifest["items"]:
            safe_name(row["photo"], str(path))
            for of in row["maps"].values():
                safe_name(of["file"], str(path))
            if sorted(of["model"] for of in row["maps"].values()) != list(range(len(models))):
                raise AlignmentError(f"{path}: {row['item']!r} has not one map of each model")
        if not isinstance(manifest["seed"], int) or not isinstance(manifest["task"], str):
            raise TypeError("seed or task")
    except (KeyError, TypeError, AttributeError) as error:
        raise AlignmentError(f"{path} is no manifest of a study: {error!r}") from None
