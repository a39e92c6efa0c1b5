"""What is left of maps once a model knows nothing."""

from __future__ import annotations

import pytest

from detectors import BentDetector, BlackBox, confetti, state
from sightline.runs.sanity import _verdict, sanity_of
from sightline.runs.settings import PhotoSettings

PHOTOS = [confetti(seed, (48, 64)) for seed in range(3)]
SETTINGS = PhotoSettings(methods=("random", "hires_cam"), threshold=0.1, superpixels=12)


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        ([0.02, -0.05, 0.04], "passes"),
        ([0.9, 0.8, 1.0], "fails: the maps show more than what the model learnt"),
        ([-0.9, -0.8, -1.0], "fails: the maps show more than what the model learnt"),
        ([0.6, -0.1, 0.3], "not settled by 3 photos: try more"),
        ([1.0], "fails"),
        ([], "no map could be compared"),
    ],
)
def test_a_verdict_needs_its_interval(left, verdict):
    assert verdict in _verdict(left)


def test_numbers_that_ask_no_model_fail_and_the_model_comes_back():
    model = BentDetector()
    before = state(model)
    told = sanity_of(model, PHOTOS, SETTINGS)
    assert [line.split(":")[0] for line in told] == ["sanity of random", "sanity of hires_cam"]
    assert "correlation of 1.00 [1.00, 1.00]" in told[0]
    assert told[0].endswith("fails: the maps show more than what the model learnt")
    assert "fails" not in told[1]
    assert state(model) == before


def test_a_black_box_is_not_asked():
    (told,) = sanity_of(BlackBox(BentDetector()), PHOTOS, SETTINGS)
    assert "not asked of a black box" in told
