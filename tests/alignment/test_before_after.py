"""Two measurements of the same items, and what seeds say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sightline.alignment.before_after import compare
from sightline.alignment.measured import BY_PEOPLE, Looking, Measured
from sightline.alignment.over_seeds import (
    over_seeds,
    paired_over_seeds,
    student_interval,
    student_quantile,
    student_within,
)
from sightline.errors import AlignmentError


def row(item, *, right=True, group="", cell="", **numbers):
    answer = "cat" if right else "dog"
    return Looking(item, "cat", answer, 0.9, answer, group=group, cell=cell, **numbers)


def rows(flags, ious=None, **each):
    ious = ious or [None] * len(flags)
    return tuple(
        row(f"{i:03d}", right=flag, has_must=True, blank=iou is None, iou=iou, **each)
        for i, (flag, iou) in enumerate(zip(flags, ious, strict=True))
    )


# --- paired by item -------------------------------------------------------------------------------


def test_accuracy_by_hand():
    before = Measured(rows([0, 0, 0, 0, 0, 0, 1, 1, 1, 1]), {})
    after = Measured(rows([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), {})
    found = compare(before, after).whole["accuracy"]
    assert (found.before.estimate, found.after.estimate) == (0.4, 1.0)
    assert found.change.difference.estimate == pytest.approx(0.6)
    assert found.change.p_value == 2 / 2**6  # McNemar: six gained, none lost
    assert compare(after, before).whole["accuracy"].change.difference.estimate == pytest.approx(
        -0.6
    )


def test_order_of_items_does_not_matter():
    before = Measured(rows([0, 1, 0], [0.1, 0.2, 0.3]), {})
    after = Measured(rows([1, 1, 0], [0.2, 0.3, 0.4]), {})
    turned = Measured(after.rows[::-1], {})
    assert compare(before, turned).as_dict() == compare(before, after).as_dict()
    assert compare(before, turned).whole["iou"].change.difference.low == pytest.approx(0.1)


def test_measures_are_over_items_that_have_both():
    before = Measured(rows([1, 1, 1, 1], [0.5, None, 0.1, None]), {})
    after = Measured(rows([1, 1, 1, 1], [0.7, 0.9, None, None]), {})
    found = compare(before, after).whole["iou"]
    assert (found.before.estimate, found.after.estimate) == (0.5, 0.7)
    assert (found.count, found.missing_before, found.missing_after) == (1, 2, 2)
    assert "energy" not in compare(before, after).whole


def test_groups_cells_and_moves():
    before = Measured(
        tuple(
            row(str(i), right=i > 4, group="ab"[i % 2], cell=("RI", "RA")[i > 4]) for i in range(10)
        ),
        {"cells": BY_PEOPLE},
        smallest_group=2,
    )
    after = replace(
        before,
        rows=tuple(
            row(r.item, group=r.group, cell="UA" if r.item == "0" else "RA") for r in before.rows
        ),
    )
    found = compare(before, after)
    assert found.groups["a"]["accuracy"].before.estimate == 0.4
    assert found.groups["b"]["accuracy"].after.estimate == 1.0
    assert found.cells["RI"]["accuracy"].change.difference.estimate == 1.0
    assert found.cells["RA"]["accuracy"].change.p_value == 1.0
    assert found.moves.counts["RI", "UA"] == 1
    assert found.moves.counts["RI", "RA"] == 4
    assert (found.worst_before.name, found.worst_after.name) == ("a", "a")
    text = found.markdown()
    assert "Worst group: a 0.4000" in text
    assert "| group b |" in text
    assert "| RI before |" in text
    assert json.loads(json.dumps(found.as_dict()))["moves"]["items"] == 10


def test_cells_known_before_alone_claim_no_move():
    """People judged the maps of the first model; of the second's nobody said anything."""
    before = Measured(
        rows([1, 0, 1], [0.1, 0.2, 0.3], cell="UA"), {"cells": BY_PEOPLE, "map": "predicted"}
    )
    after = Measured(rows([1, 1, 1], [0.3, 0.4, 0.5]), {"cells": "nothing", "map": "predicted"})
    found = compare(before, after)
    assert found.moves is None
    assert found.as_dict()["moves"] is None
    assert found.cells["UA"]["iou"].change.difference.estimate == pytest.approx(0.2)
    assert found.cells["UA"]["accuracy"].count == 3
    with pytest.raises(AlignmentError, match=r"cells: 'nothing' before, .* after"):
        compare(after, before)
    elsewhere = replace(after, settings={"cells": "nothing", "map": "true"})
    with pytest.raises(AlignmentError, match=r"two ways \(map: 'predicted' before, 'true' after\)"):
        compare(before, elsewhere)


def test_what_cannot_be_paired_is_told():
    before = Measured(rows([1, 1]), {"threshold": 0.5})
    with pytest.raises(AlignmentError, match=r"threshold: 0\.5 before, 0\.75 after"):
        compare(before, replace(before, settings={"threshold": 0.75}))
    with pytest.raises(AlignmentError, match=r"1 items are in one measurement only \(001\)"):
        compare(before, replace(before, rows=before.rows[:1]))
    other = (replace(before.rows[0], truth="dog"), before.rows[1])
    with pytest.raises(AlignmentError, match="'000' is 'cat' in group '' before and 'dog'"):
        compare(before, replace(before, rows=other))


# --- over seeds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622)]
)
def test_quantiles_of_the_printed_table(freedom, quantile):
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-5)


def test_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in range(1, 40):
        assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)
        beyond = 2 * stats.t.sf(1.3, freedom)
        assert 1 - student_within(-1.3, freedom) == pytest.approx(beyond, abs=1e-12)
    a, b = np.random.default_rng(1).normal(size=(2, 5))
    found, expected = paired_over_seeds(a, b), stats.ttest_rel(a, b)
    low, high = expected.confidence_interval()
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.difference.low == pytest.approx(low, abs=1e-9)
    assert found.difference.high == pytest.approx(high, abs=1e-9)


def test_the_interval_holds_what_it_promises():
    generator = np.random.default_rng(0)
    held = 0
    for values in generator.normal(3.0, 2.0, size=(2000, 5)):
        found = student_interval(values)
        held += found.low <= 3.0 <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)  # three standard errors


def test_seeds_that_all_differ_by_the_same():
    assert paired_over_seeds([1.0, 2.0], [0.5, 1.5]).p_value == 0.0
    assert paired_over_seeds([1.0, 2.0], [1.0, 2.0]).p_value == 1.0


def test_over_seeds_by_hand():
    runs = []
    for gain in (1, 2, 3):
        before = Measured(rows([0] * 5 + [1] * 5, [0.2] * 10, group="g"), {})
        after = Measured(rows([1] * gain + [0] * (5 - gain) + [1] * 5, [0.3] * 10, group="g"), {})
        runs.append((before, after))
    found = over_seeds(runs)
    accuracy = found.rows["accuracy"]
    assert accuracy.values == pytest.approx((0.1, 0.2, 0.3))
    assert accuracy.change.difference.estimate == pytest.approx(0.2)
    half = 4.302653 * 0.1 / 3**0.5
    assert accuracy.change.difference.high == pytest.approx(0.2 + half, abs=1e-6)
    assert accuracy.before.low == accuracy.before.high == 0.5
    assert found.rows["worst group"].values == pytest.approx((0.1, 0.2, 0.3))
    assert found.rows["iou"].values == pytest.approx((0.1, 0.1, 0.1))
    assert "| accuracy | 0.5000 [0.5000, 0.5000] | 0.7000" in found.markdown()
    assert "| 3 of 3 |" in found.markdown()
    assert json.loads(json.dumps(found.as_dict()))["seeds"] == 3


def test_a_seed_whose_maps_are_all_blank_is_named():
    full = Measured(rows([1, 1], [0.2, 0.4]), {})
    blank = Measured(rows([1, 1]), {})
    found = over_seeds([(full, full), (full, full), (full, blank)])
    assert len(found.rows["iou"].values) == 2
    assert found.rows["iou"].left_out == 1
    assert found.rows["accuracy"].left_out == 0


def test_one_seed_is_told():
    one = Measured(rows([1]), {})
    with pytest.raises(AlignmentError, match="1 seeds; how seeds differ needs at least 2"):
        over_seeds([(one, one)])
    with pytest.raises(AlignmentError, match="needs 2 finite numbers"):
        student_interval([0.5])
    with pytest.raises(AlignmentError, match="cannot pair 2 with 1 seeds"):
        paired_over_seeds([1.0, 2.0], [1.0])
