"""The study of generation: 1 where the truth is painted, chance where it is not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from sightline.benchmark.generation import benchmark_generation
from sightline.benchmark.generation_findings import (
    AREA,
    EVEN,
    FORWARD,
    GEOMETRY,
    MEASURES,
    NEAREST,
    RANDOM,
    GenerationSettings,
)
from sightline.cli.benchmark_generation import generation
from sightline.errors import TaskError
from sightline.image.photo import Photo
from sightline.models.load_generator import save_generator
from sightline.models.small_generator import small_generator
from sightline.scenes.pairs import TEST, Pair
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.stroke_maps import METHODS
from tasks.generation.painters import painter, totem


def pair(seed: int) -> Pair:
    """The totem, every third with so many strokes that it is passed over."""
    sketch, masks = totem()
    if seed % 3 == 2:
        strokes = [*sketch.strokes, *sketch.strokes, *sketch.strokes]
        sketch = Sketch(tuple(strokes), parts=(sketch.parts or ()) * 3, name="crowd")
    return Pair("totem", "totem", Photo(np.zeros((32, 32, 3), np.uint8)), sketch, masks)


SETTINGS = GenerationSettings(drawings=4, first=0)


@pytest.fixture(scope="module")
def study():
    return benchmark_generation(painter(*totem()), SETTINGS, pair=pair)


def test_all_methods_are_right_about_a_perfect_painter(study):
    for measure in ("pointing", "precision", "caused"):
        assert set(study.values[measure]) == {*FORWARD, RANDOM, GEOMETRY}
        for method in (*FORWARD, GEOMETRY):
            assert study.interval(measure, method).estimate == 1
        assert study.interval(measure, RANDOM).estimate < 1
    for method in METHODS:
        assert study.interval("own share", method).estimate == pytest.approx(1)
        assert study.interval("pixels", method).estimate == 1
        assert study.interval("agreement", "sla").estimate > 0.99
    assert study.interval("own share", EVEN).estimate < 0.6
    assert study.interval("own share", AREA).estimate < 0.3
    assert 0.9 < study.interval("pixels", NEAREST).estimate <= 1


def test_what_was_measured_is_told(study):
    assert set(study.values["agreement"]) == {*FORWARD, RANDOM, GEOMETRY} - {"shapley"}
    assert study.passed_over == {"of more than 10 strokes": 1}
    assert (study.regions, study.caused, study.strokes) == (12, 12, 16)
    assert all(len(v) == 4 for m in study.values.values() for v in m.values())
    text = study.markdown()
    assert "4 drawings of at most 10 strokes" in text
    assert "| method | pointing | over random | over ink inside |" in text
    assert "1 of more than 10 strokes" in text
    told = json.loads(json.dumps(study.as_dict()))
    assert told["values"]["pointing"]["sla"] == {"mean": 1, "low": 1, "high": 1}
    gain = study.against("pointing", "sla", RANDOM).difference
    assert gain.estimate == pytest.approx(1 - study.interval("pointing", RANDOM).estimate)


def test_a_killed_study_goes_on_to_the_same_numbers(study, tmp_path):
    class Stop(Exception):
        pass

    def after_two(done: int, _total: int) -> None:
        if done == 2:
            raise Stop

    given = painter(*totem()), SETTINGS
    with pytest.raises(Stop):
        benchmark_generation(*given, out=tmp_path, pair=pair, progress=after_two)
    file = tmp_path / "generation.jsonl"
    file.write_bytes(file.read_bytes() + b'{"seed": 2, "val')
    asked = []
    again = benchmark_generation(
        *given, out=tmp_path, pair=lambda seed: asked.append(seed) or pair(seed)
    )
    assert asked == [2, 3, 4]
    told = [found.as_dict() | {"seconds": {}} for found in (again, study)]
    assert told[0] == told[1]
    more = replace(SETTINGS, drawings=5)  # more may be added later
    assert (
        len(
            benchmark_generation(painter(*totem()), more, out=tmp_path, pair=pair).values["pixels"][
                "sla"
            ]
        )
        == 5
    )
    with pytest.raises(
        TaskError, match=r"generation\.jsonl is of another study: seed was 0 and is 1"
    ):
        benchmark_generation(given[0], replace(SETTINGS, seed=1), out=tmp_path, pair=pair)


def test_a_painter_of_the_wrong_parts_loses_to_geometry(study):
    wrong = painter(*totem(), {"head": "belly", "belly": "feet", "feet": "head"})
    found = benchmark_generation(wrong, SETTINGS, pair=pair)
    for method in FORWARD:
        assert found.interval("pointing", method).estimate == 0
        assert found.interval("agreement", GEOMETRY).estimate < 0
    assert found.interval("pointing", GEOMETRY).estimate == 1
    assert (found.regions, found.caused) == (12, 0)
    assert "caused" not in found.values
    rows = found.rows("pointing")
    assert rows[0][0] == GEOMETRY
    assert rows[-1][3] == "−1.000 [−1.000, −1.000]"


def test_drawings_without_a_region_of_a_kind_do_not_count(study):
    some = {m: v.copy() for m, v in study.values["caused"].items()}
    some[RANDOM][:3] = (0.5, 0.25, np.nan)
    for values in some.values():
        values[2] = np.nan
    found = replace(study, values={"caused": some})
    assert found.interval("caused", RANDOM).estimate == pytest.approx(
        (0.75 + study.values["caused"][RANDOM][3]) / 3
    )
    assert found.interval("caused", "sla").estimate == 1
    assert found.against("caused", "sla", RANDOM).difference.estimate > 0


def test_many_strokes_go_without_exact_values():
    settings = GenerationSettings(drawings=3, first=0, most_strokes=12)
    found = benchmark_generation(painter(*totem()), settings, pair=pair)
    assert found.passed_over == {}
    assert "shapley" not in found.values["pointing"]
    assert "agreement" not in found.values
    assert "shapley" not in found.values["pixels"]


def test_mistakes_are_told():
    with pytest.raises(TaskError, match="did you mean 'occlusion'"):
        GenerationSettings(forward=("oclusion",))
    with pytest.raises(TaskError, match="at least 2"):
        GenerationSettings(drawings=1)
    blind = painter(*totem())
    blind.raster.module.fills.zero_()
    few = GenerationSettings(drawings=2, first=0)
    with pytest.raises(TaskError, match="of 41 drawings only 0 could be asked about"):
        benchmark_generation(blind, few, pair=pair)


def test_the_command_writes_its_tables(tmp_path):
    # an untrained net, so that only the way through is tested; loud, so that every part shows
    loud = small_generator(width=4)
    loud.raster.module.head.weight.data *= 50
    save_generator(loud, tmp_path / "net")
    told = ["--model", str(tmp_path / "net"), "--drawings", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(generation, [*told, "--most-strokes", "6"])
    assert done.exit_code == 0, done.output
    assert "2 drawings of at most 6 strokes" in done.output
    assert (tmp_path / "out" / "generation.md").read_text().strip() == done.output.strip()
    assert json.loads((tmp_path / "out" / "generation.json").read_text())["drawings"] == 2
    again = CliRunner().invoke(generation, [*told, "--most-strokes", "6", "--json"])
    assert json.loads(again.output)["values"].keys() <= MEASURES.keys()
    kept = (tmp_path / "out" / "generation.jsonl").read_text().splitlines()
    assert json.loads(kept[1])["seed"] == TEST
