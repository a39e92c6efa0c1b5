"""Location inversion as a moving picture: GIF, MP4 or WebM."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import SightlineError
from sightline.inversion.frames import Picture, frames
from sightline.inversion.panels import PALETTE, several, stroke_colours
from sightline.inversion.trajectory import Trajectory

Progress = Callable[[int, int], None]

SUFFIXES = (".gif", ".mp4", ".webm")
SPEED, FASTEST = 20, 50
"""Frames a second: a GIF counts in hundredths, and viewers slow a frame of one down to ten."""
MOST_AT_ONCE = 16
MOST_FRAMES = 240
OPENING, CLOSING, FIRST = 1.0, 2.0, 0.6
"""Seconds that the start, the end and the first step stand still."""


def animate(
    trajectories: Trajectory | Sequence[Trajectory],
    path: str | os.PathLike[str],
    *,
    frames_per_second: int = SPEED,
    progress: Progress | None = None,
) -> None:
    """Write the walk as a moving picture, several side by side; the suffix chooses the format.

    The drawing moves over itself as drawn, in grey; below stand the answer, the probabilities of
    the target and of the original answer, and the step. The first steps, in which most happens,
    are shown more slowly. The same GIF is the same bytes.

    Args:
        trajectories: one, or up to 16; where one is shorter, its end stands.
        path: ``.gif``; ``.mp4`` or ``.webm`` with ``sightline[video]``.
        frames_per_second: of the later steps, 1 to 50.
        progress: called with frames drawn and frames in all.

    Raises:
        SightlineError: another suffix or speed, nothing or too much to show, or no PyAV for video.
    """
    path, ways = Path(path), several(trajectories)
    check_animation(path, len(ways), frames_per_second)
    suffix = path.suffix.lower()
    steps = shown_steps(max(way.steps for way in ways))
    seconds = holds(steps, frames_per_second)
    pictures = _told(frames(ways, steps), len(steps), progress)
    if suffix == ".gif":
        data = _as_gif(pictures, seconds)
    else:
        data = _as_video(pictures, seconds, suffix, frames_per_second)
    from sightline.sketch.files import replace_file

    with replace_file(path) as stream:
        stream.write(data)


def check_animation(
    path: str | os.PathLike[str], count: int, frames_per_second: int = SPEED
) -> None:
    """Whether ``count`` trajectories can be animated there, before any work is done.

    Raises:
        SightlineError: as in `animate`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SightlineError(f"cannot animate {path.name!r}: use one of {', '.join(SUFFIXES)}")
    if not 1 <= frames_per_second <= FASTEST:
        raise SightlineError(f"frames_per_second is {frames_per_second}; it must be 1 to {FASTEST}")
    if count > MOST_AT_ONCE:
        raise SightlineError(
            f"{count} trajectories do not fit side by side: animate at most {MOST_AT_ONCE}"
        )
    if suffix != ".gif":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise SightlineError(
                f"writing {suffix} needs PyAV: pip install 'sightline[video]'; .gif works without"
            ) from error


def shown_steps(last: int) -> list[int]:
    """The steps that get a frame: all, or of a long walk the first and evenly from the rest.

    Example:
        >>> shown_steps(3), len(shown_steps(10_000))
        ([0, 1, 2, 3], 240)
    """
    if last < MOST_FRAMES:
        return list(range(last + 1))
    early = MOST_FRAMES // 4
    rest = np.linspace(early, last, MOST_FRAMES - early).round().astype(int)
    return [*range(early), *rest.tolist()]


def holds(steps: Sequence[int], frames_per_second: int) -> list[float]:
    """Seconds that each step stands: long at the start and the end, shorter from step to step.

    Example:
        >>> holds([0, 1, 2, 3, 50, 100], 20)
        [1.0, 0.6, 0.3, 0.2, 0.05, 2.0]
    """
    frame = 1 / frames_per_second
    walk = [OPENING if step == 0 else max(frame, FIRST / step) for step in steps]
    return [max(frame, round(second, 2)) for second in [*walk[:-1], CLOSING]]


def _told(pictures: Iterator[Picture], total: int, progress: Progress | None) -> Iterator[Picture]:
    for done, picture in enumerate(pictures, start=1):
        yield picture
        if progress is not None:
            progress(done, total)


# --- files ----------------------------------------------------------------------------------------


def _as_gif(pictures: Iterator[Picture], seconds: Sequence[float]) -> bytes:
    from PIL import Image

    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    flat = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    ]
    buffer = io.BytesIO()
    flat[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=flat[1:],
        duration=[10 * round(100 * second) for second in seconds],
        loop=0,
        optimize=True,  # what stands still is left transparent
    )
    return buffer.getvalue()


def _palette() -> list[int]:
    """Greys, and each stroke colour in some shades towards white: what a frame is made of."""
    from matplotlib.colors import to_rgb

    colours = stroke_colours(2 * len(PALETTE))
    white = np.ones(3)
    shades = [
        white + share * (np.array(to_rgb(colour)) - white)
        for colour in colours
        for share in (1, 0.8, 0.6, 0.4, 0.2)
    ]
    greys = [np.full(3, grey) for grey in np.linspace(0, 1, 18)]
    return (255 * np.array([*greys, *shades])).round().astype(int).ravel().tolist()


_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "18", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4"}),
}


def _as_video(
    pictures: Iterator[Picture], seconds: Sequence[float], suffix: str, rate: int
) -> bytes:
    """A frame stands by being repeated."""
    import av

    codec, options = _CODECS[suffix]
    buffer, time = io.BytesIO(), 0
    first = next(pictures)
    with av.open(buffer, "w", format=suffix[1:]) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        for picture, second in zip(chain([first], pictures), seconds, strict=True):
            for _ in range(round(second * rate)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, rate)
                container.mux(stream.encode(frame))
                time += 1
        container.mux(stream.encode(None))
    return buffer.getvalue()
