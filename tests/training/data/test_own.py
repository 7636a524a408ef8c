"""Your own captioned pictures: both layouts, what is refused, and what training gets."""

import io
import json
import tarfile
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from safety.picture_filter import PictureFilter
from safety.prompt_filter import PromptFilter
from training.data.errors import DataError, DataMissing
from training.data.own import Filters, Pairs, is_own, prepare


class AllButPurple:
    """Takes purple for pornography."""

    def classify_batch(self, pictures, max_workers):
        return [SimpleNamespace(nsfw=float(picture.getpixel((0, 0)) == (128, 0, 128))) for picture in pictures]


FILTERS = Filters(PromptFilter.load(), PictureFilter(AllButPurple()))


def picture(colour, size=(96, 80), kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def write(folder, files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write_shard(path, files) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_folder_is_read_with_its_subfolders(tmp_path):
    files = {"a.png": picture("red"), "a.txt": b" a red\n wall ", "deep/b.JPG": picture("blue", kind="JPEG")}
    write(tmp_path / "in", {**files, "deep/b.json": json.dumps({"caption": "a blue wall"}).encode()})
    assert prepare(tmp_path / "in", tmp_path / "out", FILTERS, 32).kept == 2
    pairs = Pairs.load(tmp_path / "out", 32)
    assert pairs.captions == ["a red wall", "a blue wall"]
    assert pairs.pixels[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 254]]


def test_shards_are_read_as_img2dataset_writes_them(tmp_path):
    about = {"caption": "not this one", "url": "u"}
    samples = {"000.webp": picture("red", kind="WEBP"), "000.txt": b"this one", "000.json": json.dumps(about).encode()}
    write_shard(tmp_path / "00000.tar", {**samples, "001.json": b'{"caption": "another"}', "001.png": picture("lime")})
    (tmp_path / "00000_stats.json").write_text("{}")
    prepare(tmp_path, tmp_path / "out", FILTERS, 32)
    assert Pairs.load(tmp_path / "out").captions == ["this one", "another"]


def test_what_is_refused_is_counted_by_reason(tmp_path):
    good = picture("white")
    files = {
        "kept.png": good,
        "kept.txt": b"a wall",
        "dumb.png": good,
        "blank.png": good,
        "blank.txt": b" \n",
        "rude.png": good,
        "rude.txt": b"a nude woman on a beach",
        "purple.png": picture("purple"),
        "purple.txt": b"a purple wall",
        "broken.png": good[:60],
        "broken.txt": b"a wall",
        "tiny.png": picture("white", (63, 100)),
        "tiny.txt": b"a wall",
    }
    write(tmp_path / "in", files)
    report = prepare(tmp_path / "in", tmp_path / "out", FILTERS, 32)
    assert report.kept == 1
    assert report.refused == {
        "without a caption": 2,
        "caption refused: sexual": 1,
        "picture refused by the picture filter": 1,
        "not readable as JPEG, PNG or WebP": 1,
        "smaller than 64 px": 1,
    }
    kept = json.loads((tmp_path / "out" / "own.json").read_text())
    assert kept["first_refused"]["smaller than 64 px"] == [str(tmp_path / "in" / "tiny.png")]


def test_the_middle_square_is_kept(tmp_path):
    wide = Image.new("RGB", (192, 64), "red")
    wide.paste("blue", (64, 0, 128, 64))
    file = io.BytesIO()
    wide.save(file, "PNG")
    write(tmp_path / "in", {"a.png": file.getvalue(), "a.txt": b"three walls"})
    prepare(tmp_path / "in", tmp_path / "out", FILTERS, 64)
    assert (Pairs.load(tmp_path / "out").pixels[0, 2] > 200).all()


def test_training_gets_chance_pictures_with_their_captions(tmp_path):
    write(tmp_path / "in", {"r.png": picture("red"), "r.txt": b"red", "w.png": picture("white"), "w.txt": b"white"})
    prepare(tmp_path / "in", tmp_path / "out", FILTERS, 128)
    pixels, captions, owners = Pairs.load(tmp_path / "out").draw(16, torch.Generator().manual_seed(0))
    assert pixels.shape == (16, 3, 64, 64)
    assert (owners.shape, owners.dtype, owners.sum()) == ((16, 64, 64), torch.uint8, 0)
    assert {(caption, green) for caption, green in zip(captions, pixels[:, 1, 0, 0].tolist(), strict=True)} == {
        ("red", -1.0),
        ("white", 1.0),
    }


def test_a_shard_that_broke_off_is_named(tmp_path):
    write_shard(tmp_path / "0.tar", {"0.png": picture("red"), "0.txt": b"red"})
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:600])
    with pytest.raises(DataError, match=r"0\.tar is no whole tar file"):
        prepare(tmp_path, tmp_path / "out", FILTERS)


def test_nothing_kept_is_an_error_and_leaves_no_file(tmp_path):
    write(tmp_path / "in", {"a.png": picture("red")})
    with pytest.raises(DataError, match="1 without a caption"):
        prepare(tmp_path / "in", tmp_path / "out", FILTERS)
    with pytest.raises(DataMissing):
        Pairs.load(tmp_path / "out")


@pytest.mark.parametrize("written", ["manifest.json", "archives.json", "own.safetensors"])
def test_own_pictures_are_told_from_data_that_unclip_wrote(tmp_path, written):
    assert is_own(tmp_path)
    (tmp_path / written).write_text("")
    assert not is_own(tmp_path)
