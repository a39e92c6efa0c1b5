"""The rating study: anonymous, in a stored order, nothing preselected, resumable."""

from __future__ import annotations

import csv
import io
import json
from itertools import product

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sightline.alignment.ratings import Rating, Ratings, read_gradia_study, read_ratings
from sightline.alignment.study import RatingStudy
from sightline.alignment.study_files import append_line, read_lines, read_map
from sightline.alignment.study_summary import summary
from sightline.errors import AlignmentError, SightlineError

ITEMS = ["duck.jpg", "owl.jpg", "cat.jpg", "häschen.jpg"]
MODELS = ["plain-resnet", "gradia-model", "res-model"]
YES = {"necessary": True, "nothing_unnecessary": True, "rating": 5}


@pytest.fixture
def make(tmp_path):
    for i, item in enumerate(ITEMS):
        Image.new("RGB", (8, 6), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
        for j, model in enumerate(MODELS):
            told = PngInfo()
            told.add_text("Software", model)
            picture = Image.new("RGB", (8, 6), (40 * i, 60 * j, 9))
            picture.save(tmp_path / f"{model}-{item}.png", pnginfo=told)

    def made(name="study", **choices):
        choices = {
            "items": ITEMS,
            "models": MODELS,
            "photo": lambda item: tmp_path / f"{ITEMS.index(item)}.png",
            "map_of": lambda item, model: tmp_path / f"{model}-{item}.png",
            "seed": 7,
        } | choices
        return RatingStudy.create(tmp_path / name, **choices)

    return made


def rate_all(study, rater, answers=YES):
    while (sheet := study.next(rater)) is not None:
        for shown in sheet.maps:
            if shown.answer is None:
                study.rate(sheet.id, shown.letter, **answers)


def order(sheet):
    return [shown.file.name for shown in sheet.maps]


# --- what a rater sees ----------------------------------------------------------------------------


def test_a_sheet_tells_no_model_and_has_no_answer(make):
    study = make(task="is it a cat?")
    sheet = study.next("ada")
    assert [shown.letter for shown in sheet.maps] == ["A", "B", "C"]
    assert [shown.answer for shown in sheet.maps] == [None] * 3
    assert not sheet.done
    told = json.dumps([str(sheet), order(sheet)])
    assert not any(model in told for model in MODELS)
    assert (sheet.number, sheet.of) == (1, 4)


def test_files_hold_pixels_and_no_names(make, tmp_path):
    study = make()
    row = next(row for row in study.manifest["items"] if row["item"] == "owl.jpg")
    for of in row["maps"].values():
        path = study.folder / of["file"]
        pixel = Image.open(path).convert("RGB").getpixel((0, 0))
        assert pixel == (40, 60 * of["model"], 9)
        assert not any(model.encode() in path.read_bytes() for model in MODELS)
    source = (tmp_path / f"{MODELS[0]}-owl.jpg.png").read_bytes()
    assert MODELS[0].encode() in source  # and it was there to be left out
    names = [path.stem for path in (study.folder / "pictures").iterdir()]
    assert len(set(names)) == 16
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


def test_the_order_of_writing_tells_nothing(make):
    """Times of files would name the models if these were written in turn."""
    asked = []

    def map_of(item, model):
        asked.append(model)
        return np.eye(2)

    study = make(map_of=map_of)
    turns = [tuple(asked[i : i + 3]) for i in range(0, 12, 3)]
    for row, turn in zip(study.manifest["items"], turns, strict=True):
        assert turn == tuple(MODELS[row["maps"][code]["model"]] for code in sorted(row["maps"]))
    assert len(set(turns)) > 1


def test_one_model_has_another_code_on_every_item(make):
    codes = [set(row["maps"]) for row in make().manifest["items"]]
    assert len(set.union(*codes)) == 12


def test_maps_may_be_numbers(make):
    study = make(map_of=lambda item, model: np.full((3, 4), MODELS.index(model) - 1.5))
    for row, of in ((r, o) for r in study.manifest["items"] for o in r["maps"].values()):
        assert row["item"] in ITEMS
        np.testing.assert_array_equal(read_map(study.folder / of["file"]), of["model"] - 1.5)
    with pytest.raises(AlignmentError, match="1 scores of a map are no number"):
        make("broken", map_of=lambda item, model: np.array([[np.nan, 0.0]]))
    assert not (study.folder.parent / "broken" / "study.json").exists()


# --- orders ---------------------------------------------------------------------------------------


def test_orders_are_the_raters_own_and_stay(make):
    study = make()
    first = study.next("ada")
    again = RatingStudy.open(study.folder).next("ada")
    assert (again.id, order(again)) == (first.id, order(first))
    seen = set()
    for rater in (f"r{i}" for i in range(30)):
        sheet = study.next(rater)
        codes = {
            of["file"].split("/")[1]: of["model"] for of in study._rows[sheet.item]["maps"].values()
        }
        seen.add((sheet.item, tuple(codes[name] for name in order(sheet))))
    assert len({item for item, _ in seen}) == 4
    assert len({models for _, models in seen}) == 6  # every order of three models


def test_the_stored_order_wins_over_the_drawn_one(make):
    study = make()
    sheet = study.next("ada")
    path = next((study.folder / "ratings").iterdir())
    line = json.loads(path.read_text())
    line["order"].reverse()
    path.write_text(json.dumps(line) + "\n")
    assert order(study.next("ada")) == order(sheet)[::-1]
    study.rate(sheet.id, "A", **YES)
    assert study.ratings().rows[0].place == 1


def test_another_seed_is_another_order(make):
    orders = {tuple(make(f"s{seed}", seed=seed)._order("ada")) for seed in range(12)}
    assert len(orders) > 6


def test_every_item_comes_once(make):
    study = make()
    items = []
    while (sheet := study.next("ada")) is not None:
        items.append(sheet.item)
        assert sheet.number == len(items)
        for letter in "ABC":
            study.rate(sheet.id, letter, **YES)
    assert sorted(items) == sorted(ITEMS)
    assert study.progress("ada").sheets == 4


# --- answers --------------------------------------------------------------------------------------


def test_answers_find_their_model(make):
    study = make()
    expected = {}
    while (sheet := study.next("ada")) is not None:
        for shown in sheet.maps:
            pixel = Image.open(shown.file).convert("RGB").getpixel((0, 0))
            model = MODELS[pixel[1] // 60]
            rating = 1 + (ITEMS.index(sheet.item) + pixel[1] // 60) % 5
            answers = {"necessary": rating > 2, "nothing_unnecessary": rating > 3}
            study.rate(sheet.id, shown.letter, rating=rating, **answers)
            expected[sheet.item, model] = (rating, rating > 2, rating > 3, shown.letter)
    rows = study.ratings().rows
    assert len(rows) == 12
    for row in rows:
        told = row.rating, row.necessary, row.nothing_unnecessary, row.letter
        assert told == expected[row.item, row.model]
        assert row.letter == "ABC"[row.place - 1]
        assert row.rater == "ada"
        assert row.time.endswith("Z")


def test_the_last_answer_counts_and_the_first_is_kept(make):
    study = make()
    sheet = study.next("ada")
    study.rate(sheet.id, "B", **YES)
    study.rate(sheet.id, "B", **(YES | {"rating": 2}))
    assert study.sheet(sheet.id).maps[1].answer.rating == 2
    assert [(row.rating, row.corrections) for row in study.ratings()] == [(2, 1)]
    history = study.ratings(history=True)
    assert [(row.rating, row.corrections) for row in history] == [(5, 0), (2, 1)]
    assert study.progress("ada").maps == 1


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (YES | {"necessary": None}, "necessary is None; answer True or False: no default"),
        (YES | {"nothing_unnecessary": 1}, "nothing_unnecessary is 1"),
        (YES | {"rating": None}, "rating is None; give a whole number from 1 to 5"),
        (YES | {"rating": 6}, "rating is 6"),
        (YES | {"rating": 0}, "rating is 0"),
        (YES | {"rating": True}, "rating is True"),
        (YES | {"rating": 3.0}, r"rating is 3\.0"),
    ],
)
def test_every_answer_is_asked_for(make, answers, told):
    study = make()
    sheet = study.next("ada")
    with pytest.raises(AlignmentError, match=told):
        study.rate(sheet.id, "A", **answers)
    assert not study.ratings().rows


def test_no_answer_has_a_default(make):
    study = make()
    sheet = study.next("ada")
    for left_out in YES:
        with pytest.raises(TypeError, match=left_out):
            study.rate(sheet.id, "A", **{k: v for k, v in YES.items() if k != left_out})


def test_wrong_sheets_and_letters_are_told(make):
    study = make()
    sheet = study.next("ada")
    with pytest.raises(AlignmentError, match=r"unknown letter 'D'.*Known: A, B, C"):
        study.rate(sheet.id, "D", **YES)
    with pytest.raises(AlignmentError, match="unknown letter 'AB'"):
        study.rate(sheet.id, "AB", **YES)
    for wrong in ("", "nobody-00001", "../../etc/passwd", sheet.id[:-1] + "9"):
        with pytest.raises(AlignmentError, match="no sheet"):
            study.rate(wrong, "A", **YES)
    with pytest.raises(AlignmentError, match="a rater needs a name"):
        study.next(" ")


def test_a_name_may_be_anything(make):
    study = make()
    for rater in ("../../up", "a/b", "Zoë", "x" * 400):
        rate_all(study, rater)
    assert set(study.raters) == {"../../up", "a/b", "Zoë", "x" * 400}
    assert len(list((study.folder / "ratings").iterdir())) == 4
    assert len(study.ratings()) == 48


# --- kills ----------------------------------------------------------------------------------------


def test_a_kill_at_any_byte_loses_one_line_at_most(make):
    study = make()
    sheet = study.next("ada")
    for letter in "ABC":
        study.rate(sheet.id, letter, **YES)
    path = next((study.folder / "ratings").iterdir())
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole) + 1):
        path.write_bytes(whole[:cut])
        opened = RatingStudy.open(study.folder)
        kept = opened.progress("ada")
        readable = cut >= len(whole) - 1  # only the line end is missing
        assert kept.maps == (3 if readable else 2)
        assert len(kept.notes) == (0 if readable or cut == last else 1)
        again = opened.next("ada")
        if not readable:
            assert again.id == sheet.id
            assert order(again) == order(sheet)
            opened.rate(sheet.id, "C", **YES)
        assert opened.progress("ada").maps == 3
        assert len(opened.ratings()) == 3
    path.write_bytes(whole[: last + 9])
    told = RatingStudy.open(study.folder).ratings().notes
    assert len(told) == 1
    assert "line 4 was written half and is lost" in told[0]


def test_a_kill_while_the_sheet_was_drawn(make):
    study = make()
    sheet = study.next("ada")
    path = next((study.folder / "ratings").iterdir())
    path.write_bytes(path.read_bytes()[:40])
    again = study.next("ada")
    assert (again.id, order(again)) == (sheet.id, order(sheet))
    study.rate(again.id, "A", **YES)
    assert study.progress("ada").maps == 1


def test_lines_that_do_not_fit_are_told(make):
    study = make()
    sheet = study.next("ada")
    path = next((study.folder / "ratings").iterdir())
    drawn = json.loads(path.read_text())
    answer = drawn | {"kind": "answer", "code": drawn["order"][0]} | YES
    for wrong in (
        {"item": "fox.jpg"},
        {"rating": 9},
        {"code": "0"},
        {"sheet": "other-1"},
        {"item": []},
        {"time": None},
    ):
        append_line(path, answer | wrong)
    append_line(path, drawn | {"order": ["x"]})
    path.write_bytes(path.read_bytes() + b"[1]\n\xff\n")
    found = study.progress("ada")
    assert found.maps == 0
    assert len(found.notes) == 9
    assert study.next("ada").id == sheet.id
    append_line(path, answer)
    assert study.progress("ada").maps == 1


def test_lines_are_whole_after_a_torn_one(tmp_path):
    path = tmp_path / "deep" / "x.jsonl"
    append_line(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b'{"b":')
    append_line(path, {"c": 3})
    lines, notes = read_lines(path)
    assert [line for _, line in lines] == [{"a": 1}, {"c": 3}]
    assert notes == ("x.jsonl, line 2 was written half and is lost: b'{\"b\":'",)


# --- making and opening ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"items": []}, "items are none"),
        ({"models": ["a", "a"]}, "models are a, a; give each a name of its own"),
        ({"models": [f"m{i}" for i in range(27)]}, "27 models; a sheet has letters for 26"),
    ],
)
def test_what_cannot_be_a_study_is_told(make, choices, told):
    with pytest.raises(AlignmentError, match=told):
        make(**choices)


def test_a_study_is_not_written_over(make):
    make()
    with pytest.raises(AlignmentError, match="has a study already; open it"):
        make()


def test_a_missing_picture_leaves_no_study(make, tmp_path):
    with pytest.raises(SightlineError, match=r"gone\.png"):
        make(map_of=lambda item, model: tmp_path / "gone.png")
    assert not (tmp_path / "study" / "study.json").exists()
    make()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.pop("models"), "no manifest of a study"),
        (lambda m: m.update(version=2), "study 2; expected sightline rating study 1"),
        (lambda m: m.update(seed="x"), "no manifest of a study"),
        (lambda m: m["items"][0].update(photo="../up.png"), "leaves its folder"),
        (lambda m: m["items"][0]["maps"].popitem(), "has not one map of each model"),
    ],
)
def test_broken_manifests_are_told(make, change, told):
    study = make()
    manifest = json.loads((study.folder / "study.json").read_text())
    change(manifest)
    (study.folder / "study.json").write_text(json.dumps(manifest))
    with pytest.raises(SightlineError, match=told):
        RatingStudy.open(study.folder)


def test_no_study_is_told(tmp_path):
    with pytest.raises(AlignmentError, match=r"study\.json is missing"):
        RatingStudy.open(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(AlignmentError, match="is no JSON"):
        RatingStudy.open(tmp_path)


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_give_the_rows_back(make, tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    study = make()
    rate_all(study, "ada")
    rate_all(study, "Zoë, of Ghent", YES | {"nothing_unnecessary": False, "rating": 2})
    path = tmp_path / f"ratings{suffix}"
    study.ratings().write(path)
    assert read_ratings(path).rows == study.ratings().rows
    assert len(read_ratings(path)) == 24


def test_columns_of_the_table(make, tmp_path):
    study = make()
    rate_all(study, "ada")
    study.ratings().write(tmp_path / "r.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert set(rows[0]) == set(Rating.__dataclass_fields__)
    assert {row["model"] for row in rows} == set(MODELS)


def test_broken_tables_are_told(tmp_path):
    path = tmp_path / "r.csv"
    head = "item,model,rater,letter,place,necessary,nothing_unnecessary,rating\n"
    path.write_text(head + "duck,a,ada,A,1,true,true,7\n")
    with pytest.raises(AlignmentError, match=r"r.csv, line 2: .* is 7 at place 1; 1 to 5"):
        read_ratings(path)
    path.write_text(head + "duck,a,ada,A,1,,true,3\n")
    with pytest.raises(AlignmentError, match=r"r.csv, line 2 has no 'necessary'"):
        read_ratings(path)
    path.write_text(head + "duck,a,ada,A,1.5,true,true,3\n")
    with pytest.raises(AlignmentError, match=r"place is '1\.5'; expected a whole number"):
        read_ratings(path)
    with pytest.raises(AlignmentError, match="no table of records"):
        Ratings(()).write(tmp_path / "r.xlsx")
    (tmp_path / "r.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(AlignmentError, match="cannot read"):
        read_ratings(tmp_path / "r.parquet")


# --- GRADIA's own file ----------------------------------------------------------------------------

HEAD = ",img_idx,a_1,a_2,a_3,a_4,b_1,b_2,b_3,b_4,c_1,c_2,c_3,c_4,rnd_order\n"


def test_gradia_by_hand(tmp_path):
    """Shown: models 4, 2, 1, 3. Its answers are sorted back; its Q2 asks the opposite."""
    path = tmp_path / "results_1.csv"
    path.write_text(
        HEAD
        + '0,demo,True,False,True,True,False,True,True,False,1,2,3,4,"[0, 4, 2, 1, 3]"\n'
        + '1,next.jpg,,,,,,,,,,,,,"[0, 1, 2, 3, 4]"\n'
    )
    found = read_gradia_study(path, rater="ada")
    told = {
        r.model: (r.place, r.letter, r.necessary, r.nothing_unnecessary, r.rating) for r in found
    }
    assert told == {
        "1": (3, "C", True, True, 1),
        "2": (2, "B", False, False, 2),
        "3": (4, "D", True, False, 3),
        "4": (1, "A", True, True, 4),
    }
    assert found.rows[0].rater == "ada"
    assert found.notes == ("results_1.csv: 1 items have no answer and are left out",)


def test_gradia_answers_that_nobody_may_have_given(tmp_path):
    path = tmp_path / "results_2.csv"
    filled = ",".join(["True"] * 8 + ["5.0"] * 4)
    path.write_text(HEAD + f'0,demo,{filled},"[0, 4, 2, 1, 3]"\n')
    found = read_gradia_study(path)
    assert len(found) == 4
    assert not any(row.reasonable for row in found)
    assert found.rows[0].rater == "results_2"
    assert "4 of 4 maps have the answers that GRADIA's page fills in" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "line 2 lacks columns"),
        (HEAD + "0,demo" + ",True" * 8 + ",5" * 4 + ',"[4, 2, 1, 3]"\n', "rnd_order is"),
        (HEAD + "0,demo" + ",True" * 8 + ",9" * 4 + ',"[0, 4, 2, 1, 3]"\n', "is 9 at place"),
        (HEAD + "0,demo" + ",maybe" * 8 + ",5" * 4 + ',"[0, 4, 2, 1, 3]"\n', "b_4 is 'maybe'"),
    ],
)
def test_broken_files_of_gradia_are_told(tmp_path, text, told):
    path = tmp_path / "results.csv"
    path.write_text(text)
    with pytest.raises(AlignmentError, match=told):
        read_gradia_study(path)


def test_no_file_of_gradia_is_told(tmp_path):
    with pytest.raises(AlignmentError, match="cannot read"):
        read_gradia_study(tmp_path / "none.csv")


# --- the summary ----------------------------------------------------------------------------------


def rating(item, model, stars, *, rater="ada", place=1, yes=True):
    return Rating(item, model, rater, "ABC"[place - 1], place, yes, yes, stars)


def test_summary_by_hand():
    rows = []
    for i, item in enumerate("abcd"):
        for rater in ("ada", "bob"):
            rows.append(rating(item, "new", 4 + i % 2, rater=rater, place=1 + i % 2))
            rows.append(rating(item, "old", 3, rater=rater, place=2 - i % 2, yes=i < 1))
    found = summary(rows)
    new, old = found.models
    assert (new.model, new.maps, new.items, new.raters) == ("new", 8, 4, 2)
    assert new.means["rating"].estimate == 4.5
    assert old.means["reasonable"].estimate == 0.25
    assert (new.preferred, old.preferred) == (1.0, 0.0)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.sheets) == ("new", "old", 8)
    assert pair.rating.difference.estimate == 1.5
    assert pair.reasonable.difference.estimate == 0.75
    assert (pair.higher, pair.ties) == (8, 0)
    assert found.agreement["rating"].estimate == 1.0
    assert found.order.by_place == (3.5, 4.0)
    assert "| new | 8 |" in found.markdown()
    assert "| new - old | 8 | 1.5000" in found.markdown()
    assert json.loads(json.dumps(found.as_dict()))["models"][0]["model"] == "new"


def test_intervals_resample_items_not_ratings():
    """Five raters who say the same are one rater."""
    generator = np.random.default_rng(2)
    stars = {item: int(generator.integers(1, 6)) for item in "abcdefgh"}
    one = [rating(item, "m", s) for item, s in stars.items()]
    five = [rating(i, "m", s, rater=str(r)) for i, s in stars.items() for r in range(5)]
    first, second = (summary(rows).models[0].means["rating"] for rows in (one, five))
    assert first == second


def test_pairs_are_of_the_same_sheets():
    rows = [rating("a", "x", 5), rating("b", "x", 4), rating("c", "x", 1), rating("d", "x", 1)]
    rows += [rating("a", "y", 4), rating("b", "y", 2)]
    found = summary(rows)
    (pair,) = found.pairs
    assert pair.sheets == 2
    assert abs(pair.rating.difference.estimate) == 1.5
    assert found.models[0].model == "y"  # by its own mean, 3 against 2.75: the pair says more
    assert "2 of 4 sheets are not complete" in found.notes
    assert summary([*rows[:5], rating("e", "y", 1)]).pairs == ()


def test_ties_share_the_preference():
    rows = [rating(i, m, 3) for i, m in product("ab", "xy")]
    found = summary(rows)
    assert [row.preferred for row in found.models] == [0.5, 0.5]
    assert found.pairs[0].ties == 2
    assert not found.agreement  # one rater agrees with nobody


def test_an_order_effect_is_found_and_none_is_not():
    generator = np.random.default_rng(0)

    def rows(gift):
        for i in range(60):
            for place, model in enumerate(generator.permutation(["x", "y", "z"]), start=1):
                stars = int(generator.integers(1, 4)) + (gift if place == 1 else 0)
                yield rating(f"i{i}", str(model), stars, place=place)

    biased, fair = summary(rows(2)).order, summary(rows(0)).order
    assert biased.p_value < 0.01
    assert biased.by_place[0] > biased.by_place[1] + 1
    assert fair.p_value > 0.05
    assert fair.sheets == 60


def test_the_order_test_is_fair():
    """Of tests where the place means nothing, about one in ten is below 0.1."""
    from sightline.alignment.study_summary import _order_effect

    generator = np.random.default_rng(4)
    values = []
    for _ in range(150):
        sheets = [
            {
                m: rating("i", m, int(generator.integers(1, 6)), place=p)
                for p, m in enumerate("xyz", 1)
            }
            for _ in range(8)
        ]
        values.append(_order_effect(sheets, 0, draws=200).p_value)
    assert 0.03 < np.mean(np.array(values) < 0.1) < 0.18  # three standard errors


def test_what_cannot_be_summed_up_is_told():
    with pytest.raises(AlignmentError, match="no ratings"):
        summary([])
    with pytest.raises(AlignmentError, match="rated 'm' on 'a' twice"):
        summary([rating("a", "m", 1), rating("a", "m", 2)])
    with pytest.raises(AlignmentError, match="ratings of one item only"):
        summary([rating("a", "m", 1)])


def test_a_whole_study_from_first_sheet_to_summary(make):
    study = make()
    rate_all(study, "ada")
    rate_all(study, "bob", YES | {"rating": 4})
    found = summary(study.ratings())
    assert {row.model for row in found.models} == set(MODELS)
    assert all(row.means["rating"].estimate == 4.5 for row in found.models)
    assert found.order.by_place == (4.5, 4.5, 4.5)
    assert found.order.p_value == 1.0
