import json
import math
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from figures import drawings
from sightline.benchmark.records import Records
from sightline.benchmark.retrieval import (
    RetrievalSettings,
    Studied,
    mass_on,
    share_of,
    study_categories,
    study_pairs,
)
from sightline.benchmark.retrieval_tables import (
    falls,
    on_object,
    order_table,
    orders,
    part_agreement,
    photo_table,
    strokes_table,
    study_text,
)
from sightline.cli.benchmark_retrieval import retrieval
from sightline.errors import TaskError
from sightline.game import Game
from sightline.methods import shapley
from sightline.metrics.agreement import spearman
from sightline.models.encoder import Encoder
from sightline.models.load_encoder import save_encoder
from sightline.models.two_branch import two_branch
from sightline.parts import Strokes, Superpixels
from sightline.scenes.pairs import pair_set
from sightline.targets import Similarity
from sightline.tasks.retrieval.scores import RetrievalScores
from toys import picture_net

SMALL = RetrievalSettings(
    first_seed=100_000,
    gallery=8,
    queries=3,
    photos=2,
    strokes=(3, 7),
    superpixels=9,
    budget=32,
    categories=4,
)


@pytest.fixture(scope="module")
def encoder():
    return two_branch(dimension=4, width=4, seed=0)


@pytest.fixture(scope="module")
def studied(encoder, tmp_path_factory) -> Studied:
    return study_pairs(encoder, tmp_path_factory.mktemp("study"), SMALL)


# --- where scores lie, by hand --------------------------------------------------------------------


def test_mass_is_of_positive_scores_alone():
    share = np.array([1.0, 0.5, 0.0])
    assert mass_on(np.array([2.0, 2.0, 4.0]), share) == pytest.approx(3 / 8)
    assert mass_on(np.array([2.0, 2.0, -4.0]), share) == pytest.approx(3 / 4)
    assert mass_on(np.array([-2.0, 0.0, -4.0]), share) is None


def test_shares_of_masks_that_share_no_pixel_add_up():
    (pair,) = pair_set(1, seed=7)
    cut = Superpixels(pair.photo, 16)
    parts = sum(share_of(cut, mask) for mask in pair.masks.values())
    whole = np.any(list(pair.masks.values()), axis=0)
    np.testing.assert_allclose(parts, share_of(cut, whole), atol=1e-12)
    sizes = np.bincount(cut.numbers.numpy().ravel())
    assert share_of(cut, whole) @ sizes == pytest.approx(whole.sum())


# --- the study ------------------------------------------------------------------------------------


def test_a_record_holds_what_the_methods_say(studied, encoder):
    pairs = {pair.sketch.name: pair for pair in pair_set(8, seed=SMALL.first_seed)}
    assert len(studied.records) == 3
    for record in studied.records:
        pair = pairs[record["name"]]
        assert 3 <= len(pair.sketch) <= 7
        target = Similarity(encoder.encode([pair.photo]))
        why = shapley(Game(encoder, Strokes(pair.sketch), target))
        np.testing.assert_allclose(record["scores"]["shapley"], why.scores[0], atol=1e-6)
        assert sum(record["scores"]["shapley"]) == pytest.approx(
            record["value"] - record["base"], abs=1e-6
        )
        assert record["parts"] == list(pair.sketch.parts)
        starts = {places[0] for places in record["places"].values()}
        ends = {places[-1] for places in record["places"].values()}
        assert (len(starts), len(ends)) == (1, 1)
        assert record["gallery"] == 8
        assert list(record["places"])[-2:] == ["by length", "by order"]
    assert studied.scores.queries == 8
    photo = studied.records[0]["photo"]
    assert set(photo["parts"]) <= set(studied.records[0]["parts"])
    assert "photo" not in studied.records[2]
    pair = pairs[studied.records[0]["name"]]
    np.testing.assert_array_equal(
        photo["pixels"], [pair.masks[name].sum() for name in photo["parts"]]
    )
    assert all(0 <= by["on_object"] <= 1 for by in photo["by"].values())


def test_a_killed_study_goes_on_and_ends_the_same(studied, encoder, tmp_path):
    class Stop(Exception):
        pass

    def after_one(line: str) -> None:
        if "1 of 3" in line:
            raise Stop

    with pytest.raises(Stop):
        study_pairs(encoder, tmp_path, SMALL, tell=after_one)
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(file.read_bytes() + b'{"name": "half')
    told = []
    again = study_pairs(encoder, tmp_path, SMALL, tell=told.append)
    assert told == ["pairs.jsonl: 2 of 3", "pairs.jsonl: 3 of 3"]
    assert again.records == studied.records


def test_another_study_in_the_folder_is_refused(encoder, tmp_path):
    ledger = Records(tmp_path / "pairs.jsonl", {"encoder": "other"})
    ledger.append({"name": "x"})
    assert ledger.read() == [{"name": "x"}]
    with pytest.raises(TaskError, match="is of another study: encoder was 'other' and is"):
        study_pairs(encoder, tmp_path, SMALL)


def test_settings_that_make_no_study_are_refused(encoder, tmp_path):
    for wrong in ({"strokes": (1, 5)}, {"strokes": (5, 13)}, {"gallery": 1}, {"queries": 0}):
        with pytest.raises(TaskError, match="give 2 to 12 strokes"):
            RetrievalSettings(**wrong)
    with pytest.raises(TaskError, match="no query has 2 to 2 strokes"):
        study_pairs(encoder, tmp_path, RetrievalSettings(gallery=3, strokes=(2, 2)))


def test_categories_are_searched_by_drawings(tmp_path):
    encoder = Encoder(sketch=picture_net(), name="net")
    splits = {"train": drawings(30, seed=0), "test": drawings(9, seed=1)}
    settings = RetrievalSettings(queries=4, strokes=(2, 5), categories=4, gallery=2)
    found = study_categories(encoder, splits, tmp_path, settings)
    assert found.scores.gallery == 12
    assert found.scores.queries == 9
    assert {record["label"] for record in found.records} == {"cross"}  # others have one stroke
    assert len(found.records) == 3
    assert all(record["gallery"] == 3 for record in found.records)
    assert (tmp_path / "categories-net.jsonl").exists()
    with pytest.raises(TaskError, match="another study: collection was"):
        study_categories(encoder, splits | {"test": drawings(9, seed=2)}, tmp_path, settings)
    assert "photos" not in study_text(found)


# --- tables ---------------------------------------------------------------------------------------


def record(scores, places, **more):
    return {
        "name": "x",
        "parts": ["lid", "lid", "body", "foot"][: len(scores)],
        "lengths": [4.0, 1.0, 3.0, 2.0][: len(scores)],
        "scores": {"shapley": scores},
        "places": {"shapley": places, "random": places[::-1]},
        "random_places": [[1] * len(places)],
        "gallery": 11,
        **more,
    }


def photo(on_object, of_parts):
    return {
        "parts": ["lid", "body", "foot"],
        "pixels": [9, 20, 4],
        "area": 0.25,
        "by": {"good, mean": {"on_object": on_object, "of_parts": of_parts}},
    }


def of_records(*records) -> Studied:
    scores = RetrievalScores.of([np.array([True])], by="label", gallery=1, unmatched=0)
    return Studied("hand", scores, list(records), RetrievalSettings())


def test_falls_are_read_as_they_were_measured():
    found = falls([record([4.0, 3.0, 2.0, 1.0], [1, 6, 11, 11, 11])])
    (fall,) = found["shapley"]
    assert fall.area == pytest.approx((0.25 + 0.75 + 1 + 1) / 4)
    assert fall.to_lose == 1
    assert fall.random_area == 0
    assert not found["random"][0].first


def test_the_table_of_falls_marks_the_best():
    some = [record([4.0, 3, 2, 1], [1, 6, 11, 11, 11]) for _ in range(8)]
    text = strokes_table(of_records(*some))
    assert "| shapley * | 75.0 [75.0, 75.0] | 75.0 [75.0, 75.0] | 1.00 [1.00, 1.00] |" in text
    assert "| random | 75.0" not in text.replace("| random * |", "")
    assert "over the 8 that stood first" in text


def test_order_is_told_with_length_beside_it():
    studied = of_records(
        record([4.0, 3.0, 2.0, 1.0], [1] * 5), record([1.0, 1.0, 1.0, 1.0], [1] * 5)
    )
    order = orders(studied)["shapley"]
    assert (order.drawings, order.constant, order.counted) == (2, 1, 1)
    text = order_table(studied)
    assert (
        "| shapley | 1.00 [1.00, 1.00] | 100.0 [100.0, 100.0] | 1.00 [1.00, 1.00] | 1, 1 |" in text
    )
    assert re.search(r"Length itself with being early: 0\.\d\d", text)


def test_both_sides_are_compared_part_by_part():
    # strokes: lid 4 + 3, body 2, foot 1
    agrees = record([4.0, 3, 2, 1], [1] * 5, photo=photo(0.75, [0.5, 0.4, 0.1]))
    against = record([4.0, 3, 2, 1], [1] * 5, photo=photo(None, [0.1, 0.4, 0.5]))
    assert part_agreement([agrees, against], "good, mean", spearman) == [1, -1]
    # length of strokes 5, 3, 2 with pixels 9, 20, 4
    assert part_agreement([agrees], None, spearman) == [pytest.approx(0.5)]
    few = record([1.0, 2.0, 3.0], [1] * 4, photo=photo(0.5, [1, 2, 3]) | {"parts": ["lid", "body"]})
    assert part_agreement([few], "good, mean", spearman) == []
    mass, gain = on_object([agrees, against], "good, mean")
    assert mass.estimate == pytest.approx(0.5)  # a blank map counts as its area
    assert gain.difference.estimate == pytest.approx(0.25)
    text = photo_table(of_records(agrees, against))
    assert "2 photos, 64 superpixels, of which the object covers 25.0 [25.0, 25.0] %:" in text
    assert "| good, mean | 50.0 [25.0, 75.0] | 25.0 [0.0, 50.0] | 0.00 [-1.00, 1.00] | –" in text


def test_the_command_writes_the_tables_and_goes_on(encoder, tmp_path, monkeypatch):
    save_encoder(encoder, tmp_path / "encoder")
    given = ["--out", tmp_path / "out", "--encoder", tmp_path / "encoder", "--gallery", 6]
    given += ["--queries", 2, "--photos", 1, "--most-strokes", 6]
    threads = torch.get_num_threads()
    try:
        first, second, numbers = (
            CliRunner().invoke(retrieval, [*map(str, given), *more])
            for more in ([], [], ["--json"])
        )
    finally:
        torch.set_num_threads(threads)
    assert first.exit_code == 0, first.exception
    assert first.stdout == second.stdout
    assert "pairs.jsonl: 1 of" in first.stderr
    assert "pairs.jsonl" not in second.stderr
    text = (tmp_path / "out" / "retrieval.md").read_text()
    assert text == first.stdout.rstrip("\n") + "\n"
    assert "6 queries, 6 items, relevant: the same instance" in text
    found = json.loads(numbers.stdout)
    assert found == json.loads((tmp_path / "out" / "retrieval.json").read_text())
    assert found["pairs"]["scores"]["queries"] == 6
    assert found["pairs"]["drawings"] == 1  # the others have more strokes
    assert [row["method"] for row in found["pairs"]["strokes"]][-1] == "random orders"
    assert 0 <= found["pairs"]["photos"]["sla, mean"]["on_object"]["estimate"] <= 1
    told = json.loads((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()[0])
    assert told["encoder"] == encoder.fingerprint
    assert not math.isnan(told["first_seed"])
