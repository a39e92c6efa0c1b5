"""What a run keeps: one row an explanation, and how rows lie in a Parquet file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int64

from sightline.errors import PhotoError, SightlineError

Box = tuple[float, float, float, float]
Numbers = Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class Row:
    """One explanation of one box.

    Args:
        number: of the box in its photo, from 0.
        method: its name in the registry.
        label: name of the box's label; label_index: its column.
        target: what was asked about, in words.
        box: xyxy in pixels of the photo.
        scores: of each part, signed, in ``unit``.
        detector_score: what the detector gave the box; None where it reported none (a missed
            object).
        candidate: index of the dense candidate behind the box; None from a black box.
        unit: of the scores, ``value`` (everything there) and ``base`` (nothing there); None where
            not asked.
        errors: standard errors of the scores, where the method samples.
        evaluations: rows asked of the model; seconds: wall-clock time; seed: of the samples.
        notes: what a reader should know.
        blank: why a picture of the scores would show nothing; None if it shows something.
        measures: by name; None where one is not defined for this box.
        curve: values as parts vanish, most important first, at equal steps from 0 to 1.

    Raises:
        SightlineError: scores that are not finite, errors of another length, a box that is none.
    """

    number: int
    method: str
    label: str
    label_index: int
    target: str
    box: Box
    scores: Float[np.ndarray, " parts"]
    detector_score: float | None = None
    candidate: int | None = None
    unit: str = ""
    value: float | None = None
    base: float | None = None
    errors: Float[np.ndarray, " _"] | None = None
    evaluations: int = 0
    seconds: float = 0.0
    seed: int | None = None
    notes: tuple[str, ...] = ()
    blank: str | None = None
    measures: Numbers = field(default_factory=dict)
    curve: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        where = f"box {self.number} by {self.method}"
        if self.number < 0 or not self.method or "/" in self.method:
            raise SightlineError(f"{where}: expected a number from 0 and a method without a '/'")
        if not np.isfinite(self.box).all():
            raise SightlineError(f"{where}: box {self.box} is not finite; expected xyxy in pixels")
        if not np.isfinite(self.scores).all():
            raise SightlineError(f"{where}: scores are not finite; say why in blank, and give 0")
        if self.errors is not None and len(self.errors) != len(self.scores):
            raise SightlineError(
                f"{where}: {len(self.errors)} errors for {len(self.scores)} scores; give one each"
            )


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """All explanations of one photo.

    Args:
        name: of the photo, as the run's list has it.
        height: in pixels.
        width: in pixels.
        parts: the map of parts as `sightline.image.superpixels.encode_labels` gives it; below 0
            where a pixel is of no part.
        parts_kind: what the parts are.
        explanations: none where there was no box to explain.

    Raises:
        PhotoError: a map of another size, scores that do not fit it, a box explained twice by one
            method.
    """

    name: str
    height: int
    width: int
    parts: Mapping[str, Int[np.ndarray, " _"]]
    parts_kind: str
    explanations: tuple[Row, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(int(side) for side in self.parts["shape"])
        covered = int(self.parts["lengths"].sum(dtype=np.int64))
        if shape != (self.height, self.width) or covered != self.height * self.width:
            raise PhotoError(
                f"{self.name}: parts cover {covered} pixels of a map {list(shape)}; the photo is "
                f"{[self.height, self.width]}"
            )
        most = int(self.parts["values"].max(initial=-1))
        for row in self.explanations:
            if most >= len(row.scores):
                raise PhotoError(
                    f"{self.name}: part {most} has no score in box {row.number} by {row.method}, "
                    f"which has {len(row.scores)}"
                )
        items = [self.item(row) for row in self.explanations]
        twice = {item for item in items if items.count(item) > 1}
        if twice:
            raise PhotoError(f"explained twice: {', '.join(sorted(twice))}; give each box a number")

    def item(self, row: Row) -> str:
        """The name by which one explanation is found again."""
        return f"{self.name}/{row.number}/{row.method}"

    @cached_property
    def labels(self) -> Int64[np.ndarray, "height width"]:
        """The part of each pixel.

        Raises:
            PhotoError: runs that make no map.
        """
        from sightline.image.superpixels import decode_labels

        return decode_labels(self.parts).numpy()

    def heat(self, row: Row) -> Float[np.ndarray, "height width"]:
        """The score of each pixel's part; 0 where a pixel is of no part."""
        return np.append(row.scores, 0.0)[np.maximum(self.labels, -1)]


@dataclass(frozen=True)
class Failure:
    """A photo that could not be explained."""

    photo: str
    error: str
    message: str

    def __str__(self) -> str:
        return f"{self.photo}: {self.error}: {self.message}"


# --- Parquet --------------------------------------------------------------------------------------


def arrow() -> Any:
    """Pyarrow with its Parquet part, or the error that says how to get it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise SightlineError(
            "runs over a data set need pyarrow; install it with: pip install 'sightline[data]'"
        ) from None
    return pyarrow


def schema() -> Any:
    """The columns of a run, in order."""
    pa = arrow()
    whole, number, text = pa.int32(), pa.float64(), pa.string()
    kinds = {
        "item": text,
        "photo": text,
        "photo_index": whole,
        "height": whole,
        "width": whole,
        "parts_kind": text,
        "part_values": pa.list_(whole),
        "part_lengths": pa.list_(whole),
        "number": whole,
        "method": text,
        "label": text,
        "label_index": whole,
        "target": text,
        "box": pa.list_(number, 4),
        "detector_score": number,
        "candidate": pa.int64(),
        "unit": text,
        "value": number,
        "base": number,
        "scores": pa.list_(number),
        "errors": pa.list_(number),
        "evaluations": pa.int64(),
        "seconds": number,
        "seed": pa.int64(),
        "notes": pa.list_(text),
        "blank": text,
        "measures": pa.map_(text, number),
        "curve": pa.list_(number),
    }
    return pa.schema(list(kinds.items()))


def as_table(result: PhotoResult, index: int) -> Any:
    """The rows of one photo as an Arrow table; ``index`` is its place in the run's list."""
    of_photo = {
        "photo": result.name,
        "photo_index": index,
        "height": result.height,
        "width": result.width,
        "parts_kind": result.parts_kind,
        "part_values": result.parts["values"],
        "part_lengths": result.parts["lengths"],
    }
    rows = [
        {"item": result.item(row), **of_photo, **vars(row)} | _as_columns(row)
        for row in result.explanations
    ]
    return arrow().Table.from_pylist(rows, schema())


def _as_columns(row: Row) -> dict[str, Any]:
    return {
        "value": _number(row.value),
        "base": _number(row.base),
        "notes": list(row.notes),
        "measures": [(name, _number(value)) for name, value in row.measures.items()],
        "curve": None if row.curve is None else list(row.curve),
    }


def _number(value: float | None) -> float | None:
    """Not a number is no number."""
    return None if value is None or math.isnan(value) else float(value)


def results_of(table: Any) -> Iterator[PhotoResult]:
    """The photos of a table whose rows stand photo by photo."""
    rows: list[dict[str, Any]] = []
    for told in table.to_pylist(maps_as_pydicts="strict"):
        if rows and told["photo"] != rows[0]["photo"]:
            yield _result_of(rows)
            rows = []
        rows.append(told)
    if rows:
        yield _result_of(rows)


def _result_of(rows: list[dict[str, Any]]) -> PhotoResult:
    first = rows[0]
    parts = {
        "shape": np.array([first["height"], first["width"]], np.int32),
        "values": np.array(first["part_values"], np.int32),
        "lengths": np.array(first["part_lengths"], np.int32),
    }
    size = first["height"], first["width"]
    explanations = tuple(map(_row_of, rows))
    return PhotoResult(first["photo"], *size, parts, first["parts_kind"], explanations)


def _row_of(told: dict[str, Any]) -> Row:
    fields = {name: told[name] for name in Row.__dataclass_fields__}
    return Row(
        **fields
        | {
            "box": tuple(told["box"]),
            "scores": np.array(told["scores"], np.float64),
            "errors": None if told["errors"] is None else np.array(told["errors"], np.float64),
            "notes": tuple(told["notes"]),
            "measures": dict(told["measures"]),
            "curve": None if told["curve"] is None else tuple(told["curve"]),
        }
    )
