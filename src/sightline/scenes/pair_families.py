"""Families of objects that people draw; one instance differs from the next in fine details."""

from __future__ import annotations

from collections.abc import Callable

from sightline.scenes.pair_furniture import chair, lamp
from sightline.scenes.pair_shapes import Luck, Part
from sightline.scenes.pair_vessels import bottle, teapot
from sightline.scenes.pair_wear import bag, shoe

FAMILIES_BY_NAME: dict[str, Callable[[Luck], list[Part]]] = {
    "lamp": lamp,
    "chair": chair,
    "teapot": teapot,
    "shoe": shoe,
    "bottle": bottle,
    "bag": bag,
}
"""Each makes one instance's parts from luck, the hindmost first, in units of its own."""
