"""Pictures of a data set with a confounder: something that gives the class away, in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError


@dataclass(frozen=True, eq=False)
class Confounded:
    """One split: pictures, their classes, and the truth about where the classes are.

    Args:
        pictures: channels first, 0 to 255.
        target: the class of each.
        must: the pixels of what is to be recognised.
        must_not: the pixels of the confounder.
        group: class and confounder, as one number, of each.

    Raises:
        AlignmentError: numbers of pictures, masks, classes and groups that differ.
    """

    pictures: UInt8[Tensor, "items channels height width"]
    target: Int[Tensor, " items"]
    must: Bool[Tensor, "items height width"]
    must_not: Bool[Tensor, "items height width"]
    group: Int[Tensor, " items"]

    def __post_init__(self) -> None:
        counts = {len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(counts) > 1:
            raise AlignmentError(
                f"pictures, classes, masks and groups are {sorted(counts)}; give one each"
            )

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def pixels(self) -> Float[Tensor, "items channels height width"]:
        """As a network reads them, in [0, 1]."""
        return self.pictures.float() / 255

    @property
    def names(self) -> tuple[str, ...]:
        """Of the items, by which labels find them."""
        return tuple(f"{index:05d}" for index in range(len(self)))

    def select(self, items: Int[Tensor, " chosen"]) -> Confounded:
        """These items, in this order."""
        return Confounded(*(getattr(self, name)[items] for name in self.__dataclass_fields__))

    def labels(self, items: Sequence[int]) -> AttentionLabels:
        """The labels that a careful person would give to these items."""
        names = self.names
        return AttentionLabels.from_rows(
            AttentionLabel(
                names[item],
                must=self.must[item].numpy().astype(np.float32),
                must_not=self.must_not[item].numpy().astype(np.float32),
                author="truth",
            )
            for item in items
        )


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set with a confounder, and the same items without it.

    Args:
        training: the confounder tells the class.
        validation: as in training, since nobody has noticed yet.
        test: the confounder tells another class, or any.
        clean_training: the items of training, and nothing tells their class but themselves.
        clean_validation: the same of validation.
        clean_test: the same of the test.
    """

    training: Confounded
    validation: Confounded
    test: Confounded
    clean_training: Confounded
    clean_validation: Confounded
    clean_test: Confounded


def labelled_items(count: int, of: int, seed: int) -> list[int]:
    """Which items a person labels, by luck; those of a smaller count are among a larger one's.

    Raises:
        AlignmentError: more labels than items.

    Example:
        >>> labelled_items(2, 100, 0) == labelled_items(5, 100, 0)[:2]
        True
    """
    if not 0 <= count <= of:
        raise AlignmentError(f"{count} labels of {of} items; give at most one an item")
    luck = torch.Generator().manual_seed(seed)
    return torch.randperm(of, generator=luck)[:count].tolist()
