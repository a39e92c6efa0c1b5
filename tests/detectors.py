"""Small detectors whose answers are known by hand, or whose insides are smooth.

All of them read pictures of 16 x 16 and look at the cells of a 4 x 4 grid (level 0, candidates 0
to 15) and of a 2 x 2 grid (level 1, candidates 16 to 19), row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.as_found import as_found
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections, watch
from sightline.models.suppress import report

SIDE = 16
STEPS = (4, 8)
"""Pixels of a cell, by level."""
LABELS = ("cup", "duck", "kite")
ON, OFF = 255, 0


def confetti(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE), name: str = "confetti") -> Photo:
    """Pixels of 0 or 255, so that sums of weighted pixels are exact in float32."""
    luck = np.random.default_rng(seed)
    return Photo((luck.integers(0, 2, (*size, 3)) * 255).astype(np.uint8), name)


def plain(value: int, size: tuple[int, int] = (SIDE, SIDE)) -> Photo:
    """A photo of one grey."""
    return Photo(np.full((*size, 3), value, np.uint8), "plain")


BLACK = plain(OFF)


def cell_boxes() -> Tensor:
    """The cells of both levels, xyxy in pixels of the picture."""
    return torch.tensor(
        [
            [float(x), float(y), float(x + step), float(y + step)]
            for step in STEPS
            for y in range(0, SIDE, step)
            for x in range(0, SIDE, step)
        ]
    )


class _Dense(nn.Module):
    """What the toys share: a frame, two levels, sigmoid scores, suppression, a count."""

    labels = LABELS

    def __init__(self, frame: Callable[..., Frame] = Frame.stretched, *, pad: int = 0) -> None:
        super().__init__()
        self.made, self.pad = frame, pad
        self.passes = self.pictures = 0
        self.fuse: int | None = None
        """Passes until the detector fails; None for never."""

    def frame(self, height: int, width: int) -> Frame:
        return self.made((height, width), (SIDE, SIDE))

    def dense(self, pictures: Tensor) -> Candidates:
        self.passes, self.pictures = self.passes + 1, self.pictures + len(pictures)
        if self.fuse is not None and self.passes > self.fuse:
            raise RuntimeError("the fuse has blown")
        padded = F.pad(pictures, (0, self.pad, 0, self.pad))
        maps = tuple(watch(each) for each in self.maps(padded))
        answers = [self.heads(level, each) for level, each in enumerate(maps)]
        logits, moved = (
            torch.cat([self.inside(each).flatten(2).mT for each in column], 1)
            for column in zip(*answers, strict=True)
        )
        level = torch.tensor([0] * 16 + [1] * 4)
        extent = (SIDE + self.pad, SIDE + self.pad) if self.pad else None
        boxes = cell_boxes().to(logits) + moved
        return Candidates(boxes, logits.sigmoid(), logits, maps, level, extent)

    def inside(self, answer: Tensor) -> Tensor:
        """Without the cells that hold nothing but padding."""
        side = answer.shape[-1] - self.pad * answer.shape[-1] // (SIDE + self.pad)
        return answer[..., :side, :side]

    def maps(self, pictures: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def heads(self, level: int, features: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        found = []
        for photo in photos:
            frame = self.frame(*photo.size)
            weight = next(self.parameters())
            with as_found(self), torch.no_grad():
                candidates = self.dense(frame.pixels(photo)[None].to(weight))
            found += report(candidates, [frame], self.labels, threshold=threshold, without=())
        return found


class LinearDetector(_Dense):
    """Logits and edges are linear in the pixels of the candidate's own cell.

    Weights are small fractions of two: of `confetti` every sum is exact in float32, so equality
    may be asked for. A photo of 16 x 16 is read as it is.
    """

    def __init__(
        self, seed: int = 0, frame: Callable[..., Frame] = Frame.stretched, *, pad: int = 0
    ) -> None:
        super().__init__(frame, pad=pad)
        luck = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randint(-4, 5, shape, generator=luck).float() / 16)

        self.stems = nn.ModuleList(nn.Conv2d(3, 4, step, stride=step, bias=False) for step in STEPS)
        self.classes = nn.ModuleList(nn.Conv2d(4, len(LABELS), 1) for _ in STEPS)
        self.edges = nn.ModuleList(nn.Conv2d(4, 4, 1, bias=False) for _ in STEPS)
        for level in range(2):
            self.stems[level].weight = draw(4, 3, STEPS[level], STEPS[level])
            self.classes[level].weight = draw(len(LABELS), 4, 1, 1)
            self.classes[level].bias.data[:] = -0.125
            self.edges[level].weight = draw(4, 4, 1, 1)
        self.eval()

    def maps(self, pictures: Tensor) -> list[Tensor]:
        return [stem(pictures) for stem in self.stems]

    def heads(self, level: int, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes[level](features), self.edges[level](features)


def weights(model: LinearDetector, level: int, row: int, *, edge: bool = False) -> np.ndarray:
    """[3, step, step]: how each pixel of its cell moves a label's logit, or an edge."""
    head = (model.edges if edge else model.classes)[level].weight[row, :, 0, 0]
    return (head[:, None, None, None] * model.stems[level].weight).sum(0).detach().double().numpy()


def by_hand(
    model: LinearDetector,
    shown: np.ndarray,
    absent: np.ndarray,
    candidate: int,
    row: int,
    *,
    edge: bool = False,
) -> np.ndarray:
    """What each cell of a 4 x 4 grid brings to one candidate; pictures are [3, 16, 16]."""
    level = int(candidate >= 16)
    step, index = STEPS[level], candidate - 16 * level
    top, left = (step * place for place in divmod(index, SIDE // step))
    weight, found = weights(model, level, row, edge=edge), np.zeros((4, 4))
    for y in range(step):
        for x in range(step):
            at = (top + y, left + x)
            change = shown[(slice(None), *at)] - absent[(slice(None), *at)]
            found[at[0] // 4, at[1] // 4] += (weight[:, y, x] * change).sum()
    return found.ravel()


class BentDetector(_Dense):
    """A small network, smooth and not linear, in float64; the second map is made of the first."""

    def __init__(
        self, seed: int = 0, frame: Callable[..., Frame] = Frame.stretched, *, pad: int = 0
    ) -> None:
        super().__init__(frame, pad=pad)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, 5, 4, stride=4)
            self.norm = nn.BatchNorm2d(5)
            self.deeper = nn.Conv2d(5, 6, 2, stride=2)
            self.heads_ = nn.ModuleList(
                nn.Sequential(nn.Conv2d(c, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 7, 1))
                for c in (5, 6)
            )
            for weight in self.parameters():
                nn.init.normal_(weight, std=0.5)
            nn.init.uniform_(self.norm.running_mean, -0.2, 0.2)
        self.double().eval()

    def maps(self, pictures: Tensor) -> list[Tensor]:
        first = self.norm(self.stem(pictures)).sigmoid()
        return [first, self.deeper(first).sigmoid()]

    def heads(self, level: int, features: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.heads_[level](features)
        return answer[:, : len(LABELS)], answer[:, len(LABELS) :].tanh()


class TwoStageDetector(nn.Module):
    """Proposals are the four darkest cells of the picture; a score is the brightness inside."""

    labels = LABELS
    slope = torch.tensor([4.0, 2.0, -8.0])

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(self.slope.clone())
        self.asked: list[str] = []

    def frame(self, height: int, width: int) -> Frame:
        return Frame.stretched((height, width), (SIDE, SIDE))

    def propose(self, picture: Tensor) -> Tensor:
        self.asked.append("propose")
        means = F.avg_pool2d(picture[None], 4).mean(1).flatten()
        return cell_boxes()[means.argsort(stable=True)[:4]].to(picture)

    def dense(self, pictures: Tensor) -> Candidates:
        self.asked.append("dense")
        each = [self.dense_at(p[None], self.propose(p)) for p in pictures]
        return Candidates(
            *(torch.cat([getattr(e, name) for e in each]) for name in ("boxes", "scores", "logits"))
        )

    def dense_at(self, pictures: Tensor, proposals: Tensor) -> Candidates:
        self.asked.append("dense_at")
        inner = [
            pictures[:, :, y0:y1, x0:x1].mean((1, 2, 3))
            for x0, y0, x1, y1 in proposals.long().tolist()
        ]
        logits = torch.stack(inner, 1)[:, :, None] * self.scale
        boxes = proposals.expand(len(pictures), -1, -1)
        return Candidates(boxes, logits.sigmoid(), logits)

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        found = []
        for photo in photos:
            frame = self.frame(*photo.size)
            with as_found(self), torch.no_grad():
                candidates = self.dense(frame.pixels(photo)[None])
            found += report(candidates, [frame], self.labels, threshold=threshold, without=())
        return found


class BlackBox:
    """Another detector of which nothing is shown but its boxes."""

    def __init__(self, inside: _Dense) -> None:
        self.inside, self.labels = inside, inside.labels

    def detect(
        self, photos: Sequence[Photo], *, threshold: float = SCORE_THRESHOLD
    ) -> list[Detections]:
        found = self.inside.detect(photos, threshold=threshold)
        return [replace(each, candidates=None) for each in found]


def state(model: nn.Module) -> list[object]:
    """Everything that a call must leave as it was."""
    told: list[object] = [(name, m.training) for name, m in model.named_modules()]
    told += [(name, len(m._forward_hooks)) for name, m in model.named_modules()]
    told += [(name, len(m._forward_pre_hooks)) for name, m in model.named_modules()]
    told += [
        (name, p.requires_grad, None if p.grad is None else p.grad.tolist(), p.tolist())
        for name, p in model.named_parameters()
    ]
    return told + [(name, b.tolist()) for name, b in model.named_buffers()]
