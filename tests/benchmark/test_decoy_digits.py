import gzip
import struct

import numpy as np
import pytest
import torch

from sightline.benchmark.decoy_digits import (
    IMAGES,
    LABELS,
    DigitNetwork,
    DigitPerceptron,
    decoy_digits,
    read_digits,
    read_idx,
    with_decoys,
)
from sightline.errors import PhotoError


def idx(shape, body=None, magic=b"\0\0\x08"):
    head = magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return head + (bytes(int(np.prod(shape))) if body is None else body)


def written(folder, raw, name="digits.gz"):
    path = folder / name
    path.write_bytes(gzip.compress(raw))
    return path


def some_digits(count=40, seed=0):
    luck = torch.Generator().manual_seed(seed)
    pictures = torch.zeros(count, 28, 28, dtype=torch.uint8)
    pictures[:, 8:20, 10:18] = torch.randint(1, 256, (count, 12, 8), generator=luck).byte()
    return pictures, torch.arange(count) % 10


def test_an_idx_file_written_by_hand_is_read(tmp_path):
    path = written(tmp_path, idx((2, 3), bytes(range(6))))
    assert read_idx(path).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (idx((2, 3), bytes(5)), r"5 bytes; its head says \[2, 3\]"),
        (idx((2, 3), bytes(7)), "7 bytes"),
        (idx((2, 3), magic=b"\0\0\x0d"), "starts with 00 00 0d 02"),
        (b"", "starts with nothing"),
        (b"\0\0\x08\x02\0\0", "starts with 00 00 08 02"),
        (b"\0\0\x08\x00", "starts with 00 00 08 00"),
    ],
)
def test_broken_idx_files_are_refused(tmp_path, raw, said):
    with pytest.raises(PhotoError, match=said):
        read_idx(written(tmp_path, raw))


def test_a_file_cut_off_or_no_gzip_is_refused(tmp_path):
    path = written(tmp_path, idx((100, 3), bytes(range(100)) * 3))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(PhotoError, match="cut off or no gzip"):
        read_idx(path)
    path.write_bytes(b"hello")
    with pytest.raises(PhotoError, match="cut off or no gzip"):
        read_idx(path)
    with pytest.raises(PhotoError, match="is not there"):
        read_idx(tmp_path / "none.gz")


def test_pictures_and_classes_that_do_not_fit_are_refused(tmp_path):
    written(tmp_path, idx((3, 28, 28)), IMAGES)
    written(tmp_path, idx((2,)), LABELS)
    with pytest.raises(PhotoError, match=r"pictures \[3, 28, 28\] and classes \[2\]"):
        read_digits(tmp_path)
    written(tmp_path, idx((3,), bytes([1, 10, 2])), LABELS)
    with pytest.raises(PhotoError, match="has a class 10"):
        read_digits(tmp_path)


def test_patches_by_hand():
    pictures, target = torch.zeros(4, 28, 28, dtype=torch.uint8), torch.tensor([0, 9, 3, 3])
    made = with_decoys(pictures, target, torch.tensor([0, 9, 3, 7]), torch.arange(4))
    corners = [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(24, 28))]
    corners += [(slice(24, 28), slice(0, 4)), (slice(24, 28), slice(24, 28))]
    for i, (place, grey) in enumerate(zip(corners, (255, 30, 180, 80), strict=True)):
        assert made.pictures[i, 0][place].unique().tolist() == [grey]
        assert made.must_not[i][place].all()
        assert made.must_not[i].sum() == 16
        assert made.pictures[i].long().sum() == 16 * grey


def test_the_patch_tells_the_class_until_the_test():
    splits = decoy_digits(*some_digits(400), split=(200, 100, 100), seed=3)
    for name, told in (("training", True), ("validation", True), ("test", False)):
        split = getattr(splits, name)
        greys = torch.stack(
            [p[0][m][0] for p, m in zip(split.pictures, split.must_not, strict=True)]
        )
        right = greys.long() == 255 - 25 * split.target
        assert bool(right.all()) == told
    assert 0 < int(right.sum()) < 30  # a random class of all ten: right once in ten


def test_clean_digits_are_the_same_without_patches_and_no_digit_is_in_two_splits():
    pictures, target = some_digits(100)
    splits = decoy_digits(pictures, target, split=(60, 20, 20), seed=1)
    parts = [splits.clean_training, splits.clean_validation, splits.clean_test]
    every = torch.cat([part.pictures[:, 0] for part in parts])
    assert {p.numpy().tobytes() for p in every} == {p.numpy().tobytes() for p in pictures}
    for decoyed, clean in zip((splits.training, splits.test), (parts[0], parts[2]), strict=True):
        outside = ~decoyed.must_not[:, None]
        assert torch.equal(decoyed.pictures * outside, clean.pictures * outside)
        assert torch.equal(decoyed.target, clean.target)
        assert not clean.must_not.any()
        assert not (decoyed.must & decoyed.must_not).any()


def test_splits_depend_on_the_seed_alone():
    digits = some_digits(100)
    torch.manual_seed(1)
    one = decoy_digits(*digits, split=(60, 20, 20), seed=5)
    state = torch.random.get_rng_state()
    other = decoy_digits(*digits, split=(60, 20, 20), seed=5)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one.test.pictures, other.test.pictures)
    third = decoy_digits(*digits, split=(60, 20, 20), seed=6)
    assert not torch.equal(one.test.pictures, third.test.pictures)
    with pytest.raises(PhotoError, match="100 digits cannot be split"):
        decoy_digits(*digits, split=(60, 20, 21))


def test_networks_answer_and_are_the_same_for_a_seed():
    pixels = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for make in (DigitPerceptron, DigitNetwork):
        state = torch.random.get_rng_state()
        one, other = make(seed=4), make(seed=4)
        assert torch.equal(state, torch.random.get_rng_state())
        logits = one(pixels)
        assert logits.shape == (3, 10)
        assert torch.equal(logits, other(pixels))
        assert not torch.equal(logits, make(seed=5)(pixels))
    assert [tuple(w.shape) for w in DigitPerceptron().parameters()][::2] == [
        (50, 784),
        (30, 50),
        (10, 30),
    ]


def test_the_perceptron_by_three_plain_lines():
    model = DigitPerceptron(grey=255.0, seed=2).double()
    pixels = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    (a, b), (c, d), (e, f) = [(m.weight, m.bias) for m in model.layers]
    hidden = ((255 * pixels.flatten(1)) @ a.T + b).clamp(min=0)
    expected = (hidden @ c.T + d).clamp(min=0) @ e.T + f
    assert torch.allclose(model(pixels), expected)


def test_mnist_itself(data):
    pictures, target = read_digits(data / "mnist_t10k")
    assert pictures.shape == (10_000, 28, 28)
    # the published counts of the ten classes of MNIST's test set
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert target.bincount().tolist() == counts
    splits = decoy_digits(pictures, target)
    assert [len(splits.training), len(splits.validation), len(splits.test)] == [7000, 1000, 2000]
