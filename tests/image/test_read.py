"""Photo files of every kind, broken ones and hostile ones."""

from __future__ import annotations

import os
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from sightline.errors import PhotoError
from sightline.image.read import photo_files, read_photo

# Two rows, three columns: red, green, blue over white, black, grey.
FLAG = np.array(
    [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        [[255, 255, 255], [0, 0, 0], [128, 128, 128]],
    ],
    np.uint8,
)


def written(folder: Path, image: Image.Image, name: str = "flag.png", **settings) -> Path:
    image.save(folder / name, **settings)
    return folder / name


@pytest.mark.parametrize("name", ["f.png", "f.bmp", "f.tif", "f.ppm", "f.gif", "f.webp", "f.JPG"])
def test_formats(tmp_path, name):
    if name == "f.webp" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    settings = {"lossless": True} if name == "f.webp" else {}
    photo = read_photo(written(tmp_path, Image.fromarray(FLAG), name, **settings))
    assert photo.name == name
    assert photo.size == (2, 3)
    if name != "f.JPG":
        assert photo.pixels.tolist() == FLAG.tolist()


def test_the_content_decides_not_the_suffix(tmp_path):
    path = written(tmp_path, Image.fromarray(FLAG), format="PNG", name="really_a_png.jpg")
    assert read_photo(str(path)).pixels.tolist() == FLAG.tolist()


# Upright: where each orientation of EXIF stores what a person sees as FLAG
STORED = {
    1: FLAG,
    2: FLAG[:, ::-1],
    3: FLAG[::-1, ::-1],
    4: FLAG[::-1],
    5: FLAG.transpose(1, 0, 2),
    6: np.rot90(FLAG, 1),  # shown by turning it a quarter clockwise
    7: FLAG[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(FLAG, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["f.png", "f.tif"])
def test_exif_orientation(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    photo = read_photo(written(tmp_path, stored, name, exif=exif))
    assert photo.pixels.tolist() == FLAG.tolist()


def test_exif_orientation_of_deep_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.array([[0, 65535, 257]], np.uint16)
    photo = read_photo(written(tmp_path, Image.fromarray(deep), "f.png", exif=exif))
    assert photo.pixels[:, :, 0].tolist() == [[0], [255], [1]]


def test_grey(tmp_path):
    photo = read_photo(written(tmp_path, Image.fromarray(np.array([[0, 77, 255]], np.uint8))))
    assert photo.pixels.tolist() == [[[0] * 3, [77] * 3, [255] * 3]]


def test_grey_of_16_bits_is_scaled_not_cut_off(tmp_path):
    deep = np.array([[0, 128, 129, 255, 257, 32768, 65535 - 129, 65535]], np.uint16)
    expected = [round(v / 257) for v in deep[0].tolist()]
    assert expected == [0, 0, 1, 1, 1, 128, 254, 255]
    for name in ("f.png", "f.tif"):
        photo = read_photo(written(tmp_path, Image.fromarray(deep), name))
        assert photo.pixels[0].tolist() == [[v] * 3 for v in expected]
    (tmp_path / "f.pgm").write_bytes(b"P5 8 1 65535\n" + deep.astype(">u2").tobytes())
    assert read_photo(tmp_path / "f.pgm").pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[0.0, 0.5]], np.float32), ([[0, 70000]], np.int32), ([[-1, 1]], np.int32)],
)
def test_numbers_are_no_photo(tmp_path, values, kind):
    path = written(tmp_path, Image.fromarray(np.array(values, kind)), "depth.tif")
    with pytest.raises(PhotoError, match=r"depth\.tif holds numbers \(.*scale them yourself"):
        read_photo(path)


def test_palette(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.putdata([2, 0, 1])
    assert read_photo(written(tmp_path, image)).pixels[0].tolist() == [
        [0, 0, 200],
        [200, 0, 0],
        [0, 200, 0],
    ]
    clear = read_photo(written(tmp_path, image, "clear.png", transparency=bytes([0, 255, 128])))
    assert clear.pixels[0].tolist() == [[127, 127, 227], [255, 255, 255], [0, 200, 0]]


def test_single_bits(tmp_path):
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read_photo(written(tmp_path, image)).pixels.tolist() == [[[0] * 3, [255] * 3]]


def test_what_is_transparent_shows_white_paper(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    photo = read_photo(written(tmp_path, Image.fromarray(rgba)))
    assert photo.pixels[0].tolist() == [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    grey = np.array([[[0, 255], [0, 0]]], np.uint8)
    photo = read_photo(written(tmp_path, Image.fromarray(grey, "LA")))
    assert photo.pixels[0].tolist() == [[0] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("pixels", "clear"),
    [
        (np.array([[[9, 9, 9], [0, 0, 0]]], np.uint8), (9, 9, 9)),
        (np.array([[9, 0]], np.uint8), 9),
        (np.array([[1000, 0]], np.uint16), 1000),
    ],
)
def test_one_transparent_colour(tmp_path, pixels, clear):
    path = written(tmp_path, Image.fromarray(pixels), transparency=clear)
    assert read_photo(path).pixels[0].tolist() == [[255] * 3, [0] * 3]


def test_cmyk_also_as_adobe_inverts_it(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1:3] = 255  # magenta and yellow: red
    path = written(tmp_path, Image.fromarray(ink, "CMYK"), "print.jpg", quality=100)
    assert b"Adobe" in path.read_bytes()  # Pillow writes the marker, and inverted ink
    assert np.abs(read_photo(path).pixels.astype(int) - [255, 0, 0]).max() <= 3
    photo = read_photo(written(tmp_path, Image.fromarray(ink, "CMYK"), "print.tif"))
    assert photo.pixels[0, 0].tolist() == [255, 0, 0]


def test_an_embedded_profile_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = written(tmp_path, Image.fromarray(FLAG), icc_profile=profile)
    assert read_photo(path).pixels.tolist() == FLAG.tolist()


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.png", "film.tif"])
def test_the_first_frame_of_an_animation(tmp_path, name):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    settings = {"lossless": True} if name == "film.webp" else {}
    path = written(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **settings)
    assert read_photo(path).pixels[0, 0].tolist() == [255, 0, 0]


def test_pixels_are_the_readers_own(tmp_path):
    photo = read_photo(written(tmp_path, Image.fromarray(FLAG)))
    photo.pixels[0, 0] = 7
    assert photo.pixels.flags.c_contiguous
    assert read_photo(tmp_path / "flag.png").pixels[0, 0].tolist() == [255, 0, 0]


# Broken and hostile files


def png_saying(width: int, height: int) -> bytes:
    """A header and a few bytes: what a bomb looks like before it is decoded."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_600, 10_001])  # Pillow warns above 89 million
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_saying(side, side))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with (
        warnings.catch_warnings(record=True) as told,
        pytest.raises(PhotoError, match=rf"bomb\.png says it holds {side} x {side} pixels, above"),
    ):
        warnings.simplefilter("always")
        read_photo(path, most_pixels=90_000_000)
    assert told == []


def test_what_pillow_itself_refuses(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_saying(50_000, 50_000))
    with pytest.raises(PhotoError, match=r"bomb\.png is refused by Pillow: .*MAX_IMAGE_PIXELS"):
        read_photo(tmp_path / "bomb.png", most_pixels=10**10)


def test_as_many_pixels_as_allowed(tmp_path):
    path = written(tmp_path, Image.fromarray(FLAG))
    assert read_photo(path, most_pixels=6).size == (2, 3)
    with pytest.raises(PhotoError, match=r"3 x 2 pixels, above most_pixels=5; shrink it"):
        read_photo(path, most_pixels=5)


@pytest.mark.parametrize("name", ["f.png", "f.jpg", "f.tif", "f.bmp", "f.webp"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = written(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(PhotoError, match=rf"f\.{name[2:]} .*(JPEG or PNG|export)"):
        read_photo(path)


@pytest.mark.parametrize("body", [b"", b"not a photo", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_photo_is_refused(tmp_path, body):
    (tmp_path / "x.png").write_bytes(body)
    with pytest.raises(PhotoError, match=r"x\.png .*JPEG or PNG"):
        read_photo(tmp_path / "x.png")


def test_postscript_is_never_run(tmp_path, monkeypatch):
    """Pillow would hand it to Ghostscript."""
    body = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.eps").write_bytes(body)
    (tmp_path / "x.png").write_bytes(body)
    with Image.open(tmp_path / "x.eps") as known:  # so the test is not about a broken file
        assert known.format == "EPS"
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("something was run"))
    for name in ("x.eps", "x.png"):
        with pytest.raises(PhotoError, match=rf"{name} is no photo that can be read; expected"):
            read_photo(tmp_path / name)


@pytest.mark.parametrize("seed", range(20))
def test_broken_bytes_give_a_photo_or_a_clear_refusal(tmp_path, seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
    for name in ("f.png", "f.jpg", "f.gif", "f.tif", "f.bmp", "f.webp"):
        exif = Image.Exif()
        exif[0x0112] = 6
        extra = {} if name in ("f.gif", "f.bmp") else {"exif": exif}
        path = written(tmp_path, Image.fromarray(noise), name, **extra)
        body = bytearray(path.read_bytes())
        for place in rng.integers(0, min(len(body), 200), 6):
            body[place] = rng.integers(0, 256)
        path.write_bytes(body)
        try:
            assert read_photo(path, most_pixels=10**6).pixels.ndim == 3
        except PhotoError as error:
            assert name in str(error)  # noqa: PT017 - either is right


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.png does not exist, or is no file"):
        read_photo(tmp_path / "gone.png")
    with pytest.raises(PhotoError, match="is a folder; photo_files"):
        read_photo(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PhotoError, match="is no file"):
        read_photo(tmp_path / "pipe.png")


def test_readers_in_threads_leave_the_warnings_as_they_were(tmp_path, monkeypatch):
    """Two that silence warnings at once would each restore what the other had changed."""
    path = written(tmp_path, Image.fromarray(FLAG))
    before, opened, inside, most, found = list(warnings.filters), Image.open, [], [], []

    def slowly(*given, **settings):
        inside.append(1)
        time.sleep(0.002)
        most.append(len(inside))
        inside.pop()
        return opened(*given, **settings)

    monkeypatch.setattr(Image, "open", slowly)
    threads = [
        threading.Thread(target=lambda: found.extend(read_photo(path) for _ in range(5)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 30
    assert max(most) == 1
    assert warnings.filters == before


# Folders


def test_photo_files_by_name(tmp_path):
    for name in ("b.PNG", "a.jpeg", "C.tif", "10.jpg", "9.jpg"):
        Image.fromarray(FLAG).save(tmp_path / name)
    for name in ("notes.txt", "._b.png", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.png").write_bytes(b"x")
    names = [path.name for path in photo_files(tmp_path)]
    assert names == ["10.jpg", "9.jpg", "C.tif", "a.jpeg", "b.PNG"]
    assert photo_files(str(tmp_path))[0] == tmp_path / "10.jpg"


def test_a_folder_without_photos(tmp_path):
    with pytest.raises(PhotoError, match=r"has no photo \(\.jpg, .*not searched"):
        photo_files(tmp_path)
    with pytest.raises(PhotoError, match="gone is no folder"):
        photo_files(tmp_path / "gone")


def test_real_photos(data):
    files = photo_files(data / "coco_open_mini" / "images")
    assert len(files) == 53
    photos = [read_photo(path) for path in files]
    assert max(max(photo.size) for photo in photos) == 640
    grey = [p.name for p in photos if (p.pixels == p.pixels[..., :1]).all()]
    assert len(grey) == 1  # one file of the 53 has a single channel
