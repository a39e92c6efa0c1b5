"""Runs: what is kept, what a kill cannot do, what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toy_runs
from sightline.errors import SightlineError
from sightline.runs.progress import Progress
from sightline.runs.rows import Failure
from sightline.runs.run import Run
from sightline.runs.shards import Shard, shard_files
from toy_runs import METHODS, explain, manifest, names, result, work

COUNT = 60


def rows(folder: Path) -> list[dict]:
    """All rows but what depends on the clock."""
    return Run.open(folder).table().drop_columns(["seconds"]).to_pylist()


def photos_in_files(folder: Path) -> list[str]:
    return [photo.name for path in shard_files(folder) for photo in Shard(path).photos]


# --- what is kept ---------------------------------------------------------------------------------


def test_rows_by_hand(tmp_path):
    photos = ["night/1.png", "2.png"]
    boxes = {"night/1.png": 1, "2.png": 0}
    outcome = toy_runs.explain_photos(
        work(photos), lambda item: result(item.name, boxes[item.name]), manifest(photos), tmp_path
    )
    assert (outcome.photos, outcome.explained, outcome.failures) == (2, 2, ())
    opened = Run.open(tmp_path)
    assert (opened.done, len(opened), opened.finished) == (2, 3, True)
    assert list(opened.items()) == [f"night/1.png/0/{method}" for method in METHODS]
    told = opened.table().to_pylist()[0]
    assert told["box"] == [2.0, 3.0, 20.5, 18.25]
    assert (told["label"], told["label_index"], told["candidate"]) == ("apple", 1, 40)
    assert (told["value"], told["base"], told["evaluations"]) == (0.9, 0.05, 100)
    assert told["part_values"][:5] == [0, 1, 2, 3, 0]
    assert set(told["part_lengths"]) == {8}
    assert [name for name, _ in told["measures"]] == ["deletion", "inside"]


def test_what_comes_back_is_what_was_given(tmp_path):
    toy_runs.run(tmp_path)
    told = {photo.name: photo for photo in Run.open(tmp_path).photos()}
    for name in names(20):
        given = result(name)
        if name.endswith("3.png") or not given.explanations:
            assert name not in told
            continue
        back = told[name]
        assert (back.labels == toy_runs.grid()).all()
        assert back.parts_kind == given.parts_kind
        for one, other in zip(given.explanations, back.explanations, strict=True):
            for field, value in vars(one).items():
                there = vars(other)[field]
                same = there == value
                assert same if isinstance(same, bool) else same.all(), field


def test_the_table_does_not_depend_on_the_files(tmp_path):
    for each in (1, 3, 1000):
        toy_runs.run(tmp_path / str(each), photos_a_file=each)
    toy_runs.run(tmp_path / "0 s", photos_a_file=1000, seconds_a_file=0.0)
    one, *others = (rows(tmp_path / folder) for folder in ("1", "3", "1000", "0 s"))
    assert len(one) > 20
    assert all(other == one for other in others)
    counts = {f: len(shard_files(tmp_path / f)) for f in ("1", "3", "1000", "0 s")}
    assert counts == {"1": 18, "3": 7, "1000": 1, "0 s": 18}


# --- failures -------------------------------------------------------------------------------------


def test_a_photo_that_fails_is_recorded_and_the_run_goes_on(tmp_path):
    outcome = toy_runs.run(tmp_path)
    assert (outcome.photos, outcome.explained) == (18, 18)
    broken = [Failure(n, "PhotoError", f"{n} is broken") for n in names(20) if "3." in n]
    assert list(outcome.failures) == broken
    assert Run.open(tmp_path).errors() == broken
    assert Run.open(tmp_path).finished


def test_a_photo_that_is_listed_and_absent_is_named(tmp_path):
    from sightline.image.read import read_photo

    def read(item):
        return result(read_photo(item.photo).name)

    photos = names(3)
    toy_runs.photos_on_disk(tmp_path / "photos", photos[:2])
    told = manifest(photos, tmp_path / "photos")
    there = work(photos, tmp_path / "photos")
    (failure,) = toy_runs.explain_photos(there, read, told, tmp_path / "run").failures
    assert (failure.photo, failure.error) == (photos[2], "PhotoError")
    assert f"{there[2].photo} does not exist" in failure.message
    assert Run.open(tmp_path / "run").done == 2


def test_what_failed_is_tried_again_only_if_asked_to(tmp_path):
    toy_runs.run(tmp_path)
    asked = []

    def mended(item):
        asked.append(item.name)
        return result(item.name, 1)

    again = toy_runs.run(tmp_path, explain_photo=mended)
    assert (asked, again.explained, len(again.failures)) == ([], 0, 2)
    again = toy_runs.run(tmp_path, explain_photo=mended, retry_failed=True)
    assert asked == [f"{3:012d}.png", f"{13:012d}.png"]
    assert (again.photos, again.explained, again.failures) == (20, 2, ())
    opened = Run.open(tmp_path)
    assert opened.errors() == []
    places = opened.table(["photo_index"])["photo_index"].to_pylist()
    assert places == sorted(places)  # in the order of the list, though explained last
    assert {3, 13} <= set(places)


def test_of_two_failures_the_last_one_is_told(tmp_path):
    def worse(item):
        raise MemoryError("no room")

    toy_runs.run(tmp_path, count=4)
    toy_runs.run(tmp_path, count=4, explain_photo=worse, retry_failed=True)
    assert [str(f) for f in Run.open(tmp_path).errors()] == [f"{3:012d}.png: MemoryError: no room"]


def test_a_result_of_another_photo_is_no_result(tmp_path):
    with pytest.raises(SightlineError, match=r"photo 000000000001.png is named 000000000000.png"):
        toy_runs.run(tmp_path, explain_photo=lambda item: result(names(1)[0]))
    assert photos_in_files(tmp_path) == names(1)  # what was done before is kept


# --- progress and memory --------------------------------------------------------------------------


def test_progress_is_told_after_every_photo(tmp_path):
    told: list[Progress] = []
    toy_runs.run(tmp_path, count=6)
    toy_runs.run(tmp_path / "b", count=6, progress=told.append)
    assert [(p.done, p.failed, p.here) for p in told] == [
        (1, 0, 1), (2, 0, 2), (3, 0, 3), (3, 1, 4), (4, 1, 5), (5, 1, 6),
    ]  # fmt: skip
    boxes = sum(len(result(n).explanations) for n in names(6) if "3." not in n) // 3
    assert (told[-1].boxes, told[-1].explanations) == (boxes, 3 * boxes)
    assert told[-1].seconds_left == 0


def test_time_left_by_hand():
    told = Progress(done=30, failed=2, total=100, boxes=9, explanations=27, here=4, seconds=10.0)
    assert told.seconds_a_photo == 2.5
    assert told.seconds_left == 68 * 2.5
    assert str(told) == (
        "32 of 100 photos (2 failed), 9 boxes, 27 explanations, 2.5 s a photo, 0:02:50 left"
    )
    assert Progress(done=0, failed=0, total=5).seconds_left == 0


def test_memory_does_not_grow_with_the_photos(tmp_path):
    marks = {}

    def mark(progress: Progress) -> None:
        if progress.here in (80, 240):
            marks[progress.here] = tracemalloc.get_traced_memory()[0]

    toy_runs.run(tmp_path / "warm", count=16)
    tracemalloc.start()
    try:
        boxes = lambda item: result(item.name, 2)  # noqa: E731
        toy_runs.run(tmp_path / "run", count=240, explain_photo=boxes, progress=mark)
    finally:
        tracemalloc.stop()
    # the rows of 160 photos are 4 MB as Python objects
    assert marks[240] - marks[80] < 100_000


# --- kills ----------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import toy_runs
{before}
toy_runs.run(Path({folder!r}), {count}, toy_runs.slowly, photos_a_file=3)
"""


def start(folder: Path, before: str = "") -> subprocess.Popen:
    tests = str(Path(toy_runs.__file__).parent)
    code = SCRIPT.format(tests=tests, folder=str(folder), count=COUNT, before=before)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


def finish(process: subprocess.Popen) -> int:
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), told.decode()
    return process.returncode


KILL_AT_MOVE = """
import os
moves, move = 0, os.replace
def replace(*paths):
    global moves
    moves += 1
    if moves == {at} and {early}:
        os.kill(os.getpid(), 9)
    move(*paths)
    if moves == {at}:
        os.kill(os.getpid(), 9)
os.replace = replace
"""


@pytest.mark.parametrize("early", [True, False], ids=["before the move", "after it"])
def test_a_kill_at_the_worst_moment(tmp_path, early):
    toy_runs.run(tmp_path / "whole", COUNT)
    for at in (1, 3):  # the manifest; a file of photos
        code = finish(start(tmp_path / "killed", KILL_AT_MOVE.format(at=at, early=early)))
        assert code == -signal.SIGKILL
    left = [p.name for p in (tmp_path / "killed").iterdir() if p.name.startswith(".")]
    assert bool(left) == early
    assert finish(start(tmp_path / "killed")) == 0
    assert not [p for p in (tmp_path / "killed").iterdir() if p.name.startswith(".shard")]
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_kills_at_any_moment(tmp_path):
    toy_runs.run(tmp_path / "whole", COUNT)
    dice, kills = np.random.default_rng(4), 0
    for _ in range(12):
        process = start(tmp_path / "killed", "print('ready', file=sys.stderr, flush=True)")
        assert process.stderr is not None
        assert b"ready" in process.stderr.readline()  # it has its modules; the run begins
        try:
            process.wait(dice.uniform(0.01, 0.12))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        if finish(process) == 0:
            break
        kills += 1
    assert kills >= 3
    assert finish(start(tmp_path / "killed")) == 0
    assert_same(tmp_path / "whole", tmp_path / "killed")


def assert_same(whole: Path, killed: Path) -> None:
    assert rows(killed) == rows(whole)
    assert Run.open(killed).errors() == Run.open(whole).errors()
    assert Run.open(killed).finished
    held = photos_in_files(killed)
    assert len(held) == len(set(held))
    assert sorted(held) == sorted(photos_in_files(whole))


def test_an_interrupt_keeps_what_was_done(tmp_path):
    def interrupted(item):
        if item.name == names(6)[-1]:
            raise KeyboardInterrupt
        return explain(item)

    with pytest.raises(KeyboardInterrupt):
        toy_runs.run(tmp_path, 20, interrupted, photos_a_file=100)
    assert Run.open(tmp_path).done == 4
    assert not Run.open(tmp_path).finished
    assert toy_runs.run(tmp_path).explained == 14


# --- what is refused ------------------------------------------------------------------------------


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    def second(item):
        with pytest.raises(SightlineError, match=rf"written to by process {os.getpid()} on .*end"):
            toy_runs.run(tmp_path)
        return result(item.name)

    assert toy_runs.run(tmp_path, 2, second).explained == 2
    assert toy_runs.run(tmp_path, 2).explained == 0  # free again


def test_the_lock_of_the_dead_is_free(tmp_path):
    held = "toy_runs.slowly = lambda item: (print('in', file=sys.stderr, flush=True), input())"
    tests = str(Path(toy_runs.__file__).parent)
    code = SCRIPT.format(tests=tests, folder=str(tmp_path), count=COUNT, before=held)
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert process.stderr is not None
    assert process.stderr.readline() == b"in\n"
    with pytest.raises(SightlineError, match=f"process {process.pid} on"):
        toy_runs.run(tmp_path, COUNT)
    process.kill()
    process.communicate()
    assert toy_runs.run(tmp_path, COUNT).photos == 54


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"detector": "other"}, 'detector was "toy", now "other"; give the same to go on'),
        ({"fingerprint": "beef"}, 'fingerprint was "f00d", now "beef"'),
        ({"seeds": {"methods": 1}}, "seeds.methods was 0, now 1"),
        ({"settings": {"threshold": 0.3}}, "settings.threshold was null, now 0.3"),
        (
            {"methods": {name: {"budget": 100 + (name == METHODS[1])} for name in METHODS}},
            "methods.x_grad_cam.budget was 100, now 101",
        ),
        ({"annotations": {"path": "a.json", "sha256": "1"}}, "annotations was null, now"),
        ({"versions": {"sightline": "99"}}, r'versions.sightline was "\S+", now "99"'),
    ],
)
def test_other_settings_are_refused(tmp_path, fields, told):
    photos = names(4)
    toy_runs.run(tmp_path, 4)
    with pytest.raises(SightlineError, match=rf"holds a run of other settings: .*{told}"):
        toy_runs.explain_photos(work(photos), explain, manifest(photos, **fields), tmp_path)


def test_other_photos_are_refused(tmp_path):
    toy_runs.run(tmp_path, 4)
    other = ["x.png", *names(4)[1:]]
    told = r"photos were 4, now 4 \(number 0 was 000000000000.png, now x.png\); give"
    with pytest.raises(SightlineError, match=told):
        toy_runs.explain_photos(work(other), explain, manifest(other), tmp_path)
    with pytest.raises(SightlineError, match="photos were 4, now 5; give"):
        toy_runs.run(tmp_path, 5)
    with pytest.raises(SightlineError, match="not those of the manifest, in its order"):
        toy_runs.explain_photos(work(other), explain, manifest(names(4)), tmp_path)


def test_a_changed_photo_is_refused_and_an_absent_one_may_come(tmp_path):
    folder = tmp_path / "photos"
    toy_runs.photos_on_disk(folder, names(2))
    (folder / names(2)[1]).rename(folder / "away")

    def now():
        photos = tuple(toy_runs.PhotoFile.of(folder, name) for name in names(2))
        return replace(manifest(names(2)), photos=photos)

    def go():
        return toy_runs.explain_photos(work(names(2)), explain, now(), tmp_path / "run")

    assert now().photos[1] == toy_runs.PhotoFile(names(2)[1])
    go()
    (folder / "away").rename(folder / names(2)[1])
    go()
    with open(folder / names(2)[0], "ab") as stream:
        stream.write(b"!")
    with pytest.raises(SightlineError, match=r"photos.000000000000.png.bytes was (\d+), now \d+"):
        go()


def test_what_changes_no_number_may_change(tmp_path):
    photos = names(4)
    toy_runs.run(tmp_path, 4)
    other = manifest(
        photos, "elsewhere", environment={"batch": 3}, started="later", sanity=("it was sane",)
    )
    again = toy_runs.explain_photos(work(photos), explain, other, tmp_path)
    assert again.explained == 0


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SightlineError, match=r"holds other files \(thesis.tex\); give a folder"):
        toy_runs.run(tmp_path)
    with pytest.raises(SightlineError, match=r"thesis.tex is a file; give a folder"):
        toy_runs.run(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_file_is_set_aside_and_made_again(tmp_path):
    toy_runs.run(tmp_path / "whole", photos_a_file=4)
    toy_runs.run(tmp_path / "hurt", photos_a_file=4)
    second = shard_files(tmp_path / "hurt")[1]
    second.write_bytes(second.read_bytes()[:-20])
    errors = shard_files(tmp_path / "hurt", "errors")[0]
    errors.write_bytes(b"?")
    with pytest.raises(SightlineError, match=rf"{second.name} is damaged \(.*made the run again"):
        Run.open(tmp_path / "hurt")
    outcome = toy_runs.run(tmp_path / "hurt")
    assert len(outcome.notes) == 2
    assert (
        outcome.notes[0] == f"{second.name} is damaged; it is set aside, its photos are "
        "explained again"
    )
    assert outcome.explained == 4
    assert rows(tmp_path / "hurt") == rows(tmp_path / "whole")
    assert Run.open(tmp_path / "hurt").errors() == Run.open(tmp_path / "whole").errors()


def test_without_pyarrow_the_cure_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SightlineError, match=r"pip install 'sightline\[data\]'"):
        toy_runs.run(tmp_path / "out")
    assert not (tmp_path / "out").exists()
