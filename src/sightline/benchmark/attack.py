"""How robust recognisers of drawings are: success of attacks against what they may change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline.benchmark.attack_rounds import AttackStudy, Row, attacked_round
from sightline.benchmark.strokes import shuffled
from sightline.errors import TaskError, unknown_name
from sightline.models.protocol import SketchModel
from sightline.sketch.files import replace_file
from sightline.sketch.luck import digest
from sightline.sketch.sketch import Sketch

Progress = Callable[[str], None]


def attack_study(
    models: Mapping[str, SketchModel],
    sketches: Sequence[Sketch],
    out: str | os.PathLike[str],
    study: AttackStudy | None = None,
    *,
    only: str | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Attack drawings of every label with every kind of attack; a second start goes on.

    Each model is attacked on the drawings that it answers rightly, and the attacked drawings are
    shown to the next model too. Work is done in rounds of one drawing of each label; a finished
    round is a file.

    Args:
        models: by name; two or more, since each is the other's witness.
        sketches: labelled drawings.
        out: folder of the rounds.
        study: what is run.
        only: the one model that this process attacks, where another process attacks the other.
        progress: is told of each round.

    Raises:
        TaskError: fewer than two models, one without labels, an unknown one, no drawings, or a
            folder of another study.
    """
    study = study or AttackStudy()
    _check(models, only)
    out = Path(out)
    rounds = chosen_rounds(sketches, study)
    told = {"study": study.as_dict(), "models": list(models), "drawings": _fingerprint(sketches)}
    _claim(out, told)
    rows: list[Row] = []
    names = list(models)
    for number, drawings in enumerate(rounds):
        for place, name in enumerate(names):
            if only not in (None, name):
                continue
            path = out / f"round-{number:03d}-{place}.json"
            if not path.exists():
                witness = models[names[(place + 1) % len(names)]]
                found = attacked_round(
                    name, models[name], witness, drawings, study, insert=number < study.inserted
                )
                _write(found, path)
                if progress is not None:
                    progress(f"round {number + 1} of {len(rounds)}, {name}: {len(found)} attacks")
            rows += _read(path)
    return rows


def chosen_rounds(sketches: Sequence[Sketch], study: AttackStudy) -> list[list[Sketch]]:
    """Drawings by luck, one of each label a round, as far as labels have drawings.

    Raises:
        TaskError: no drawings.
    """
    if not sketches:
        raise TaskError("no drawings to attack")
    by_label: dict[str, list[Sketch]] = {}
    for sketch in shuffled(list(sketches), study.seed):
        by_label.setdefault(str(sketch.label), []).append(sketch)
    most = min(study.drawings, max(len(own) for own in by_label.values()))
    labels = sorted(by_label)
    return [
        [by_label[label][number] for label in labels if number < len(by_label[label])]
        for number in range(most)
    ]


def _check(models: Mapping[str, SketchModel], only: str | None) -> None:
    if len(models) < 2:
        raise TaskError(
            "give two models or more: each shows whether the other's attacks carry over"
        )
    nameless = [type(model).__name__ for model in models.values() if not model.labels]
    if nameless:
        raise TaskError(f"{nameless[0]} names no labels, so no answer of it is right; give labels")
    if only is not None and only not in models:
        raise TaskError(unknown_name("model", only, models))


def _fingerprint(sketches: Sequence[Sketch]) -> str:
    """Of the drawings to choose from, in any order."""
    own = sorted(digest(sketch, str(sketch.label)) for sketch in sketches)
    return hashlib.sha256(b"".join(own)).hexdigest()


# --- files ----------------------------------------------------------------------------------------


def _claim(out: Path, plan: dict[str, Any]) -> None:
    """The folder is of this study, or becomes it."""
    path = out / "study.json"
    if not path.exists():
        with replace_file(path) as stream:
            stream.write(json.dumps(plan, indent=2).encode() + b"\n")
    elif json.loads(path.read_text()) != plan:
        raise TaskError(f"{out} holds another study; give another folder, or the same settings")


def _write(rows: Sequence[Row], path: Path) -> None:
    with replace_file(path) as stream:
        stream.write(json.dumps([list(asdict(row).values()) for row in rows]).encode() + b"\n")


def _read(path: Path) -> list[Row]:
    try:
        rows = [Row(*told) for told in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise TaskError(f"{path} is no round of a study ({error}); remove it") from None
    return rows
