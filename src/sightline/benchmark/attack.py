"""How robust recognisers of drawings are: success of attacks against what they may change."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

from sightline.benchmark.attack_rounds import AttackStudy, Row, attacked_round
from sightline.benchmark.records import Record, Records, Tell, collection_digest
from sightline.benchmark.strokes import shuffled
from sightline.errors import TaskError, unknown_name
from sightline.models.fingerprint import fingerprint_of
from sightline.models.protocol import SketchModel
from sightline.sketch.sketch import Sketch


def attack_study(
    models: Mapping[str, SketchModel],
    sketches: Sequence[Sketch],
    out: str | os.PathLike[str],
    study: AttackStudy | None = None,
    *,
    only: str | None = None,
    progress: Tell | None = None,
) -> list[Row]:
    """Attack drawings of every label with every kind of attack; a second start goes on.

    Each model is attacked on the drawings that it answers rightly, and the attacked drawings are
    shown to the next model too. Work is done in rounds of one drawing of each label; each
    model has a file of its finished rounds.

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
    rounds = chosen_rounds(sketches, study)
    settings = {
        "row": [field.name for field in fields(Row)],
        **study.as_dict(),
        "models": [[name, fingerprint_of(model)] for name, model in models.items()],
        "collection": collection_digest(sketches),
    }
    plan: list[dict[str, int]] = [
        {"round": n, "inserted": n < study.inserted} for n in range(len(rounds))
    ]
    names = list(models)

    def attacked(name: str, step: Mapping[str, Any]) -> Record:
        witness = models[names[(names.index(name) + 1) % len(names)]]
        drawings = rounds[step["round"]]
        rows = attacked_round(name, models[name], witness, drawings, study, insert=step["inserted"])
        return {"rows": [asdict(row) for row in rows]}

    found: list[Row] = []
    for place, name in enumerate(names):
        if only not in (None, name):
            continue
        path = Path(out) / f"rounds-{place}-{Path(name).name}.jsonl"
        records = Records(path, settings).complete(plan, partial(attacked, name), progress)
        found += [Row(**row) for record in records for row in record["rows"]]
    return found


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
