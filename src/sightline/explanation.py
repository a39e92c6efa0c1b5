"""An explanation: one signed number per part and target, and how it was made."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sightline.carry import carry, heat
from sightline.errors import GameError, SightlineError
from sightline.image.photo import Photo
from sightline.parts import Absent, GridCells, Parts, Points, Strokes, Superpixels
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch

FORMAT = "sightline explanation 1"
Z95 = 1.96


@dataclass(frozen=True)
class Provenance:
    """How an explanation was made.

    Args:
        method: its name in the registry; settings: what it was given; seed: of its samples.
        model: class of the model; fingerprint: hash of its weights.
        evaluations: rows asked of the model; seconds: wall-clock time.
        versions: of sightline and torch.
        notes: what a reader should know (a completeness gap, an early stop).
    """

    method: str
    model: str
    fingerprint: str
    evaluations: int
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Explanation:
    """What each part did to each target.

    Args:
        scores: signed, in ``unit``, raw: never scaled for display.
        parts: what the columns are.
        targets: what the rows are; unit: of scores, value and base.
        value: of each target with everything there; base: with nothing there.
        made: how.
        errors: standard errors of the scores, where the method samples.
        boxes: where the targets are boxes: xyxy in pixels of the photo.

    Raises:
        SightlineError: shapes that do not fit, or scores that are not finite.
    """

    scores: Float[np.ndarray, "targets parts"]
    parts: Parts
    targets: tuple[str, ...]
    unit: str
    value: Float[np.ndarray, " targets"]
    base: Float[np.ndarray, " targets"]
    made: Provenance
    errors: Float[np.ndarray, "targets parts"] | None = None
    boxes: Float[np.ndarray, "targets 4"] | None = None

    def __post_init__(self) -> None:
        wanted = (len(self.targets), len(self.parts))
        if self.scores.shape != wanted:
            raise SightlineError(
                f"scores have shape {list(self.scores.shape)}; expected {list(wanted)}, one number "
                f"for each target and each of the {self.parts.kind}"
            )
        for name in ("value", "base"):
            if getattr(self, name).shape != wanted[:1]:
                raise SightlineError(
                    f"{name} has shape {list(getattr(self, name).shape)}; expected {[wanted[0]]}, "
                    "one number for each target"
                )
        if self.errors is not None and self.errors.shape != wanted:
            raise SightlineError(
                f"errors have shape {list(self.errors.shape)}; expected {list(wanted)}, as scores"
            )
        if self.boxes is not None and self.boxes.shape != (wanted[0], 4):
            raise SightlineError(
                f"boxes have shape {list(self.boxes.shape)}; expected {[wanted[0], 4]}, left, top, "
                "right and bottom of each target"
            )
        for name, numbers in (("scores", self.scores), ("errors", self.errors)):
            if numbers is not None and not np.isfinite(numbers).all():
                raise SightlineError(f"{self.made.method} gave {name} that are not finite")

    def __repr__(self) -> str:
        targets = ", ".join(self.targets)
        return f"Explanation({self.made.method}: {targets}; {len(self.parts)} {self.parts.kind})"

    def target(self, name: str | int = 0) -> int:
        """Row of a target given by name or index."""
        if isinstance(name, str) and name in self.targets:
            return self.targets.index(name)
        if isinstance(name, int) and 0 <= name < len(self.targets):
            return name
        raise GameError(f"no target {name!r} here; explained: {', '.join(self.targets)}")

    def ranking(self, target: str | int = 0) -> list[int]:
        """Parts from the one that speaks most for the target to the one most against it."""
        return np.argsort(-self.scores[self.target(target)], kind="stable").tolist()

    @property
    def gap(self) -> Float[np.ndarray, " targets"]:
        """What the scores leave over: value - base - their sum; 0 where all is shared out."""
        return self.value - self.base - self.scores.sum(1)

    def blank(self, target: str | int = 0) -> str | None:
        """Why a picture of this would show nothing, or None if it shows something."""
        row = self.scores[self.target(target)]
        if not row.any():
            return "every score is 0: the target does not depend on these parts"
        if (row <= 0).all():
            which = "every score is negative" if row.all() else "no score is positive"
            return f"no evidence for the target: {which} (sum {row.sum():.3g})"
        return None

    def settled(self, target: str | int = 0) -> Bool[np.ndarray, " parts"]:
        """Which scores of a target are not 0 by their error bars (95 %); all, where there are none.

        Source:
            A normal interval a part: of 100 parts without effect about 5 will look settled.
        """
        row = self.target(target)
        if self.errors is None:
            return np.ones(len(self.parts), dtype=bool)
        return np.abs(self.scores[row]) > Z95 * self.errors[row]

    def heat(self, target: str | int = 0) -> Float[np.ndarray, "height width"]:
        """Scores of one target at every pixel of the photo, for looking and for ranking pixels.

        A superpixel's own score; between the centres of grid cells bilinear.

        Raises:
            GameError: parts of a drawing.
        """
        row = self.target(target)
        return heat(self.scores[row : row + 1], self.parts)[0].numpy()

    def on(self, parts: Parts) -> Explanation:
        """The same explanation on other parts of the same drawing or photo.

        Scores add up, and their sum stays. Points to strokes: the points' sum. Strokes to points:
        equally. Strokes to grid cells: as each stroke's ink lies. Grid cells to strokes: each
        cell's score is shared as the strokes' ink in it; what lies in cells without ink is lost,
        and a note says how much. Points and grid cells go by way of the strokes. Grid to grid:
        bilinear to more cells, by overlap to fewer. Superpixels and grid cells of a photo: as
        their pixels lie.

        How cells go to strokes was measured: Grad-CAM shared so agrees better with the strokes'
        exact Shapley values (rank correlation 0.508 on 400 drawings) than its bilinear map read
        under each stroke's ink, the rule of SLA (0.475); see docs/methods.md.

        Raises:
            GameError: parts of a drawing with other strokes or points, or of another photo.
        """
        scores = carry(self.scores, self.parts, parts)
        if _size(parts) == _size(self.parts) and np.array_equal(scores, self.scores):
            return replace(self, parts=parts) if isinstance(parts.subject, Photo) else self
        notes = [f"carried from {_size(self.parts)} to {_size(parts)}"]
        lost = self.scores.sum(1) - scores.sum(1)
        drawn = not isinstance(self.parts.subject, Photo)
        if drawn and isinstance(self.parts, GridCells) and np.abs(lost).max() > self._rounding:
            most = int(np.abs(lost).argmax())
            notes.append(
                f"cells without ink hold {lost[most]:.3g} {self.unit} ({self.targets[most]}), "
                "which nothing gets"
            )
        made = replace(self.made, notes=(*self.made.notes, *notes))
        return replace(self, scores=scores, parts=parts, errors=None, made=made)

    @property
    def _rounding(self) -> float:
        """What sums of scores may differ by, and be the same."""
        return 1e-9 * float(np.abs(self.scores).sum(1).max())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file: the arrays, and a JSON manifest in its header."""
        from safetensors.numpy import save

        arrays = {"scores": self.scores, "value": self.value, "base": self.base}
        optional = {"errors": self.errors, "boxes": self.boxes}
        arrays |= {name: values for name, values in optional.items() if values is not None}
        about, subject = _about(self.parts)
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "parts": self.parts.kind,
            "targets": list(self.targets),
            "unit": self.unit,
            **about,
            "made": asdict(self.made),
        }
        arrays |= subject
        if isinstance(self.parts, GridCells):
            manifest["grid"] = [self.parts.rows, self.parts.columns]
        arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        data = save(arrays, {"manifest": json.dumps(manifest)})
        with replace_file(path) as stream:
            stream.write(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            SightlineError: not such a file, or damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise SightlineError(f"{path} does not exist")
        try:
            with safe_open(path, "numpy") as file:
                manifest = json.loads((file.metadata() or {}).get("manifest", "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
            if manifest.get("format") != FORMAT:
                raise SightlineError(f"{path} is not an explanation of this version ({FORMAT})")
            return cls._from_manifest(manifest, arrays)
        except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, SightlineError):
                raise
            raise SightlineError(f"{path} is no explanation, or damaged: {error}") from None

    @classmethod
    def _from_manifest(cls, manifest: dict[str, Any], arrays: dict[str, Any]) -> Explanation:
        made = manifest["made"] | {"notes": tuple(manifest["made"]["notes"])}
        return cls(
            scores=arrays["scores"],
            parts=_parts(manifest, arrays),
            targets=tuple(manifest["targets"]),
            unit=manifest["unit"],
            value=arrays["value"],
            base=arrays["base"],
            made=Provenance(**made),
            errors=arrays.get("errors"),
            boxes=arrays.get("boxes"),
        )

    def plot(self, path: str | os.PathLike[str], *, target: str | int = 0) -> None:
        """Write a picture: parts coloured by signed score, with a scale in the target's unit.

        The suffix chooses the format: .png, .pdf or .svg.
        """
        from sightline.picture import plot

        plot(self, path, target=self.target(target))

    def _repr_html_(self) -> str:
        from sightline.picture import as_svg

        return as_svg(self)


def _about(parts: Parts) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the parts are of: words for the manifest, and arrays."""
    subject = parts.subject
    if isinstance(subject, Photo):
        arrays = {"pixels": subject.pixels}
        if isinstance(parts, Superpixels):
            arrays["of_pixels"] = parts.numbers.cpu().numpy().astype(np.int32)
        about: dict[str, Any] = {"name": subject.name}
        absent = parts.absent if isinstance(parts, Superpixels | GridCells) else None
        if isinstance(absent, Photo):
            arrays["absent"] = absent.pixels
        else:
            about["absent"] = absent
        return {"photo": about}, arrays
    lengths = np.array([len(s) for s in subject.strokes])
    about = {"label": subject.label, "name": subject.name, "parts": subject.parts}
    return {"sketch": about}, {"points": subject.points, "stroke_lengths": lengths}


def _subject(manifest: dict[str, Any], arrays: dict[str, Any]) -> Sketch | Photo:
    if "photo" in manifest:
        return Photo(arrays["pixels"], manifest["photo"]["name"])
    about = manifest["sketch"]
    return Sketch.from_strokes(
        np.split(arrays["points"], np.cumsum(arrays["stroke_lengths"])[:-1]),
        label=about["label"],
        name=about["name"],
        parts=None if about["parts"] is None else tuple(about["parts"]),
    )


def _parts(manifest: dict[str, Any], arrays: dict[str, Any]) -> Parts:
    subject, kind = _subject(manifest, arrays), manifest["parts"]
    if kind == GridCells.kind:
        rows, columns = manifest["grid"]
        return GridCells(subject, int(rows), int(columns), _absent(manifest, arrays))
    if isinstance(subject, Photo):
        import torch

        numbers = torch.from_numpy(arrays["of_pixels"].astype(np.int64))
        count = len(np.unique(arrays["of_pixels"]))
        return Superpixels(subject, count, _absent(manifest, arrays), numbers)
    kinds: dict[str, type[Strokes] | type[Points]] = {"strokes": Strokes, "points": Points}
    return kinds[kind](subject)


def _absent(manifest: dict[str, Any], arrays: dict[str, Any]) -> Absent:
    """What stood in for absent parts of a photo."""
    if "absent" in arrays:
        return Photo(arrays["absent"])
    return manifest.get("photo", {}).get("absent", "grey")


def _size(parts: Parts) -> str:
    """What kind of parts, and of a grid how many."""
    if isinstance(parts, GridCells):
        return f"{parts.rows} x {parts.columns} {parts.kind}"
    return parts.kind
