"""Targets: which scalar is asked about, and on which scale."""

from __future__ import annotations

import pytest
import torch

from sightline import ClassScore, GameError
from sightline.sketch.sketch import Sketch
from toys import LABELS, unchecked

RAILS = Sketch.from_strokes([[(0, 0), (8, 0)], [(0, 8), (8, 8)]])

LOGITS = torch.tensor([[0.0, 2.0, 1.0, -1.0], [3.0, 0.0, 0.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("gamma", ("gamma",)),
        (2, ("gamma",)),
        (["delta", "alpha"], ("delta", "alpha")),
        (("delta", 0), ("delta", "alpha")),
        (None, ("beta",)),  # the largest of row 0, everything there
    ],
)
def test_labels_become_columns_in_the_order_asked(asked, names):
    bound = ClassScore(asked).bind(None, LABELS, LOGITS, RAILS)
    assert bound.names == names
    columns = [LABELS.index(name) for name in names]
    assert bound.classes == tuple(columns)
    assert torch.equal(bound.read(LOGITS), LOGITS[:, columns])


def test_without_labels_classes_are_numbered():
    bound = ClassScore([3, 0]).bind(None, (), LOGITS, RAILS)
    assert bound.names == ("3", "0")


def test_scales_by_hand():
    two = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64).log1p()  # odds 1:1 and 2:1
    expected = {
        "logit": two[:, :1],
        "probability": torch.tensor([[1 / 2], [2 / 3]], dtype=torch.float64),
    }
    expected["log-probability"] = expected["probability"].log()
    for scale, values in expected.items():
        bound = ClassScore(0, scale=scale).bind(None, (), two, RAILS)
        assert bound.unit == scale
        torch.testing.assert_close(bound.read(two), values)


def test_probabilities_of_all_classes_sum_to_one():
    read = ClassScore([0, 1, 2, 3], scale="probability").bind(None, (), LOGITS, RAILS).read
    torch.testing.assert_close(read(LOGITS).sum(1), torch.ones(2, dtype=torch.float64))


def test_large_logits_do_not_overflow():
    huge = torch.tensor([[1000.0, -1000.0]])
    for scale in ("probability", "log-probability"):
        assert (
            ClassScore([0, 1], scale=scale).bind(None, (), huge, RAILS).read(huge).isfinite().all()
        )


def test_an_unknown_scale_names_the_known():
    with (
        unchecked(),
        pytest.raises(GameError, match=r"'logits'; did you mean 'logit'\? .* probability"),
    ):
        ClassScore("cat", scale="logits")


@pytest.mark.parametrize("labels", [[], (), ""])
def test_no_target_is_a_mistake(labels):
    with pytest.raises(GameError, match="no target: name at least one label, or None"):
        ClassScore(labels)


@pytest.mark.parametrize("wrong", [1.5, [1.5], [None], torch.tensor(1)])
def test_what_is_neither_label_nor_index_is_named(wrong):
    with unchecked(), pytest.raises(GameError, match="is neither a label nor an index"):
        ClassScore(wrong).bind(None, LABELS, LOGITS, RAILS)
