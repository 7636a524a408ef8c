"""What callers send as pictures is read right or refused by name, within bounds, in a process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from contract.errors import InvalidImage, InvalidMask
from service.uploads import decode
from service.uploads.decode import Wish
from service.uploads.reader import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, PictureReader, Reading
from tests.service.uploads import pictures
from tests.service.uploads.pictures import BLUE, GREEN, RED, file_of, halves, hole

WISH = Wish("picture", False, 25_000_000, 16, 1024, MEMORY_BYTES, CPU_SECONDS, WALL_SECONDS)
MASK = replace(WISH, role="mask")
WHITE_MASK = replace(MASK, white_paints=True)


Read = Callable[..., Reading]


@pytest.fixture(scope="module")
def reader() -> Iterator[PictureReader]:
    reader = PictureReader(WISH.max_pixels)
    yield reader
    reader.close()


@pytest.fixture
def read(reader: PictureReader) -> Read:
    return lambda data, wish=WISH: reader.read_in_child(data, wish, "image")


def pixels(file: bytes | None) -> np.ndarray:
    assert file is not None
    image = Image.open(io.BytesIO(file), formats=["PNG"])
    assert image.mode in ("RGB", "L")
    return np.asarray(image)


def assert_colour(found: np.ndarray, wanted: tuple[int, int, int], within: int = 3) -> None:
    assert np.abs(found.reshape(-1, 3).astype(int) - wanted).max() <= within


GOOD = [
    ("png", file_of(halves()), 0),
    ("jpeg", file_of(halves(), "JPEG", quality=95, subsampling=0), 4),
    ("webp", file_of(halves(), "WEBP", lossless=True), 0),
    ("palette", file_of(halves().quantize(4)), 3),
    ("rgba", file_of(halves("RGBA")), 0),
    ("cmyk", file_of(halves("CMYK"), "JPEG", quality=95, subsampling=0), 4),
    ("odd name", file_of(halves()) + b"PK\x03\x04 a second file behind the first", 0),
    ("frames", file_of(halves(), save_all=True, append_images=[Image.new("RGB", (64, 64), BLUE)] * 3), 0),
]


@pytest.mark.parametrize(("data", "within"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_picture_is_read_by_its_content(read: Read, data: bytes, within: int) -> None:
    found = pixels(read(data).picture)
    assert found.shape == (64, 64, 3)
    assert_colour(found[:, 2:28], RED, within)
    assert_colour(found[:, 36:62], GREEN, within)


def test_ten_thousand_frames_are_one_picture(read: Read) -> None:
    began = time.monotonic()
    assert_colour(pixels(read(pictures.many_frames()).picture), RED)
    assert time.monotonic() - began < 10


def test_sixteen_bits_are_scaled_not_cut_off(read: Read) -> None:
    assert_colour(pixels(read(pictures.grey_16_bits()).picture), (128, 128, 128), within=1)


def test_a_colour_profile_is_followed(read: Read) -> None:
    assert_colour(pixels(read(pictures.wide_colour()).picture), (128, 128, 128), within=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright(read: Read, orientation: int) -> None:
    image = halves().resize((96, 64))
    exif = Image.Exif()
    exif[0x0112] = orientation
    reading = read(file_of(image, "PNG", exif=exif))
    labelled = image.copy()
    labelled.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(labelled)
    assert upright is not None
    assert (reading.width, reading.height) == upright.size
    wanted = np.asarray(upright.crop((16, 0, 80, 64) if upright.width > upright.height else (0, 16, 64, 80)))
    assert np.abs(pixels(reading.picture).astype(int) - wanted).max() == 0


def test_of_a_picture_that_is_not_square_the_middle_is_taken(read: Read) -> None:
    wide = Image.new("RGB", (300, 100), BLUE)
    wide.paste(RED, (100, 0, 200, 100))
    reading = read(file_of(wide))
    assert (reading.width, reading.height) == (300, 100)
    assert_colour(pixels(reading.picture), RED)


def test_a_large_picture_is_shrunk_to_what_is_drawn_here(read: Read) -> None:
    assert pixels(read(file_of(halves(side=2000), "JPEG")).picture).shape == (1024, 1024, 3)


def test_what_is_transparent_is_laid_on_white_and_makes_a_mask(read: Read) -> None:
    reading = read(file_of(hole()))
    assert_colour(pixels(reading.picture)[:, :31], (255, 255, 255))
    assert_colour(pixels(reading.picture)[:, 33:], BLUE)
    mask = pixels(reading.mask)
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()


def test_a_palette_s_transparency_counts(read: Read) -> None:
    image = halves().quantize(4)
    red = image.getpixel((0, 0))
    mask = pixels(read(file_of(image, transparency=red)).mask)
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()


def test_an_opaque_picture_has_no_mask(read: Read) -> None:
    assert read(file_of(halves("RGBA"))).mask is None


def test_a_mask_is_white_where_it_was_transparent(read: Read) -> None:
    reading = read(file_of(hole()), MASK)
    assert reading.picture is None
    assert (pixels(reading.mask)[:, :32] == 255).all()
    assert (pixels(reading.mask)[:, 32:] == 0).all()


def test_a_fully_clear_mask_paints_all(read: Read) -> None:
    assert (pixels(read(file_of(Image.new("RGBA", (64, 64))), MASK).mask) == 255).all()


def test_a_white_mask_paints_where_it_is_white(read: Read) -> None:
    image = Image.new("L", (64, 64))
    image.paste(255, (0, 0, 32, 64))
    assert (pixels(read(file_of(image), WHITE_MASK).mask)[:, :32] == 255).all()


@pytest.mark.parametrize(
    ("mask", "wish", "words"),
    [
        (halves(), MASK, "has no transparency"),
        (Image.new("RGBA", (64, 64), "white"), MASK, "marks nothing"),
        (Image.new("L", (64, 64)), WHITE_MASK, "marks nothing"),
    ],
    ids=["without alpha", "opaque", "black"],
)
def test_a_mask_that_marks_nothing_is_refused(read: Read, mask: Image.Image, wish: Wish, words: str) -> None:
    with pytest.raises(InvalidMask, match=words):
        read(file_of(mask), wish)


BAD = [
    ("empty", b"", "is empty"),
    ("text", b"not a picture at all", "not a PNG, JPEG or WebP"),
    ("gif", file_of(halves("P"), "GIF"), "not a PNG, JPEG or WebP"),
    ("tiff named png", file_of(halves(), "TIFF"), "not a PNG, JPEG or WebP"),
    ("bmp", file_of(halves(), "BMP"), "not a PNG, JPEG or WebP"),
    ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG, JPEG or WebP"),
    ("pdf", file_of(halves(), "PDF"), "not a PNG, JPEG or WebP"),
    ("zip", b"PK\x03\x04" + bytes(100), "not a PNG, JPEG or WebP"),
    ("fits", b"SIMPLE  =                    T" + bytes(2850), "not a PNG, JPEG or WebP"),
    ("psd", b"8BPS\0\1" + bytes(100), "not a PNG, JPEG or WebP"),
    ("cut png", file_of(halves())[:-40], "damaged"),
    ("cut jpeg", file_of(Image.effect_noise((256, 256), 90), "JPEG")[:-4000], "damaged"),
    ("cut webp", file_of(halves(), "WEBP")[:-8], "damaged|not a PNG"),
    ("head only", file_of(halves())[:20], "damaged|not a PNG"),
    ("tiny", file_of(Image.new("RGB", (15, 400))), "at least 16"),
    ("header of 50k", pictures.pixels_bomb(), "pixels"),
    ("header of 5001", pictures.pixels_bomb(5001), "pixels"),
    ("text bomb", pictures.text_bomb(), "damaged"),
    ("profile bomb", pictures.profile_bomb(), "damaged"),
]


@pytest.mark.parametrize(("data", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_no_picture_is_refused_by_name(read: Read, data: bytes, words: str) -> None:
    with pytest.raises(InvalidImage, match=words) as caught:
        read(data)
    assert caught.value.param == "image"


def run_child(data: bytes, wish: Wish) -> tuple[bytes, int, int]:
    """What a child answers, the most memory it had, in bytes, as it told, and its exit status."""
    ours, theirs = socket.socketpair()
    script = (
        f"import runpy, sys\nserve = runpy.run_path({str(decode.__file__)!r}, run_name='decode')['serve']\n"
        "serve(int(sys.argv[1]))\nsys.stderr.write(open('/proc/self/status').read())\n"
    )
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", script, str(theirs.fileno())],
            stderr=subprocess.PIPE, env={}, pass_fds=[theirs.fileno()],
        )  # fmt: skip
    with ours, child:
        ours.settimeout(60)
        with contextlib.suppress(ConnectionError):
            ours.sendall(json.dumps(asdict(wish)).encode() + b"\n" + data)
            ours.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: ours.recv(2**16), b""))
        assert child.stderr is not None
        told = child.stderr.read().decode()
    peak = next((line for line in told.splitlines() if line.startswith("VmPeak")), "VmPeak: 0 kB")
    return answer, int(peak.split()[1]) * 1024, child.returncode


def test_memory_is_capped_by_the_system() -> None:
    # Twenty-five megapixels of colour with transparency: a hundred megabytes, more than this child may have.
    picture = file_of(Image.new("RGBA", (5000, 5000), (*RED, 40)), compress_level=1)
    answer, peak_bytes, _ = run_child(picture, replace(WISH, memory_bytes=96 * 2**20))
    assert b"refused" in answer
    assert 0 < peak_bytes <= 96 * 2**20


@pytest.mark.parametrize(
    ("mode", "kind", "how"),
    [("RGBA", "PNG", {"compress_level": 1}), ("RGB", "JPEG", {"progressive": True}), ("RGBA", "WEBP", {"method": 0})],
)
def test_twenty_five_megapixels_of_each_format_fit(mode: str, kind: str, how: dict[str, Any]) -> None:
    answer, peak_bytes, _ = run_child(file_of(halves(mode).resize((5000, 5000)), kind, **how), WISH)
    assert b'"width": 5000' in answer
    assert 0 < peak_bytes <= MEMORY_BYTES


def test_time_is_capped_by_the_system() -> None:
    script = (
        "import json, runpy, sys\n"
        f"of = runpy.run_path({str(decode.__file__)!r}, run_name='decode')\n"
        "of['confine'](of['Wish'](**json.loads(sys.argv[1])))\nwhile True: pass\n"
    )
    busy = json.dumps(asdict(replace(WISH, cpu_seconds=1)))
    done = subprocess.run([sys.executable, "-I", "-c", script, busy], env={}, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_child_whose_caller_falls_silent_ends_by_the_clock(reader: PictureReader) -> None:
    with reader.server.connect() as connection:
        connection.settimeout(20)
        connection.sendall(json.dumps(asdict(replace(WISH, wall_seconds=1))).encode() + b"\n" + file_of(halves()))
        assert b"".join(iter(lambda: connection.recv(64), b"")) == decode.BEGUN


def test_the_process_makes_way_for_others_before_it_imports_anything_large() -> None:
    watch = (
        "import os, runpy, sys\nclass Watch:\n    def find_spec(self, name, *_):\n"
        "        if name == 'PIL': sys.exit(os.nice(0))\nsys.meta_path.insert(0, Watch())\n"
        f"runpy.run_path({str(decode.__file__)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", watch], env={}, timeout=60, check=False)
    assert done.returncode == min(os.nice(0) + decode.BEHIND_OTHERS, 19)


def test_a_child_that_its_bounds_end_is_a_refusal(read: Read) -> None:
    with pytest.raises(InvalidImage, match="within the limits"):
        read(file_of(halves()), replace(WISH, wall_seconds=1e-4))
