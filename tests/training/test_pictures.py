"""Pictures in memory: eight bits and floats, from files as the model's frame makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guided import write_photo
from sightline.errors import PhotoError, SightlineError
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.image.read import read_photo
from sightline.models.small_resnet import small_resnet
from sightline.training.pictures import Pictures
from toys import unchecked

EIGHT_BITS = torch.arange(96, dtype=torch.uint8).view(2, 3, 4, 4)


def photo(height: int, width: int, seed: int = 0) -> Photo:
    luck = np.random.default_rng(seed)
    return Photo(luck.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def net():
    return small_resnet(["duck", "cup"], (12, 16), widths=(4,))


def test_eight_bits_are_read_as_shares():
    pictures = Pictures(EIGHT_BITS, torch.tensor([1, 0]))
    batch = pictures.batch(torch.tensor([1, 0, 1]))
    assert batch.pixels.dtype == torch.float32
    assert torch.equal(batch.pixels, EIGHT_BITS[[1, 0, 1]].float() / 255)
    assert pictures.targets(torch.tensor([1, 0, 1])).tolist() == [0, 1, 0]
    assert (len(pictures), pictures.size) == (2, (4, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_stay(dtype):
    pixels = torch.rand(2, 1, 4, 5, dtype=dtype)
    batch = Pictures(pixels, torch.tensor([0, 0])).batch(torch.tensor([1]))
    assert batch.pixels.dtype == dtype
    assert torch.equal(batch.pixels, pixels[1:])


def test_files_are_as_the_models_frame_has_them(tmp_path, net):
    sizes = [(20, 30), (7, 9)]
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for i, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        write_photo(path, photo(*size, seed=i))
    pictures = Pictures.from_files(paths, [1, 0], net, names=["a", "b"])
    assert pictures.pixels.dtype == torch.uint8
    assert pictures.size == (12, 16)
    assert pictures.photos == tuple(sizes)
    assert [pictures.photo_size(i) for i in range(2)] == sizes
    assert (pictures.names, pictures.target.tolist()) == (("a", "b"), [1, 0])
    for i, path in enumerate(paths):
        read = read_photo(path)
        want = net.frame(*read.size).pixels(read)
        assert (pictures.batch(torch.tensor([i])).pixels[0] - want).abs().max() <= 0.5 / 255 + 1e-6


def test_errors(tmp_path, net):
    target = torch.tensor([0, 1])
    with pytest.raises(SightlineError, match="no pictures: the split is empty"):
        Pictures(EIGHT_BITS[:0], target[:0])
    for count in (0, 1):
        with unchecked(), pytest.raises(SightlineError, match=f"2 pictures, but {count} targets"):
            Pictures(EIGHT_BITS, target[:count])
    with pytest.raises(SightlineError, match="2 pictures, but 1 names"):
        Pictures(EIGHT_BITS, target, ("a",))
    with pytest.raises(SightlineError, match="2 pictures, but 3 photos"):
        Pictures(EIGHT_BITS, target, (), ((4, 4),) * 3)
    with pytest.raises(SightlineError, match="no pictures: the split is empty"):
        Pictures.from_files([], [], net)
    (tmp_path / "bad.png").write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"bad\.png"):
        Pictures.from_files([tmp_path / "bad.png"], [0], net)


def test_a_model_that_reads_photos_of_any_size_cannot_be_trained_on_them(tmp_path, net):
    class Unframed:
        labels = ("duck",)

        def frame(self, height, width):
            return Frame.unchanged((height, width))

    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, size in zip(paths, [(6, 8), (8, 6)], strict=True):
        write_photo(path, photo(*size))
    with pytest.raises(SightlineError, match=r"1\.png becomes a picture of \[8, 6\] pixels"):
        Pictures.from_files(paths, [0, 0], Unframed())
