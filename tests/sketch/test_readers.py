"""Processes that read, the thread that writes, and what is left of them when something dies."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from generated import lines, records
from sightline.errors import DrawingError, SightlineError
from sightline.sketch import blocks, importing, readers
from sightline.sketch.blocks import blocks_of
from sightline.sketch.importing import import_drawings
from sightline.sketch.writing import Writer


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Five blocks, a bad line in the third."""
    told = lines(records(16_000)).splitlines(keepends=True)
    told[9_000] = b"oh\n"
    path = tmp_path_factory.mktemp("source") / "a.ndjson"
    path.write_bytes(b"".join(told))
    return path


@pytest.fixture(scope="module")
def whole(path, tmp_path_factory) -> dict[str, bytes]:
    """The folder of an import that nothing disturbed, by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    import_drawings([path], out, shard=2_000, processes=0)
    return contents(out)


@pytest.fixture
def started(monkeypatch) -> list[subprocess.Popen]:
    """The readers that were started."""
    found, start = [], subprocess.Popen

    def starting(*given, **options):
        found.append(start(*given, **options))
        return found[-1]

    monkeypatch.setattr(readers.subprocess, "Popen", starting)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


# --- processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_processes_makes_the_same_bytes(path, whole, tmp_path, started, count):
    import_drawings([path], tmp_path / "out", shard=2_000, processes=count)
    assert contents(tmp_path / "out") == whole
    assert [process.returncode for process in started] == [-signal.SIGKILL] * count


def test_small_sources_are_read_without_them(path, tmp_path, started, monkeypatch):
    monkeypatch.setattr(importing, "SMALL", path.stat().st_size + 1)
    import_drawings([path], tmp_path / "small")
    assert started == []
    monkeypatch.setattr(importing, "SMALL", path.stat().st_size)
    import_drawings([path], tmp_path / "large")
    assert len(started) == min(4, os.cpu_count())


def test_a_bad_line_is_told_by_a_reader(path, tmp_path, started):
    with pytest.raises(DrawingError, match=r"a.ndjson line 9001 is not JSON: b'oh"):
        import_drawings([path], tmp_path / "out", raise_bad=True, processes=2)
    assert all(process.returncode is not None for process in started)
    assert len(started) == 2


@pytest.mark.parametrize("died", [0, 3])
def test_a_reader_that_is_killed_stops_the_import_which_can_go_on(path, tmp_path, started, died):
    """Killed with work to do, whichever block it then has."""
    out, told = tmp_path / "out", 0

    def kill(drawings: int, share: float) -> None:
        nonlocal told
        told += 1
        if told > died:
            started[0].kill()

    before = threads()
    long = tmp_path / "long.ndjson"
    long.write_bytes(path.read_bytes() * 3)
    with pytest.raises(
        SightlineError, match=r"read long.ndjson from line \d+ on ended \(code -9\); give the same"
    ):
        import_drawings([long], out, shard=2_000, processes=1, progress=kill)
    assert threads() == before
    assert all(process.returncode is not None for process in started)
    import_drawings([long], out, shard=2_000, processes=2)
    import_drawings([long], tmp_path / "undisturbed", shard=2_000, processes=0)
    assert contents(out) == contents(tmp_path / "undisturbed")


KILLED = """
import os, signal, sys
import sightline.sketch.readers as readers
from sightline.sketch.importing import import_drawings

start = readers.subprocess.Popen

def starting(*given, **options):
    process = start(*given, **options)
    print(process.pid, flush=True)
    return process

readers.subprocess.Popen = starting
import_drawings([sys.argv[1]], sys.argv[2], shard=2_000, processes=3,
                progress=lambda *told: os.kill(os.getpid(), signal.SIGKILL))
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")
def test_no_reader_outlives_a_program_that_is_killed(path, whole, tmp_path):
    out = tmp_path / "out"
    given = [sys.executable, "-c", KILLED, str(path), str(out)]
    done = subprocess.run(given, check=False, stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    pids = [int(line) for line in done.stdout.split()]
    assert len(pids) == 3
    end = time.monotonic() + 20
    while any(map(running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(running, pids))
    import_drawings([path], out, shard=2_000, processes=2)
    assert contents(out) == whole


def test_a_reader_loads_neither_torch_nor_arrow():
    asked = "import sys, sightline.sketch.readers; print({'torch', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_a_file_that_becomes_shorter_is_told(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(lines(records(3)))
    (block,) = blocks_of(path, 0, 0)
    path.write_bytes(lines(records(2)))
    with pytest.raises(DrawingError, match=r"a.ndjson became shorter while it was read"):
        block.read()


# --- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_blocks_are_whole_lines_and_the_same_from_any_of_them_on(tmp_path, monkeypatch, end):
    monkeypatch.setattr(blocks, "BLOCK", 100)
    sizes = [3, 99, 100, 1, 0, 250, 99, 98, 20, 20, 20, 20, 20, 40]
    text = b"\n".join(b"x" * size for size in sizes) + end
    (tmp_path / "a.ndjson").write_bytes(text)
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(text))
    plain = list(blocks_of(tmp_path / "a.ndjson", 0, 0))
    zipped = list(blocks_of(tmp_path / "a.ndjson.gz", 0, 0))
    assert b"".join(block.read() for block in plain) == text
    assert [block.read() for block in plain] == [block.read() for block in zipped]
    for block in plain:
        assert block.line == text[: block.start].count(b"\n")
        assert len(block.read()) <= 100 or block.read().count(b"\n") == 1
    for found, name in ((plain, "a.ndjson"), (zipped, "a.ndjson.gz")):
        for index, block in enumerate(found):
            rest = list(blocks_of(tmp_path / name, block.start, block.line))
            assert [b.read() for b in rest] == [b.read() for b in found[index:]]
            assert [b.line for b in rest] == [b.line for b in found[index:]]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_line_without_end_is_told(tmp_path, monkeypatch, zipped):
    monkeypatch.setattr(blocks, "BLOCK", 100)
    monkeypatch.setattr(blocks, "LONGEST_LINE", 1_000)
    text = b"x\n" + b"y" * 1_001
    (tmp_path / "a").write_bytes(gzip.compress(text) if zipped else text)
    found = blocks_of(tmp_path / "a", 0, 0)
    with pytest.raises(DrawingError, match="a line 2 is longer than 1000 bytes: expected one"):
        list(found)


# --- the writer -----------------------------------------------------------------------------------


def test_the_writer_keeps_the_order_and_stops_at_a_failure():
    go, done = threading.Event(), []

    def fail() -> None:
        go.wait()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Writer(waiting=5) as writer:
        for number in range(3):
            writer.give(lambda number=number: done.append(number))
        writer.give(fail)
        writer.give(lambda: done.append("after a failure"))
        go.set()
        while True:
            writer.give(lambda: done.append("after a failure"))
    assert done == [0, 1, 2]
    assert "writer" not in threads()


def test_the_writer_lets_wait_who_gives_too_much():
    go, given, done = threading.Event(), [], []

    def give_all() -> None:
        with Writer(waiting=2) as writer:
            for number in range(6):
                writer.give(lambda number=number: (go.wait(), done.append(number)))
                given.append(number)

    giver = threading.Thread(target=give_all)
    giver.start()
    time.sleep(0.3)
    assert len(given) == 3  # one under way, two waiting
    go.set()
    giver.join()
    assert done == list(range(6))


def test_what_was_not_begun_is_not_done_after_an_exception():
    go, begun, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait()
        done.append(1)

    with pytest.raises(KeyError), Writer() as writer:
        writer.give(first)
        writer.give(lambda: done.append(2))
        begun.wait()
        threading.Timer(0.2, go.set).start()
        raise KeyError
    assert done == [1]
    assert "writer" not in threads()


def test_a_disk_that_is_full_stops_the_import_which_can_go_on(
    path, whole, tmp_path, monkeypatch, started
):
    out, left, replace = tmp_path / "out", 4, os.replace

    def full(*paths) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        replace(*paths)

    before = threads()
    with monkeypatch.context() as patch:
        patch.setattr("sightline.sketch.files.os.replace", full)
        with pytest.raises(OSError, match="No space left on device"):
            import_drawings([path], out, shard=2_000, processes=2)
    assert threads() == before
    assert all(process.returncode is not None for process in started)
    assert len(list(out.glob("*.arrow"))) == 2
    import_drawings([path], out, shard=2_000, processes=2)
    assert contents(out) == whole
