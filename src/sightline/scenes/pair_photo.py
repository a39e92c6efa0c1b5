"""The photo of an object in parts: each filled, lit and shaded, on a quiet ground."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from sightline.scenes.grounds import clouded
from sightline.scenes.pair_shapes import Luck, Part, Surface
from sightline.scenes.pen import hsv

FINER = 3  # times as many pixels while filling, averaged at the end
SOFT = 0.02  # blur of edges and shadows, in sides of the photo
DEPTH = 0.025  # how far a shadow falls
REACH = 0.09  # of a shadow and its blur
Plane = Float[np.ndarray, "_ _"]
Picture = Float[np.ndarray, "_ _ 3"]
Window = tuple[slice, slice]


def photograph(
    parts: Sequence[Part], size: int, luck: Luck
) -> tuple[UInt8[np.ndarray, "rows columns 3"], dict[str, Bool[np.ndarray, "rows columns"]]]:
    """The pixels, and which of them each part has. Parts in the unit square, the front one last."""
    light = luck.uniform(-0.8, -0.2) * math.pi  # from above
    picture = _ground(luck, size)
    cloud = clouded(luck, (size, size), 16, octaves=2) - np.float32(0.5)
    grain = 1 + np.float32(luck.uniform(0.04, 0.16)) * cloud
    cover = [_coverage(part, size) for part in parts]
    for part, (window, alpha) in zip(parts, cover, strict=True):
        _lay(picture[window], part, alpha, (size, light), grain[window])
    pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    owner = _owners(cover, size)
    return pixels, {part.name: owner == index for index, part in enumerate(parts)}


def _ground(luck: Luck, size: int) -> Picture:
    """A plain wall, a little cloudy, darker towards one side."""
    hue, bright = luck.random(), luck.uniform(0.78, 0.97)
    colour = np.array(hsv(hue, luck.uniform(0.02, 0.16), bright), np.float32) / 255
    y, x = np.indices((size, size), np.float32) / np.float32(size) - np.float32(0.5)
    turn, steep = luck.uniform(0, 2 * math.pi), luck.uniform(0, 0.16)
    slope = np.float32(steep * math.cos(turn)) * x + np.float32(steep * math.sin(turn)) * y
    cloud = clouded(luck, (size, size), 6, octaves=3) - np.float32(0.5)
    return colour * (1 + slope + np.float32(luck.uniform(0.03, 0.1)) * cloud)[..., None]


def _coverage(part: Part, size: int) -> tuple[Window, Plane]:
    """How much of each pixel the part covers, in the window that its shadow reaches."""
    from PIL import Image, ImageDraw

    points = np.concatenate(part.outlines)
    low = np.floor((points.min(0) - REACH) * size).clip(0, size - 2).astype(int)
    high = np.ceil((points.max(0) + REACH) * size).clip(low + 2, size).astype(int)
    width, height = (high - low).tolist()
    sheet = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(sheet)
    for outline in part.outlines:
        draw.polygon(((outline * size - low) * FINER - 0.5).ravel().tolist(), fill=255)
    alpha = np.asarray(sheet.reduce(FINER), np.float32) / 255
    return (slice(low[1], high[1]), slice(low[0], high[0])), alpha


def _lay(picture: Picture, part: Part, alpha: Plane, view: tuple[int, float], grain: Plane) -> None:
    """A part over the picture, after its shadow on what lies behind; size and light in ``view``."""
    size, light = view
    soft = _blurred(alpha, SOFT * size)
    if not part.printed:
        away = [round(-DEPTH * size * way(light)) for way in (math.sin, math.cos)]
        picture *= 1 - np.float32(0.4) * np.roll(soft, away, (0, 1))[..., None]
    bright = _brightness(part.surface, alpha, soft, view) * grain
    colour = np.array(part.colour, np.float32) / 255
    shine = np.maximum(bright - 1, 0)[..., None]  # light beyond the colour's own turns it whiter
    lit = colour * np.minimum(bright, 1)[..., None] * (1 - shine) + shine
    picture += alpha[..., None] * (lit - picture)


def _brightness(surface: Surface, alpha: Plane, soft: Plane, view: tuple[int, float]) -> Plane:
    """Of a part's surface: 1 shows its colour."""
    size, light = view
    if surface == "round":
        across = _across(alpha)
        facing = np.sqrt(1 - across**2)
        gloss = np.exp(-(((across - np.float32(0.75 * math.cos(light))) / np.float32(0.22)) ** 2))
        towards = across * np.float32(0.2 * math.cos(light))
        return np.float32(0.62) + np.float32(0.34) * facing + towards + np.float32(0.16) * gloss
    down, right = np.gradient(soft)
    ahead = (np.float32(-size * way(light)) for way in (math.sin, math.cos))
    slope = down * next(ahead) + right * next(ahead)
    strength, most = (0.035, 0.3) if surface == "soft" else (0.012, 0.12)
    return np.float32(0.94) + np.clip(np.float32(strength) * slope, -most, most)


def _across(alpha: Plane) -> Plane:
    """How far to the right each pixel lies in its row of the part, from -1 to 1."""
    inside = alpha > 0
    column = np.arange(alpha.shape[1], dtype=np.float32)
    left = inside.argmax(1)[:, None]
    right = (alpha.shape[1] - 1 - inside[:, ::-1].argmax(1))[:, None]
    width = np.maximum(right - left, 1).astype(np.float32)
    return np.clip((2 * column - left - right) / width, -1, 1).astype(np.float32)


def _blurred(plane: Plane, radius: float) -> Plane:
    from PIL import Image, ImageFilter

    picture = Image.fromarray((plane * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _owners(cover: Sequence[tuple[Window, Plane]], size: int) -> Int[np.ndarray, "rows columns"]:
    """Number of the part that shows most in each pixel; -1 where parts fill less than half."""
    left = np.ones((size, size), np.float32)
    most = np.zeros((size, size), np.float32)
    owner = np.full((size, size), -1)
    for index in reversed(range(len(cover))):
        window, alpha = cover[index]
        shown = alpha * left[window]
        left[window] -= shown
        more = shown > most[window]
        owner[window][more] = index
        most[window][more] = shown[more]
    return np.where(left <= 0.5, owner, -1)
