"""Small changes of a drawing that change the answer."""

from __future__ import annotations

from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.attack_pictures import attack_figure, series_figure
from sightline.tasks.attack.change import Change, change_between
from sightline.tasks.attack.move_attack import attack_points, move_by_luck
from sightline.tasks.attack.page import write_attack_page
from sightline.tasks.attack.point_moves import Moves, move_points, moved_points, moves_by_luck
from sightline.tasks.attack.stroke_insertion import insert_stroke
from sightline.tasks.attack.stroke_removal import remove_small_stroke

__all__ = [
    "Attack",
    "Change",
    "Moves",
    "attack_figure",
    "attack_points",
    "change_between",
    "insert_stroke",
    "move_by_luck",
    "move_points",
    "moved_points",
    "moves_by_luck",
    "remove_small_stroke",
    "series_figure",
    "write_attack_page",
]
