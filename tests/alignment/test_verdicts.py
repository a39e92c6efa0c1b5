import json

import pytest

from sightline.alignment.verdicts import Verdict, Verdicts, read_verdicts, write_verdicts
from sightline.errors import AlignmentError


def person(item="duck.jpg", author="ada", **answers):
    given = {"accurate": True, "necessary": True, "nothing_unnecessary": True} | answers
    return Verdict(item, author=author, **given)


def proposed(item="duck.jpg"):
    return Verdict(item, True, False, author="sightline", proposed=True, reason="blank")


@pytest.mark.parametrize(
    ("necessary", "nothing_unnecessary", "accurate", "cell"),
    [
        (True, True, True, "RA"),
        (True, False, True, "UA"),
        (False, True, True, "UA"),
        (False, False, True, "UA"),
        (True, True, False, "RI"),
        (True, False, False, "UI"),
        (False, None, False, "UI"),  # one no settles it
        (None, False, True, "UA"),
    ],
)
def test_the_two_answers_and_the_accuracy_make_the_cell(
    necessary, nothing_unnecessary, accurate, cell
):
    verdict = Verdict("duck.jpg", accurate, necessary, nothing_unnecessary)
    assert verdict.cell == cell
    assert verdict.reasonable is (cell[0] == "R")


def test_a_verdict_said_outright_leaves_the_questions_open():
    verdict = Verdict("duck.jpg", False, outright=True)
    assert (verdict.cell, verdict.necessary, verdict.nothing_unnecessary) == ("RI", None, None)


@pytest.mark.parametrize(
    ("answers", "match"),
    [
        ({}, "does not tell whether the map is reasonable"),
        ({"necessary": True}, "does not tell whether"),
        ({"necessary": True, "nothing_unnecessary": True, "outright": True}, "says outright"),
        ({"outright": True, "rating": 0}, "1 to 5"),
        ({"outright": True, "rating": 6}, "rating of 'duck.jpg' is 6"),
    ],
)
def test_what_does_not_settle_it_once_is_refused(answers, match):
    with pytest.raises(AlignmentError, match=match):
        Verdict("duck.jpg", True, **answers)


def test_a_verdict_needs_an_item():
    with pytest.raises(AlignmentError, match="without an item"):
        Verdict("", True, outright=True)


def test_proposed_verdicts_are_never_mixed_with_a_persons():
    rows = [person(), proposed()]
    with pytest.raises(AlignmentError, match="1 verdicts of people and 1 proposed"):
        Verdicts.from_rows(rows)
    assert Verdicts.of_people(rows).rows == (rows[0],)
    assert Verdicts.proposed(rows).rows == (rows[1],)
    assert Verdicts.proposed(rows).are_proposed
    assert not Verdicts.of_people(rows).are_proposed


def test_one_author_has_one_verdict_on_an_item():
    with pytest.raises(AlignmentError, match=r"ada has 2 verdicts on 'duck\.jpg'"):
        Verdicts.from_rows([person(), person(necessary=False)])


def test_several_authors_have_no_one_cell_until_one_is_chosen_or_they_agree():
    rows = [
        person("a"),
        person("a", "bob", necessary=False),
        person("b"),
        person("b", "bob"),
    ]
    both = Verdicts.from_rows(rows)
    with pytest.raises(AlignmentError, match=r"several authors \(ada, bob\)"):
        _ = both.cells
    assert both.by("bob").cells == {"a": "UA", "b": "RA"}
    agreed = both.agreed()
    assert agreed.cells == {"b": "RA"}
    assert agreed.notes == ("1 of 2 items left out: authors disagree",)
    with pytest.raises(AlignmentError, match="did you mean 'bob'"):
        both.by("bop")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_files_give_back_what_was_written(tmp_path, suffix):
    path = tmp_path / f"verdicts.{suffix}"
    rows = Verdicts.from_rows(
        [
            person('du,ck "1".jpg', rating=4, time="2024-05-01T10:00:00"),
            person("new\nline.jpg", necessary=False, nothing_unnecessary=None),
            Verdict("ö.jpg", False, outright=False),
        ]
    )
    write_verdicts(path, rows)
    assert read_verdicts(path) == rows


def test_a_file_of_both_kinds_wants_to_be_asked_for_one(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_verdicts(one, Verdicts((person(),)))
    write_verdicts(other, Verdicts((proposed(),)))
    path.write_text(one.read_text() + other.read_text())
    with pytest.raises(AlignmentError, match="do not go together"):
        read_verdicts(path)
    assert read_verdicts(path, only="people").rows == (person(),)
    assert read_verdicts(path, only="proposed").rows == (proposed(),)


def test_gradias_file_tells_the_cell_and_no_answers(tmp_path):
    path = tmp_path / "reasonability.json"
    path.write_text(
        json.dumps({"a.jpg": "Unreasonable Accurate", "b.jpg": "Reasonable Inaccurate"})
    )
    read = read_verdicts(path)
    assert read.cells == {"a.jpg": "UA", "b.jpg": "RI"}
    assert {(row.necessary, row.nothing_unnecessary) for row in read} == {(None, None)}
    assert not read.are_proposed
    assert read_verdicts(path, only="people") == read
    assert len(read_verdicts(path, only="proposed")) == 0


@pytest.mark.parametrize("text", ["UA", "Unreasonable Accurate", "unreasonable, accurate"])
def test_a_cell_has_three_spellings(text):
    assert Verdicts.from_cells({"a": text}).cells == {"a": "UA"}


@pytest.mark.parametrize("text", ["AU", "Accurate Unreasonable", "Utterly absurd", ""])
def test_an_unknown_cell_names_the_known_ones(text):
    with pytest.raises(AlignmentError, match=r"unknown cell .* Known: RA, UA, RI, UI \(verdict on"):
        Verdicts.from_cells({"a": text})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("item,accurate\nduck,maybe\n", r"v.csv, line 2: accurate is 'maybe'; say true or false"),
        ("item,accurate\nduck,true\n", r"line 2: the verdict on 'duck' does not tell"),
        ("item\nduck\n", r"line 2 has no 'accurate'; needed: item, accurate; there: item"),
        ("item,accurate,outright\nduck,true\n", r"line 2 has another number of fields"),
        ("item,accurate,outright\nduck,true,no,3\n", r"line 2 has another number of fields"),
        ("item,accurate,outright,rating\nd,yes,no,2.5\n", r"line 2: rating is 2.5"),
        ("item,accurate,outright,rating\nd,yes,no,nan\n", r"line 2: rating is 'nan'"),
        ('item,accurate,outright\nd,yes,"no\n', r"after line 1: unexpected end of data"),
    ],
)
def test_broken_csv_names_its_place(tmp_path, text, match):
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(AlignmentError, match=match):
        read_verdicts(path)


def test_a_file_written_half_names_the_line(tmp_path):
    path = tmp_path / "v.jsonl"
    write_verdicts(path, Verdicts.from_rows([person("a"), person("b")]))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(AlignmentError, match=r"v.jsonl, line 2 is no JSON object.*written half"):
        read_verdicts(path)


@pytest.mark.parametrize("row", ["[1, 2]", "3", '"duck"'])
def test_a_line_must_be_an_object(tmp_path, row):
    path = tmp_path / "v.jsonl"
    path.write_text(row)
    with pytest.raises(AlignmentError, match="line 1 is no JSON object"):
        read_verdicts(path)


def test_a_missing_file_and_another_suffix(tmp_path):
    with pytest.raises(AlignmentError, match="cannot read"):
        read_verdicts(tmp_path / "none.csv")
    with pytest.raises(AlignmentError, match=r"use .jsonl or .csv"):
        read_verdicts(tmp_path / "v.xlsx")
    with pytest.raises(AlignmentError, match=r"use .jsonl or .csv"):
        write_verdicts(tmp_path / "v.txt", Verdicts(()))


def test_people_write_yes_and_no_and_spreadsheets_a_byte_order_mark(tmp_path):
    path = tmp_path / "v.csv"
    text = "item,accurate,necessary,nothing_unnecessary\nd,Yes,1,NO\n"
    path.write_text(text, encoding="utf-8-sig")
    assert read_verdicts(path).cells == {"d": "UA"}


def test_only_is_one_of_two_words(tmp_path):
    path = tmp_path / "v.csv"
    write_verdicts(path, Verdicts((person(),)))
    with pytest.raises(Exception, match="only"):
        read_verdicts(path, only="peopel")
