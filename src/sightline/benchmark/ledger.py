"""What has been run: one JSON line a finished run, so that a killed plan goes on where it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sightline.benchmark.records import append_line, read_lines
from sightline.errors import SightlineError


@dataclass(frozen=True, order=True)
class Experiment:
    """One training run of a plan.

    Args:
        study: the data set and its settings, by name.
        method: how the model is taught.
        network: which one, where a study has several.
        labels: items that a person labelled.
        noise: share of those labels that are wrong.
        seed: of everything: data, first weights, order, which items are labelled, which wrong.

    Raises:
        SightlineError: a number out of its range.
    """

    study: str
    method: str
    network: str
    labels: int = 0
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels < 0 or not 0 <= self.noise <= 1 or self.seed < 0:
            raise SightlineError(
                f"labels {self.labels}, noise {self.noise}, seed {self.seed}; expected whole "
                "numbers from 0 and a share"
            )

    def __str__(self) -> str:
        noise = f", {self.noise:.0%} wrong" if self.noise else ""
        labels = f", {self.labels} labels{noise}" if self.labels else ""
        return f"{self.study}: {self.method} ({self.network}){labels}, seed {self.seed}"


@dataclass(frozen=True)
class Finished:
    """What came of a run.

    Args:
        experiment: which.
        measures: by name; None where one is not defined.
        seconds: that it took.
        settings: of the run, as plain values.
    """

    experiment: Experiment
    measures: Mapping[str, float | None]
    seconds: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        broken = [k for k, v in self.measures.items() if v is not None and not math.isfinite(v)]
        if broken:
            raise SightlineError(f"{self.experiment}: {', '.join(broken)} not finite; give None")


@dataclass(frozen=True)
class Ledger:
    """Finished runs in a folder, in a file for each share of a plan.

    Args:
        folder: of the plan.
        share: name of the file that this process appends to; no other process may have the same.
    """

    folder: Path
    share: str = "runs"

    @property
    def path(self) -> Path:
        """The file of this share."""
        return self.folder / f"{self.share}.jsonl"

    def read(self) -> tuple[list[Finished], tuple[str, ...]]:
        """All finished runs, and what was left out: a last line that was written half.

        Raises:
            SightlineError: another broken line, or two results of one run that differ.
        """
        found: dict[Experiment, Finished] = {}
        notes: list[str] = []
        for path in sorted(self.folder.glob("runs*.jsonl")):
            for row in _rows(path, notes):
                known = found.setdefault(row.experiment, row)
                if dict(known.measures) != dict(row.measures):
                    raise SightlineError(
                        f"{self.folder} has two results of one run ({row.experiment}); remove one"
                    )
        return list(found.values()), tuple(notes)

    def complete(
        self,
        plan: Sequence[Experiment],
        run: Callable[[Experiment], Finished],
        *,
        own: Sequence[Experiment] | None = None,
        check: Callable[[Sequence[Finished]], None] | None = None,
        told: Callable[[Finished], str] = str,
        progress: Callable[[str], None] | None = None,
    ) -> list[Finished]:
        """Run what of a plan has no result yet, and give the finished runs of the whole plan.

        Args:
            plan: of experiments.
            run: makes one.
            own: this process's part of the plan; all of it by default.
            check: refuses results that are there already, of any plan, before anything is run.
            told: a finished run in words.
            progress: is told of each run, and of half-written lines.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        tell = progress or (lambda _line: None)
        finished, notes = self.read()
        if check is not None:
            check(finished)
        for note in notes:
            tell(note)
        done = {row.experiment for row in finished}
        left = [row for row in (plan if own is None else own) if row not in done]
        for number, experiment in enumerate(left, 1):
            row = run(experiment)
            self.append(row)
            tell(f"{number}/{len(left)} {told(row)}")
        wanted = set(plan)
        return [row for row in self.read()[0] if row.experiment in wanted]

    def append(self, row: Finished) -> None:
        """Write a run down so that it survives a loss of power."""
        append_line(self.path, {**asdict(row.experiment), **_told(row)})


def _told(row: Finished) -> dict[str, Any]:
    return {
        "measures": dict(row.measures),
        "seconds": row.seconds,
        "settings": dict(row.settings),
    }


def _rows(path: Path, notes: list[str]) -> list[Finished]:
    rows, half = read_lines(path, _row, "finished run")
    if half:
        notes.append(f"{path.name}: the last line was written half and is left out; it runs again")
    return rows


def _row(told: dict[str, Any]) -> Finished:
    experiment = Experiment(**{name: told[name] for name in Experiment.__dataclass_fields__})
    return Finished(experiment, told["measures"], told["seconds"], told["settings"])
