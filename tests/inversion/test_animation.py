import builtins
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from sightline.errors import SightlineError
from sightline.inversion import animation
from sightline.inversion.animation import animate, check_animation, holds, shown_steps
from sightline.inversion.frames import frames
from sightline.inversion.panels import stroke_colours
from walks import house_walk, stone

# --- frames ---------------------------------------------------------------------------------------


def middle(picture: np.ndarray, colour: str) -> np.ndarray | None:
    """Mean (x, y) in pixels of all that is of a colour, or None."""
    wanted = 255 * np.array(to_rgb(colour))
    rows, columns = (np.abs(picture - wanted).max(2) < 20).nonzero()
    return np.array([columns.mean(), rows.mean()]) if len(rows) else None


def test_the_ground_walks_and_the_roof_stays():
    """A canvas of [-1.04, 1.04] is 350 pixels wide, so 0.8 to the right is 135 pixels."""
    roof, ground = stroke_colours(2)
    first, *_, last = frames([house_walk(far=0.4)], range(5))
    assert middle(last, ground) - middle(first, ground) == pytest.approx([67.3, 0], abs=1)
    assert middle(last, roof) == pytest.approx(middle(first, roof), abs=0.5)


def test_a_frame_is_what_a_whole_drawing_would_be():
    """The trick of drawing only what moves, against drawing everything anew."""
    way = house_walk()
    (alone,) = frames([way], [3])
    *_, after_others = frames([way], [0, 4, 1, 3])
    np.testing.assert_array_equal(alone, after_others)
    assert (alone != next(frames([way], [4]))).any(), "and frames differ"


def test_several_stand_side_by_side_each_as_long_as_it_walks():
    pictures = list(
        frames([house_walk(steps=4, restart=0), house_walk(steps=2, restart=1)], [2, 4])
    )
    before, after = (picture[40:300] for picture in pictures)
    half = before.shape[1] // 2
    assert (before[:, :half] != after[:, :half]).any()
    np.testing.assert_array_equal(before[:, half:], after[:, half:])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
def test_height_and_width_are_even(count):
    (picture,) = frames([house_walk(restart=i) for i in range(count)], [0])
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0


def test_long_labels_do_not_run_into_each_other():
    """The longest of QuickDraw's 345 labels, twice; between panels nothing is written."""
    way = house_walk(labels=("The Great Wall of China", "The Great Wall of China?"))
    (picture,) = frames([way, house_walk(restart=1)], [4])
    between = picture[60:-50, picture.shape[1] // 2 - 2 : picture.shape[1] // 2 + 2]
    assert between.min() == 255
    assert picture[:, :3].min() == picture[:, -3:].min() == 255


# --- time -----------------------------------------------------------------------------------------


def test_the_beginning_is_slow():
    seconds = holds(range(101), 20)
    assert seconds[:5] == [1.0, 0.6, 0.3, 0.2, 0.15]
    assert seconds[12:100] == [0.05] * 88
    assert seconds[-1] == 2.0
    assert sorted(seconds[1:-1], reverse=True) == seconds[1:-1]


def test_slow_films_hold_no_step_for_less_than_a_frame():
    assert holds([0, 1, 2, 3], 1) == [1.0, 1.0, 1.0, 2.0]


def test_long_walks_are_thinned_late():
    assert shown_steps(100) == list(range(101))
    steps = shown_steps(5000)
    assert len(steps) == 240
    assert steps[:60] == list(range(60))
    assert steps[-1] == 5000
    assert sorted(set(steps)) == steps


# --- GIF ------------------------------------------------------------------------------------------


def test_a_gif_holds_every_step_for_its_time(tmp_path):
    animate(house_walk(), tmp_path / "way.gif")
    with Image.open(tmp_path / "way.gif") as film:
        assert film.n_frames == 5
        assert film.info["loop"] == 0
        times = []
        for step, wanted in enumerate(frames([house_walk()], range(5))):
            film.seek(step)
            times.append(film.info["duration"])
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - wanted).mean() < 0.5
            assert np.abs(shown - wanted)[:30, :30].max() == 0, "white is white"
    assert times == [1000, 600, 300, 200, 2000]


def test_the_same_gif_is_the_same_bytes(tmp_path):
    for name in ("a.gif", "b.gif"):
        animate([house_walk(), house_walk(restart=1)], tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    animate([house_walk(), house_walk(restart=1, far=0.41)], tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() != (tmp_path / "b.gif").read_bytes()


def test_progress_counts_frames(tmp_path):
    told = []
    animate(house_walk(), tmp_path / "way.gif", progress=lambda *now: told.append(now))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


# --- video ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9")])
def test_a_video_repeats_frames(tmp_path, suffix, codec):
    """10 frames a second: 1 s, 0.6, 0.3, 0.2 and 2 s are 41 frames."""
    av = pytest.importorskip("av")
    path = tmp_path / f"way{suffix}"
    animate(house_walk(), path, frames_per_second=10)
    with av.open(path) as film:
        stream = film.streams.video[0]
        assert codec in stream.codec_context.name
        assert stream.average_rate == 10
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 41
    wanted = list(frames([house_walk()], range(5)))
    for number, step in [(0, 0), (9, 0), (10, 1), (15, 1), (16, 2), (40, 4)]:
        nearest = [np.abs(pictures[number].astype(int) - other).mean() for other in wanted]
        assert np.argmin(nearest) == step, number


def test_without_pyav_the_message_names_the_extra_and_gif_works(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "av":
            raise ImportError("no av here")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    words = r"\.mp4 needs PyAV: pip install 'sightline\[video\]'; \.gif works without"
    with pytest.raises(SightlineError, match=words):
        animate(house_walk(), tmp_path / "way.mp4")
    animate(house_walk(), tmp_path / "way.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["way.gif"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("way.avi", {}, r"cannot animate 'way.avi': use one of \.gif, \.mp4, \.webm"),
        ("way", {}, r"use one of \.gif"),
        ("way.gif", {"frames_per_second": 0}, "frames_per_second is 0; it must be 1 to 50"),
        ("way.gif", {"frames_per_second": 51}, "is 51; it must be 1 to 50"),
    ],
)
def test_refusals_come_before_any_work(tmp_path, name, settings, words):
    def never(done, total):
        raise AssertionError

    with pytest.raises(SightlineError, match=words):
        animate(house_walk(), tmp_path / name, progress=never, **settings)
    assert not list(tmp_path.iterdir())


def test_too_many_and_none():
    with pytest.raises(SightlineError, match="17 trajectories do not fit side by side"):
        check_animation("way.gif", 17)
    with pytest.raises(SightlineError, match="no trajectory to draw"):
        animate([], "way.gif")


def test_a_film_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = Path(tmp_path / "way.gif")
    path.write_bytes(b"old")

    def torn(ways, steps):
        yield next(frames(ways, steps))
        raise RuntimeError("the film tore")

    monkeypatch.setattr(animation, "frames", torn)
    with pytest.raises(RuntimeError, match="tore"):
        animate(stone(), path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
