"""Everything that changes a number of a run over photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sightline.errors import SightlineError, unknown_name
from sightline.methods import METHODS
from sightline.parts.photo import check_absent
from sightline.targets import SCALES, Scale


@dataclass(frozen=True)
class PhotoSettings:
    """Everything that changes a number of a run.

    Args:
        methods: their names.
        threshold: lowest score of an explained detection.
        most: the best so many boxes a photo; None for all.
        superpixels: how many are asked for.
        absent: what stands in for absent regions.
        grid: rows and columns of the grid on which methods that find places are asked.
        budgets: evaluations of methods that take a budget, by name.
        scale: of the score that is explained; black boxes are asked for the similarity.
        flips: measure deletion and insertion too; they cost 77 evaluations a box and method.
        sanity: photos on which each method is tried on a model of shuffled weights; 0 for none.
        seed: of all luck; each photo's own is made of it and its name.

    Raises:
        SightlineError: an unknown method or scale, or numbers that are none.
    """

    methods: tuple[str, ...] = ("kernel_shap", "x_grad_cam", "grad_cam_pp", "random")
    threshold: float = 0.5
    most: int | None = None
    superpixels: int = 256
    absent: Literal["grey", "mean", "blur"] = "grey"
    grid: int = 38
    budgets: Mapping[str, int] | None = None
    scale: Scale = "probability"
    flips: bool = True
    sanity: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise SightlineError(unknown_name("method", method, METHODS))
        if self.scale not in SCALES:
            raise SightlineError(unknown_name("scale", self.scale, SCALES))
        check_absent(self.absent)
        few = self.superpixels < 2 or self.grid < 1 or (self.most is not None and self.most < 1)
        if not 0 <= self.threshold <= 1 or few:
            raise SightlineError(
                f"threshold {self.threshold}, superpixels {self.superpixels}, grid {self.grid}, "
                f"most {self.most}: expected a score in [0, 1], at least 2 superpixels, 1 row and "
                "1 box"
            )

    def record(self) -> dict[str, Any]:
        """For a manifest."""
        elsewhere = ("methods", "seed", "budgets", "sanity")
        return {k: v for k, v in asdict(self).items() if k not in elsewhere}

    def budget(self, method: str) -> int | None:
        """Of one method; None for its own default."""
        return (self.budgets or {}).get(method)
