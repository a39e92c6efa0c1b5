"""Sketch-photo pairs as an encoder reads them, in memory, and how they are varied in training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sightline.errors import ModelError, TaskError
from sightline.image.augment import PhotoAugmentation
from sightline.image.batch import PictureBatch
from sightline.models.detector import PhotoClassifier
from sightline.models.encoder import Encoder
from sightline.models.protocol import PictureModel, SketchModel
from sightline.models.raster import pictures_of
from sightline.scenes.pairs import Pair
from sightline.sketch.augment import Augmentation
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.pair_drawings import is_strokes, read_ink, read_strokes, told_of
from sightline.tasks.retrieval.pair_folders import PairFolder
from sightline.training.pictures import Pictures

Ink = Float[Tensor, "pairs height width"]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Drawings, each beside the photo that it was made of.

    Args:
        drawings: normalised; or pictures of ink in [0, 1].
        photos: one a drawing, in [0, 1].

    Raises:
        TaskError: not as many of either.

    Example:
        >>> pairs = PairBatch(torch.zeros(3, 8, 8), PictureBatch(torch.zeros(3, 3, 8, 8)))
        >>> len(pairs), len(pairs.select(torch.tensor([2, 0])))
        (3, 2)
    """

    drawings: SketchBatch | Ink
    photos: PictureBatch

    def __post_init__(self) -> None:
        if len(self.drawings) != len(self.photos):
            raise TaskError(
                f"{len(self.drawings)} drawings beside {len(self.photos)} photos; give one photo "
                "a drawing"
            )

    def __len__(self) -> int:
        return len(self.photos)

    def select(self, pairs: Int[Tensor, " chosen"]) -> PairBatch:
        """These pairs, in this order."""
        drawn = self.drawings
        chosen = drawn.select(pairs) if isinstance(drawn, SketchBatch) else drawn[pairs]
        return PairBatch(chosen, self.photos.select(pairs))

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> PairBatch:
        """The same pairs on another device or in another float type."""
        return PairBatch(self.drawings.to(device, dtype), self.photos.to(device, dtype))


@dataclass(frozen=True)
class PairAugmentation:
    """Varies drawings and photos, each in its way, and mirrors both or neither.

    What tells one instance from another is fine: proportions, where a handle sits. So drawings
    are bent less than those of categories are, and a pair is mirrored as one.

    Args:
        drawing: of drawings that have strokes; its own ``flip`` should be 0.
        ink: of drawings that are pictures; likewise.
        photo: of photos; likewise.
        flip: probability that drawing and photo of a pair are mirrored left and right.

    Raises:
        TaskError: a part that mirrors on its own, or a probability outside [0, 1].
    """

    drawing: Augmentation = field(
        default_factory=lambda: Augmentation(
            rotation=0.04,
            stretch=0.03,
            shear=0.02,
            flip=0.0,
            warp=0.02,
            stroke_shift=0.01,
            drop=0.1,
        )
    )
    ink: PhotoAugmentation = field(
        default_factory=lambda: PhotoAugmentation.off(shift=0.03, scale=0.05, rotation=0.05)
    )
    photo: PhotoAugmentation = field(
        default_factory=lambda: PhotoAugmentation(
            flip=0.0, shift=0.03, scale=0.05, rotation=0.04, crop=0.0
        )
    )
    flip: float = 0.5

    def __post_init__(self) -> None:
        alone = [n for n in ("drawing", "ink", "photo") if getattr(self, n).flip]
        if alone:
            raise TaskError(
                f"the augmentation of {', '.join(alone)} mirrors on its own, which tears pairs "
                "apart; set its flip to 0, and the flip of the pair instead"
            )
        if not 0 <= self.flip <= 1:
            raise TaskError(f"flip is {self.flip}; expected a probability, from 0 to 1")

    def __call__(self, batch: PairBatch, generator: torch.Generator) -> PairBatch:
        """A varied copy; the generator alone decides."""
        flipped = torch.rand(len(batch), generator=generator) < self.flip
        drawings = self._drawn(batch.drawings, flipped, generator)
        photos = PictureBatch(_mirrored(batch.photos.pixels, flipped))
        return PairBatch(drawings, self.photo(photos, generator))

    def _drawn(
        self, drawn: SketchBatch | Ink, flipped: Bool[Tensor, " pairs"], generator: torch.Generator
    ) -> SketchBatch | Ink:
        if isinstance(drawn, SketchBatch):
            side = 1 - 2 * flipped[drawn.sketch_of_point].to(drawn.points)
            turned = drawn.points * torch.stack([side, torch.ones_like(side)], 1)
            return self.drawing(drawn.with_points(turned), generator)
        pictures = _mirrored(drawn[:, None], flipped)
        return self.ink.moved(pictures, None, None, generator)[0][:, 0]


@dataclass(frozen=True, eq=False)
class PairExamples:
    """Drawings with the index of their photo, for training and validation.

    Args:
        drawings: prepared for the encoder; or pictures of ink, eight bits a pixel.
        photos: the gallery, eight bits a channel: one an instance, those without a drawing too.
        target: the photo of each drawing.
        names: of the drawings.
        instances: names of the photos.

    Raises:
        TaskError: no drawings, other numbers of targets or names, targets that are no photos.
    """

    drawings: SketchBatch | UInt8[Tensor, "drawings height width"]
    photos: UInt8[Tensor, "photos 3 rows columns"]
    target: Int[Tensor, " drawings"]
    names: tuple[str, ...]
    instances: tuple[str, ...]

    def __post_init__(self) -> None:
        counts = (len(self.drawings), len(self.target), len(self.names))
        if not counts[0] or len(set(counts)) > 1 or len(self.photos) != len(self.instances):
            raise TaskError(
                f"{counts[0]} drawings, {counts[1]} targets and {counts[2]} names, "
                f"{len(self.photos)} photos and {len(self.instances)} instances; expected at "
                "least one drawing, and as many of each as belong together"
            )
        if int(self.target.min()) < 0 or int(self.target.max()) >= len(self.photos):
            raise TaskError(f"a target is none of the {len(self.photos)} photos, from 0")

    @classmethod
    def from_folder(cls, folder: PairFolder, encoder: Encoder) -> PairExamples:
        """Read the files of a folder as an encoder sees them.

        Drawings stay strokes where every file has strokes; else all become pictures of ink.

        Raises:
            TaskError: no drawings, a drawing that cannot be read.
            PhotoError: a photo that cannot be read; either names the file.
            ModelError: a branch is missing, or the one for drawings cannot read pictures.
        """
        if not folder.drawings:
            raise TaskError("no drawings: the split is empty")
        reads, sees = _branches(encoder)
        places = {instance: index for index, instance in enumerate(folder.photos)}
        photos = Pictures.from_files(list(folder.photos.values()), range(len(places)), sees).pixels
        return cls(
            _files_as_drawings([d.drawing for d in folder.drawings], reads),
            photos,
            torch.tensor([places[drawing.instance] for drawing in folder.drawings]),
            tuple(drawing.name for drawing in folder.drawings),
            tuple(places),
        )

    @classmethod
    def from_pairs(cls, pairs: Iterable[Pair], encoder: Encoder) -> PairExamples:
        """Take generated pairs as an encoder sees them; an instance's first photo stands for it.

        Raises:
            TaskError: no pairs.
            ModelError: a branch is missing.
        """
        reads, sees = _branches(encoder)
        places: dict[str, int] = {}
        photos: list[Tensor] = []
        target: list[int] = []
        sketches: list[Sketch] = []
        for pair in pairs:
            if pair.name not in places:
                places[pair.name] = len(photos)
                picture = sees.frame(*pair.photo.size).pixels(pair.photo)
                photos.append((picture * 255).round().to(torch.uint8))
            target.append(places[pair.name])
            sketches.append(reads.prepare(pair.sketch))
        if not sketches:
            raise TaskError("no pairs: give at least one")
        drawings, names = SketchBatch.from_sketches(sketches), (s.name or "" for s in sketches)
        return cls(drawings, torch.stack(photos), torch.tensor(target), tuple(names), tuple(places))

    def __len__(self) -> int:
        """Number of drawings."""
        return len(self.target)

    def batch(self, index: Int[Tensor, " chosen"]) -> PairBatch:
        """These drawings with their photos, in this order."""
        return PairBatch(self.drawn(index), self.gallery(self.target[index]))

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """The instances of these drawings, as indices of photos."""
        return self.target[index]

    def drawn(self, index: Int[Tensor, " chosen"]) -> SketchBatch | Ink:
        """These drawings alone."""
        if isinstance(self.drawings, SketchBatch):
            return self.drawings.select(index)
        return self.drawings[index].float() / 255

    def gallery(self, index: Int[Tensor, " chosen"]) -> PictureBatch:
        """These photos alone."""
        return PictureBatch(self.photos[index].float() / 255)


def drawing_vectors(
    encoder: Encoder, drawings: SketchBatch | Ink
) -> Float[Tensor, "pairs dimension"]:
    """What the encoder answers to prepared drawings, with gradients as the caller has.

    Raises:
        ModelError: pictures for a branch that reads strokes, or no branch for drawings.
    """
    model, _ = _branches(encoder)
    if isinstance(drawings, SketchBatch):
        return model(drawings)
    return _seeing(model).see(drawings)


def photo_vectors(encoder: Encoder, photos: PictureBatch) -> Float[Tensor, "pairs dimension"]:
    """What the encoder answers to pictures, with gradients as the caller has.

    Raises:
        ModelError: no branch for photos.
    """
    return _branches(encoder)[1].look(photos.pixels)


def _branches(encoder: Encoder) -> tuple[SketchModel, PhotoClassifier]:
    if encoder.sketch is None or encoder.photo is None:
        raise ModelError(
            "pairs need an encoder with both branches: sl.Encoder(sketch=..., photo=...)"
        )
    return encoder.sketch, encoder.photo


def _seeing(model: SketchModel) -> PictureModel:
    if not isinstance(model, PictureModel):
        raise ModelError(
            f"drawings that are pictures need a branch that reads pictures; {type(model).__name__} "
            "reads strokes: give SVG drawings, or an encoder with a raster branch"
        )
    return model


def _files_as_drawings(
    paths: Sequence[Path], reads: SketchModel
) -> SketchBatch | UInt8[Tensor, "drawings height width"]:
    if all(is_strokes(path) for path in paths):
        return SketchBatch.from_sketches([_prepared(path, reads) for path in paths])
    sees = _seeing(reads)
    size = sees.rasteriser.size
    ink = [_as_ink(path, sees) if is_strokes(path) else read_ink(path, size) for path in paths]
    return torch.stack([(picture * 255).round().to(torch.uint8) for picture in ink])


def _prepared(path: Path, reads: SketchModel) -> Sketch:
    with told_of(path):
        return reads.prepare(read_strokes(path))


def _as_ink(path: Path, sees: PictureModel) -> Float[Tensor, "height width"]:
    return pictures_of(sees.rasteriser, SketchBatch.from_sketches([_prepared(path, sees)]))[0]


def _mirrored(
    pictures: Float[Tensor, "pictures channels height width"], flipped: Bool[Tensor, " pictures"]
) -> Float[Tensor, "pictures channels height width"]:
    return torch.where(flipped.to(pictures.device)[:, None, None, None], pictures.flip(3), pictures)
