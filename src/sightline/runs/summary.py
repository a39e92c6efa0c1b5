"""The table of a run: each method's measures with intervals over photos, and paired tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from sightline.metrics.intervals import Comparison, Interval
from sightline.runs.run import Run

Box = tuple[int, int, str]
"""Place of the photo, number of the box, target."""

COLUMNS = (
    "photo_index", "number", "method", "target", "evaluations", "seconds", "measures", "curve",
)  # fmt: skip


DRAWS = 2000
WIDE = 100
"""Characters of a table that is still read as a table."""


@dataclass(frozen=True)
class MethodSummary:
    """One method on all boxes.

    Args:
        method: its name.
        boxes: explained; photos: that they lie in.
        measures: mean over boxes, with its interval over photos; None where no box has a number.
        counted: boxes that have a number, by measure.
        against: difference to the first method on the boxes that both have, by measure.
        evaluations: median of the model's evaluations a box; seconds: median a box.
        curve: mean value as parts vanish, with its 95 % band; None without curves.
    """

    method: str
    boxes: int
    photos: int
    measures: Mapping[str, Interval | None]
    counted: Mapping[str, int]
    against: Mapping[str, Comparison]
    evaluations: float
    seconds: float
    curve: tuple[Interval, ...] | None = None


@dataclass(frozen=True)
class Summary:
    """A run in numbers.

    Args:
        methods: in the order of the manifest; those without a row are left out.
        measures: names, in the order in which they came.
        photos: explained; failed: that could not be; total: of the list.
    """

    methods: tuple[MethodSummary, ...]
    measures: tuple[str, ...]
    photos: int
    failed: int
    total: int

    def as_record(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "photos": self.photos,
            "failed": self.failed,
            "total": self.total,
            "methods": {m.method: _method_record(m) for m in self.methods},
        }


@dataclass
class _Column:
    """What is known of one method, as it is read."""

    evaluations: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    values: dict[str, dict[Box, float]] = field(default_factory=dict)
    curves: dict[Box, Float[np.ndarray, " steps"]] = field(default_factory=dict)

    def add(self, told: dict[str, Any]) -> None:
        box = told["photo_index"], told["number"], told["target"]
        self.boxes.append(box)
        self.evaluations.append(told["evaluations"])
        self.seconds.append(told["seconds"])
        for name, value in told["measures"].items():
            known = self.values.setdefault(name, {})
            if value is not None and np.isfinite(value):
                known[box] = value
        if told["curve"]:
            self.curves[box] = np.array(told["curve"], np.float64)


def summary(run: Run, *, seed: int = 0) -> Summary:
    """Means over all boxes, with bootstrap intervals that resample whole photos.

    Boxes of one photo are not independent, so the photo is the unit. A box without a number for a
    measure (an inside share where nothing speaks for the box, say) is left out of that mean, and
    the count says so.
    """
    columns = _read(run)
    order = [name for name in run.manifest.methods if name in columns]
    order += [name for name in columns if name not in order]
    measures = tuple(dict.fromkeys(name for m in order for name in columns[m].values))
    first = columns[order[0]] if order else _Column()
    methods = tuple(
        _method(name, columns[name], None if name == order[0] else first, measures, seed)
        for name in order
    )
    return Summary(methods, measures, run.done, len(run.errors()), len(run.manifest.photos))


def _read(run: Run) -> dict[str, _Column]:
    columns: dict[str, _Column] = {}
    for table in run.tables(COLUMNS):
        for told in table.to_pylist(maps_as_pydicts="strict"):
            columns.setdefault(told["method"], _Column()).add(told)
    return columns


def _method(
    name: str, column: _Column, first: _Column | None, measures: tuple[str, ...], seed: int
) -> MethodSummary:
    values = {measure: column.values.get(measure, {}) for measure in measures}
    compared = {} if first is None else {m: _against(v, first, m, seed) for m, v in values.items()}
    return MethodSummary(
        method=name,
        boxes=len(column.boxes),
        photos=len({photo for photo, _, _ in column.boxes}),
        measures={measure: _mean(known, seed) for measure, known in values.items()},
        counted={measure: len(known) for measure, known in values.items()},
        against={measure: c for measure, c in compared.items() if c is not None},
        evaluations=float(np.median(column.evaluations)),
        seconds=float(np.median(column.seconds)),
        curve=_mean_curve(column.curves, seed),
    )


def _mean(known: dict[Box, float], seed: int) -> Interval | None:
    if not known:
        return None
    return _interval(np.array(list(known.values())), _photos(known), seed)


def _against(known: dict[Box, float], first: _Column, measure: str, seed: int) -> Comparison | None:
    from sightline.metrics.clustered import clustered_paired

    others = first.values.get(measure, {})
    both = {box: value for box, value in known.items() if box in others}
    photos = _photos(both)
    if len(set(photos.tolist())) < 2:
        return None
    pair = np.array(list(both.values())), np.array([others[box] for box in both])
    return clustered_paired(*pair, photos, seed=seed)


def _mean_curve(
    curves: dict[Box, Float[np.ndarray, " steps"]], seed: int
) -> tuple[Interval, ...] | None:
    """Step by step; curves of other lengths than the first are left out."""
    if not curves:
        return None
    steps = len(next(iter(curves.values())))
    alike = {box: curve for box, curve in curves.items() if len(curve) == steps}
    _, photo = np.unique(_photos(alike), return_inverse=True)
    sums, sizes = np.zeros((int(photo.max()) + 1, steps)), np.bincount(photo)
    np.add.at(sums, photo, np.stack(list(alike.values())))
    low, high = _band(sums, sizes, seed)
    ends = zip((sums.sum(0) / sizes.sum()).tolist(), low.tolist(), high.tolist(), strict=True)
    return tuple(Interval(*step) for step in ends)


def _band(
    sums: Float[np.ndarray, "photos steps"], sizes: Int64[np.ndarray, " photos"], seed: int
) -> Float[np.ndarray, "2 steps"]:
    """What `clustered_mean` gives step by step, with one resample for all steps."""
    count = len(sums)
    if count < 2:
        return np.full((2, sums.shape[1]), math.nan)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    return np.percentile(drawn @ sums / (drawn @ sizes)[:, None], [2.5, 97.5], axis=0)


def _interval(
    values: Float[np.ndarray, " boxes"], photos: Int64[np.ndarray, " boxes"], seed: int
) -> Interval:
    """Ends that are not a number where one photo cannot say how photos differ."""
    from sightline.metrics.clustered import clustered_mean

    if len(set(photos.tolist())) < 2:
        return Interval(float(values.mean()), math.nan, math.nan)
    return clustered_mean(values, photos, seed=seed)


def _photos(boxes: Mapping[Box, object]) -> Int64[np.ndarray, " boxes"]:
    return np.array([photo for photo, _, _ in boxes], np.int64)


def _method_record(told: MethodSummary) -> dict[str, Any]:
    return {
        "boxes": told.boxes,
        "photos": told.photos,
        "evaluations": told.evaluations,
        "seconds": told.seconds,
        "measures": {
            name: None if mean is None else _interval_record(mean) | {"boxes": told.counted[name]}
            for name, mean in told.measures.items()
        },
        "against_first": {
            name: vars(compared.difference) | {"p_value": compared.p_value}
            for name, compared in told.against.items()
        },
    }


def _interval_record(told: Interval) -> dict[str, float | None]:
    """JSON has no word for what is not a number."""
    return {name: None if math.isnan(value) else value for name, value in vars(told).items()}


# --- as text --------------------------------------------------------------------------------------


def text_table(told: Summary) -> str:
    """The table, aligned; a star marks a difference to the first method at the level of 5 %."""
    return "\n".join([*_aligned(table_rows(told)), "", *footnotes(told)])


def table_rows(told: Summary) -> list[list[str]]:
    """Cells, heads first: a row a method, or a row a measure where that would be too wide."""
    upright = [header(told), *(cells(m, told.measures) for m in told.methods)]
    lying = [list(row) for row in zip(*upright, strict=True)]
    wide, narrow = (max(map(len, _aligned(rows))) for rows in (upright, lying))
    return upright if wide <= max(WIDE, narrow) else lying


def _aligned(rows: list[list[str]]) -> list[str]:
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in rows
    ]


def header(told: Summary) -> list[str]:
    """Names of the columns."""
    return ["method", "boxes", *told.measures, "evaluations", "seconds"]


def cells(method: MethodSummary, measures: tuple[str, ...]) -> list[str]:
    """One method's row."""
    numbers = [_cell(method, measure) for measure in measures]
    cost = [f"{method.evaluations:,.0f}", f"{method.seconds:.2f}"]
    return [method.method, str(method.boxes), *numbers, *cost]


def footnotes(told: Summary) -> list[str]:
    """What the numbers are."""
    lines = [f"{told.photos} of {told.total} photos explained, {told.failed} failed"]
    if told.photos + told.failed < told.total:
        lines.append("the run is not finished: these are the numbers so far")
    if told.methods:
        lines.append(
            "mean over boxes [95 % interval, whole photos resampled]; median evaluations and "
            "seconds a box"
        )
    if len(told.methods) > 1:
        lines.append(f"* differs from {told.methods[0].method} on the same boxes (p < 0.05)")
    return lines


def _cell(method: MethodSummary, measure: str) -> str:
    mean = method.measures[measure]
    if mean is None:
        return "–"
    compared = method.against.get(measure)
    star = "*" if compared is not None and compared.distinguishable else ""
    few = method.counted[measure]
    shown = f"{mean.estimate:.4f} (one photo)" if math.isnan(mean.low) else str(mean)
    return f"{shown}{star}" + (f" ({few})" if few < method.boxes else "")
