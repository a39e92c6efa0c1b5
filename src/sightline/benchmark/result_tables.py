"""The tables of the experiments, in markdown."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.benchmark.ledger import Finished
from sightline.benchmark.markdown import percent
from sightline.benchmark.outcomes import Outcomes, Row

ACCURACIES = ("shifted", "clean", "as trained", "worst group")
LOOKING = ("iou", "energy", "wrong reason")


def decoy_tables(rows: Sequence[Finished]) -> str:
    """Decoy-MNIST: a table of each network, and the share of the gap that was recovered.

    The gap is between the plain model's accuracy on the test, with patches of random classes, and
    the clean reference's on the clean test, as the paper has it.
    """
    found = Outcomes.from_rows(rows, "decoy-mnist")
    return "\n\n".join(_with_gap(found, network, of_clean="clean") for network in _networks(found))


def scene_tables(rows: Sequence[Finished]) -> str:
    """Biased scenes: all methods, and then the gain over going on without labels.

    The gap is between the plain model's accuracy on the shifted test and that of the reference,
    which learnt from unbiased scenes, on the same test.
    """
    found = Outcomes.from_rows(rows, "biased-scenes")
    tables = [_with_gap(found, network, of_clean="shifted") for network in _networks(found)]
    note = (
        "The gap is between the plain model and the reference, which learnt from unbiased scenes, "
        "both on the shifted test."
    )
    return "\n\n".join([*tables, note, *_gains(found)])


def exact_tables(rows: Sequence[Finished]) -> str:
    """What differentiating the weights of the map changes: gradients, then results."""
    parts = []
    for study in dict.fromkeys(row.experiment.study for row in rows):
        found = Outcomes.from_rows(rows, study)
        parts += [_gradients(found, study), _differences(found, study)]
    return "\n\n".join(part for part in parts if part)


def _networks(found: Outcomes) -> list[str]:
    return list(dict.fromkeys(kind[1] for kind in found.kinds))


def _with_gap(found: Outcomes, network: str, *, of_clean: str) -> str:
    kinds = [kind for kind in found.kinds if kind[1] == network]
    plain, clean = ("plain", network, 0, 0.0), ("clean", network, 0, 0.0)
    gaps = {
        kind: found.recovered(kind, plain, clean, "shifted", of_clean=of_clean)
        for kind in kinds
        if kind not in (plain, clean)
    }
    return found.table((*ACCURACIES, *LOOKING), recovered=gaps, kinds=kinds)


def _gains(found: Outcomes) -> list[str]:
    """Methods against ``continued``, paired by seed; where labels are few, and where many."""
    base: Row = ("continued", "resnet", 0, 0.0)
    taught = [kind for kind in found.kinds if kind[2]]
    if not taught or base not in found.kinds:
        return []
    measures = ("shifted", "worst group", "iou", "wrong reason")
    lines = [
        "Gain over the plain model that went on without labels, paired by seed, in points:",
        "",
        f"| method | labels | wrong | {' | '.join(measures)} |",
        "|---|---|---|" + "---|" * len(measures),
    ]
    for kind in taught:
        gains = " | ".join(percent(found.difference(kind, base, name)) for name in measures)
        lines.append(
            f"| {kind[0]} | {kind[2]} | {f'{kind[3]:.0%}' if kind[3] else '–'} | {gains} |"
        )
    return ["\n".join(lines)]


def _gradients(found: Outcomes, study: str) -> str:
    kinds = [kind for kind in found.kinds if kind[0] == "cosines"]
    if not kinds:
        return ""
    kind = kinds[0]
    names = next(row.measures for row in found.rows if row.experiment.method == "cosines")
    layers = dict.fromkeys(name.partition(" ")[2] for name in names)
    lines = [
        f"{study}: the detached gradient of GRADIA's loss beside the exact one, in the plain model",
        "",
        "| layer | cosine, % | length, % of the exact one |",
        "|---|---|---|",
    ]
    for layer in layers:
        cosine, share = (found.mean(kind, f"{what} {layer}") for what in ("cosine", "share"))
        lines.append(f"| {layer} | {percent(cosine)} | {percent(share)} |")
    return "\n".join(lines)


def _differences(found: Outcomes, study: str) -> str:
    exact = [kind for kind in found.kinds if kind[0] == "gradia" and not kind[3]]
    measures = ("shifted", "worst group", "iou", "wrong reason")
    if not exact:
        return ""
    lines = [
        f"{study}: exact minus detached, paired by seed, in points",
        "",
        f"| network | labels | {' | '.join(measures)} |",
        "|---|---|" + "---|" * len(measures),
    ]
    for kind in exact:
        other: Row = ("gradia-as-programmed", *kind[1:])
        gains = " | ".join(percent(found.difference(kind, other, name)) for name in measures)
        lines.append(f"| {kind[1]} | {kind[2]} | {gains} |")
    return "\n".join(lines)
