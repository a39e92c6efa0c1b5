"""Decoy-MNIST: digits with a patch in a corner whose grey tells the class, in training only."""

from __future__ import annotations

import gzip
import math
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from sightline.benchmark.confounded import Confounded, Splits
from sightline.errors import PhotoError

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
SPLIT = (7000, 1000, 2000)
"""Digits for training, validation and test. Together they are the 10,000 of MNIST's own test set,
shuffled by the seed; the paper trains on 60,000 and tests on those 10,000."""
PATCH = 4
STEP = 25  # of grey, from class to class
CLASSES = 10


def read_idx(path: Path) -> UInt8[np.ndarray, "items ..."]:
    """Read a gzipped IDX file of bytes, the format of MNIST.

    Raises:
        PhotoError: no such file, no gzip, another magic number, less or more than the head says.
    """
    try:
        with gzip.open(path) as stream:
            raw = stream.read()
    except FileNotFoundError:
        raise PhotoError(f"{path} is not there; it comes with MNIST's test set") from None
    except (OSError, EOFError) as error:
        raise PhotoError(f"{path} is cut off or no gzip file ({error}); fetch it anew") from None
    axes = raw[3] if len(raw) >= 4 else 0
    if raw[:3] != b"\0\0\x08" or not 1 <= axes <= 3 or len(raw) < 4 + 4 * axes:
        raise PhotoError(
            f"{path} starts with {raw[:4].hex(' ') or 'nothing'}; an IDX file of bytes starts with "
            "00 00 08 and the number of axes"
        )
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    body = raw[4 + 4 * axes :]
    if len(body) != math.prod(shape):
        raise PhotoError(
            f"{path} has {len(body)} bytes; its head says {list(shape)}; fetch it anew"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def read_digits(
    folder: Path,
) -> tuple[UInt8[Tensor, "digits 28 28"], Int[Tensor, " digits"]]:
    """MNIST's test set: 10,000 digits and their classes.

    Raises:
        PhotoError: files that do not belong together, pictures of another size, other classes.
    """
    pictures, classes = read_idx(folder / IMAGES), read_idx(folder / LABELS)
    if pictures.shape[1:] != (28, 28) or classes.shape != pictures.shape[:1]:
        raise PhotoError(
            f"{folder} has pictures {list(pictures.shape)} and classes {list(classes.shape)}; "
            "expected [digits, 28, 28] and [digits]"
        )
    if classes.max(initial=0) >= CLASSES:
        raise PhotoError(f"{folder / LABELS} has a class {classes.max()}; digits are 0 to 9")
    return torch.from_numpy(pictures.copy()), torch.from_numpy(classes.astype(np.int64))


def decoy_digits(
    pictures: UInt8[Tensor, "digits 28 28"],
    target: Int[Tensor, " digits"],
    *,
    seed: int = 0,
    split: tuple[int, int, int] = SPLIT,
) -> Splits:
    """Put a patch of 4 x 4 in one of the four corners of every digit.

    Its grey is 255 - 25 * class in training and validation, and that of a random class in the
    test. What has to be looked at is the digit's ink, and must not be looked at is the patch. A
    group is a class.

    Args:
        pictures: without decoys.
        target: their classes.
        seed: of the split, the corners and the test's greys.
        split: digits for training, validation and test.

    Raises:
        PhotoError: fewer digits than the split wants.

    Source:
        Ross et al., Right for the Right Reasons, IJCAI 2017, section 4, and its program.
    """
    if sum(split) > len(pictures):
        raise PhotoError(f"{len(pictures)} digits cannot be split into {split}; give smaller ones")
    luck = torch.Generator().manual_seed(seed)
    parts = torch.randperm(len(pictures), generator=luck)[: sum(split)].split(list(split))
    decoyed, clean = [], []
    for part, random in zip(parts, (False, False, True), strict=True):
        told = torch.randint(CLASSES, (len(part),), generator=luck) if random else target[part]
        corner = torch.randint(4, (len(part),), generator=luck)
        decoyed.append(with_decoys(pictures[part], target[part], told, corner))
        clean.append(_clean(pictures[part], target[part]))
    return Splits(*decoyed, *clean)


def with_decoys(
    pictures: UInt8[Tensor, "digits 28 28"],
    target: Int[Tensor, " digits"],
    told: Int[Tensor, " digits"],
    corner: Int[Tensor, " digits"],
) -> Confounded:
    """Digits with patches that tell these classes, in these corners (row 2 * bottom + right)."""
    near = torch.arange(28) < PATCH
    ends = torch.stack([near, near.flip(0)])  # [first or last, 28]
    patch = ends[corner // 2][:, :, None] & ends[corner % 2][:, None, :]
    grey = (255 - STEP * told).to(torch.uint8)[:, None, None]
    marked = torch.where(patch, grey, pictures)
    ink = (pictures > 0) & ~patch
    return Confounded(marked[:, None], target, ink, patch, target)


def _clean(pictures: UInt8[Tensor, "digits 28 28"], target: Int[Tensor, " digits"]) -> Confounded:
    nowhere = torch.zeros(pictures.shape, dtype=torch.bool)
    return Confounded(pictures[:, None], target, pictures > 0, nowhere, target)


class DigitPerceptron(nn.Module):
    """The paper's network on pixels: 50 and 30 hidden units with ReLU.

    Convention:
        Reads pixels in [0, 1]. The paper's reads greys from 0 to 255; ``grey`` is the largest that
        the first layer sees, so that 255 gives the paper's and 1 what is usual today.

    Args:
        grey: factor of the pixels.
        seed: of the first weights, normal with a spread of 0.1 as in the paper.
    """

    def __init__(self, *, grey: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.grey = grey
        sizes = (28 * 28, 50, 30, CLASSES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise(sizes))
            for weights in self.parameters():
                nn.init.normal_(weights, std=0.1)

    def forward(
        self, pixels: Float[Tensor, "pictures 1 28 28"]
    ) -> Float[Tensor, "pictures classes"]:
        """Logits of the ten digits."""
        features = pixels.flatten(1) * self.grey
        for layer in self.layers[:-1]:
            features = layer(features).relu()
        return self.layers[-1](features)


class DigitNetwork(nn.Module):
    """A small convolutional network with a last map of 7 x 7 places, for Grad-CAM.

    A cell of the map is 4 x 4 pixels, the size of a decoy. Two full layers follow, which know one
    place from another; behind a mean over places the network is hardly misled by a patch.

    Args:
        seed: of the first weights.
    """

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.features = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(12, 16, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.head = nn.Sequential(
                nn.Flatten(), nn.Linear(16 * 7 * 7, 32), nn.ReLU(), nn.Linear(32, CLASSES)
            )
            for weights in self.parameters():
                if weights.dim() > 1:
                    nn.init.kaiming_normal_(weights, nonlinearity="relu")
                else:
                    nn.init.zeros_(weights)

    def forward(
        self, pixels: Float[Tensor, "pictures 1 28 28"]
    ) -> Float[Tensor, "pictures classes"]:
        """Logits of the ten digits."""
        return self.head(self.features(pixels))
