"""The grounds that objects lie on: ten textures, each of many colours."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from sightline.scenes.pen import hsv

Luck = np.random.Generator
Size = tuple[int, int]
Plane = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "height width 3"]


def clouded(luck: Luck, size: Size, cells: float, *, octaves: int = 4, fade: float = 0.55) -> Plane:
    """Smooth noise from 0 to 1; ``cells`` bumps from top to bottom in its coarsest layer."""
    from PIL import Image

    height, width = size
    total, weight, sum_of_weights = np.zeros(size, np.float32), 1.0, 0.0
    for octave in range(octaves):
        rows = max(2, round(cells * 2**octave))
        columns = max(2, round(rows * width / height))
        coarse = Image.fromarray(luck.random((rows, columns), np.float32))
        smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
        total += weight * np.asarray(smooth)
        sum_of_weights += weight
        weight *= fade
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, 1e-6)


def _across(luck: Luck, size: Size, angle: float) -> Plane:
    """How far each pixel is along a direction, in heights of the scene, from a random start."""
    y, x = np.indices(size, np.float32) / size[0]
    return x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle)) + luck.random()


def _mix(share: Plane, one: tuple[int, ...], other: tuple[int, ...]) -> Picture:
    a, b = np.array(one, np.float32) / 255, np.array(other, np.float32) / 255
    return a + share[..., None] * (b - a)


def _pair(luck: Luck) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two quiet colours of one family."""
    hue, colourful = luck.random(), luck.uniform(0.08, 0.45)
    bright, apart = luck.uniform(0.35, 0.9), luck.uniform(0.1, 0.28)
    other = bright - apart if bright > 0.6 else bright + apart
    return hsv(hue, colourful, bright), hsv(hue + luck.normal(0, 0.06), colourful, other)


def _edge(wave: Plane, size: Size, period: float) -> Plane:
    """A wave from -1 to 1 as bands whose edges are about a pixel wide."""
    return np.clip(0.5 + wave * period * size[0] / (2 * math.pi), 0, 1)


def _stripes(luck: Luck, size: Size) -> Picture:
    period = luck.uniform(0.06, 0.2)
    phase = _across(luck, size, luck.uniform(0, math.pi)) * (2 * math.pi / period)
    return _mix(_edge(np.sin(phase), size, period), *_pair(luck))


def _checks(luck: Luck, size: Size) -> Picture:
    angle, period = luck.uniform(0, math.pi / 2), luck.uniform(0.12, 0.32)
    along, over = (
        np.sin(_across(luck, size, a) * (2 * math.pi / period))
        for a in (angle, angle + math.pi / 2)
    )
    if luck.random() < 0.4:  # gingham
        share = (_edge(along, size, period) + _edge(over, size, period)) / 2
    else:
        share = _edge(along * over * 1.5, size, period)
    return _mix(share, *_pair(luck))


def _gradient(luck: Luck, size: Size) -> Picture:
    far = _across(luck, size, luck.uniform(0, 2 * math.pi))
    share = (far - far.min()) / np.ptp(far)
    hue = luck.random()
    upper = hsv(hue, luck.uniform(0.1, 0.6), luck.uniform(0.5, 1))
    return _mix(
        share, upper, hsv(hue + luck.normal(0, 0.12), luck.uniform(0.1, 0.5), luck.uniform(0.4, 1))
    )


def _mottled(luck: Luck, size: Size) -> Picture:
    return _mix(clouded(luck, size, luck.uniform(2, 9)), *_pair(luck))


def _wood(luck: Luck, size: Size) -> Picture:
    rows = int(luck.integers(3, 7))
    y, x = np.indices(size, np.float32) / size[0]
    if luck.random() < 0.4:
        x, y = y, x
    plank = np.floor(y * rows)
    warp = clouded(luck, size, 2, octaves=2)
    grain = np.sin((y * 38 + 5 * warp + plank * 17 + 0.7 * x) * luck.uniform(1.5, 2.6))
    hair = clouded(luck, size, 24, octaves=2)
    light = luck.uniform(-0.1, 0.1, 16).astype(np.float32)[plank.astype(int) % 16]
    gap = np.abs((y * rows) % 1 - 0.5) > 0.5 - 0.012 * rows / 4
    share = np.clip(0.45 + 0.16 * grain + 0.3 * (hair - 0.5) + 2 * light, 0, 1)
    hue, bright = luck.uniform(0.055, 0.095), luck.uniform(0.5, 0.95)
    boards = _mix(share, hsv(hue, 0.6, bright * 0.72), hsv(hue, 0.42, bright))
    return np.where(gap[..., None], boards * 0.6, boards)


def _grass(luck: Luck, size: Size) -> Picture:
    from PIL import Image, ImageDraw

    hue, bright = luck.uniform(0.22, 0.34), luck.uniform(0.4, 0.75)
    shade = _mix(clouded(luck, size, 5), hsv(hue, 0.65, bright * 0.75), hsv(hue, 0.6, bright))
    sheet = Image.fromarray((shade * 255).astype(np.uint8))
    draw = ImageDraw.Draw(sheet)
    height, width = size
    starts = luck.random((420, 2)) * (width, height * 1.06)
    tips = starts + luck.normal((0, -0.055), (0.02, 0.015), (420, 2)) * height
    tones = [
        hsv(hue + h, 0.6, bright * v) for h, v in luck.uniform((-0.03, 0.6), (0.03, 1.35), (12, 2))
    ]
    for i, blade in enumerate(np.hstack([starts, tips]).tolist()):
        draw.line(blade, fill=tones[i % 12], width=max(1, height // 150))
    return np.asarray(sheet, np.float32) / 255


def _clouds(luck: Luck, size: Size) -> Picture:
    share = np.clip(1.9 * clouded(luck, size, 2.5) - luck.uniform(0.4, 0.8), 0, 1)
    blue = hsv(luck.uniform(0.54, 0.62), luck.uniform(0.35, 0.7), luck.uniform(0.7, 0.95))
    return _mix(share, blue, (248, 248, 250))


def _sand(luck: Luck, size: Size) -> Picture:
    ripple = np.sin(_across(luck, size, luck.uniform(0, math.pi)) * 55 + 9 * clouded(luck, size, 2))
    grain = luck.random(size, np.float32)
    share = np.clip(0.5 + 0.14 * ripple + 0.5 * (grain - 0.5), 0, 1)
    hue, bright = luck.uniform(0.08, 0.13), luck.uniform(0.7, 0.98)
    return _mix(share, hsv(hue, 0.42, bright * 0.8), hsv(hue, 0.25, bright))


def _water(luck: Luck, size: Size) -> Picture:
    y = np.indices(size, np.float32)[0] / size[0]
    warp = clouded(luck, size, 3, octaves=3)
    crest = np.abs(np.sin(y * 22 + 14 * warp))
    share = np.clip((1 - crest) ** 3 + 0.35 * warp, 0, 1)
    hue, bright = luck.uniform(0.47, 0.6), luck.uniform(0.4, 0.75)
    return _mix(share, hsv(hue, 0.7, bright), hsv(hue, 0.25, min(1, bright + 0.3)))


def _bricks(luck: Luck, size: Size) -> Picture:
    rows = luck.uniform(6, 11)
    y, x = np.indices(size, np.float32) / size[0] * rows
    row = np.floor(y)
    x = x / 2.2 + 0.5 * (row % 2)
    tone = luck.random(97).astype(np.float32)[(row * 31 + np.floor(x) * 17).astype(int) % 97]
    joint = (y % 1 < 0.12) | (x % 1 < 0.055)
    hue, grey = luck.uniform(0.0, 0.1), luck.uniform(0.55, 0.85)
    share = np.clip(0.7 * tone + 0.3 * clouded(luck, size, 30, octaves=1), 0, 1)
    clay = _mix(share, hsv(hue, 0.55, grey * 0.65), hsv(hue, 0.42, grey))
    return np.where(joint[..., None], np.float32(grey), clay)


GROUNDS: dict[str, Callable[[Luck, Size], Picture]] = {
    "mottled": _mottled,
    "stripes": _stripes,
    "checks": _checks,
    "gradient": _gradient,
    "wood": _wood,
    "grass": _grass,
    "clouds": _clouds,
    "sand": _sand,
    "water": _water,
    "bricks": _bricks,
}
