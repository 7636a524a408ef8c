"""Provenance: what a file says of itself, checked with the C2PA library's own reader and `unclip inspect`."""

from __future__ import annotations

import io
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from c2pa import Reader
from PIL import Image

from contract.errors import SettingsWrong
from contract.settings import Settings
from contract.spec import EditSpec, ImageSource, LatentSource, VarySpec
from contract.store import CONTENT_TYPES
from tests.workers.plain import make_spec
from unclip.errors import CommandError
from unclip.inspect import Inspection, inspect_file, report_of
from workers.credentials import CERTIFICATE_FILE, KEY_FILE, find_credentials, make_credentials
from workers.engine import Order
from workers.provenance import Provenance, png_text
from workers.publish import encode

SOURCE = "up_" + "a" * 32
PIXELS = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
COMMON = {"model": "unclip-bootstrap", "size": "256x256", "seed": 7, "steps": 4, "guidance_scale": 3.0, "upsample_steps": 2}


@pytest.fixture
def provenance(tmp_path: Path) -> Provenance:
    return Provenance(Settings(data_dir=tmp_path / "data"))


def order(spec: object, **inputs: bytes) -> Order:
    return Order("0" * 32, spec, 1e18, inputs=inputs)


def drawn(provenance: Provenance, spec: object, kind: str = "png", **inputs: bytes) -> bytes:
    return provenance.sign(encode(PIXELS, 64, kind, 90, png_text(spec, spec.seed)), CONTENT_TYPES[kind], order(spec, **inputs))


def inspected(tmp_path: Path, data: bytes) -> Inspection:
    (tmp_path / "picture").write_bytes(data)
    return inspect_file(tmp_path / "picture")


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_every_kind_of_file_is_signed_and_valid(provenance: Provenance, tmp_path: Path, kind: str) -> None:
    data = drawn(provenance, make_spec(), kind)
    assert Reader(CONTENT_TYPES[kind], io.BytesIO(data)).get_validation_state() == "Valid"
    manifest = inspected(tmp_path, data).manifest
    assert manifest is not None
    assert (manifest.operation, manifest.model, manifest.actions) == ("generate", "unclip-bootstrap", ("c2pa.created",))
    # What a certificate of one's own means.
    assert manifest.faults == ("signingCredential.untrusted",)


def test_the_pixels_are_what_they_were(provenance: Provenance) -> None:
    with Image.open(io.BytesIO(drawn(provenance, make_spec()))) as image:
        assert np.array_equal(np.asarray(image), PIXELS)


def test_one_changed_pixel_is_noticed(provenance: Provenance) -> None:
    data = bytearray(drawn(provenance, make_spec()))
    data[-100] ^= 1
    assert Reader("image/png", io.BytesIO(bytes(data))).get_validation_state() == "Invalid"


def test_changed_text_is_noticed_for_the_manifest_was_written_last(provenance: Provenance) -> None:
    data = drawn(provenance, make_spec("a red apple"))
    assert b"a red apple" in data
    changed = data.replace(b"a red apple", b"a red peach")
    assert Reader("image/png", io.BytesIO(changed)).get_validation_state() == "Invalid"


def test_a_png_says_how_to_draw_it_again(provenance: Provenance, tmp_path: Path) -> None:
    spec = make_spec("ein roter Äpfel 🍎", n=3, seed=2**32 - 1, user="someone", key="abc")
    data = provenance.sign(encode(PIXELS, 64, "png", 100, png_text(spec, spec.picture_seed(1))), "image/png", order(spec))
    found = inspected(tmp_path, data)
    assert found.text["Description"] == "ein roter Äpfel 🍎"
    assert found.parameters["prompt"] == "ein roter Äpfel 🍎"
    assert (found.parameters["seed"], found.parameters["steps"], found.parameters["model"]) == (0, 4, "unclip-bootstrap")
    assert not {"user", "key", "n"} & set(found.parameters)
    assert b"someone" not in data


def test_who_wants_no_text_gets_none_and_the_manifest_names_no_prompt(provenance: Provenance, tmp_path: Path) -> None:
    data = drawn(provenance, make_spec("a private giraffe", metadata=False))
    found = inspected(tmp_path, data)
    assert (found.text, found.parameters) == ({}, {})
    assert found.manifest is not None
    assert b"giraffe" not in data


def test_an_edit_links_to_what_it_was_made_from(provenance: Provenance, tmp_path: Path) -> None:
    source = drawn(provenance, make_spec())
    prior = {"prior_steps": 2, "prior_guidance_scale": 2.0}
    spec = EditSpec(**COMMON, **prior, prompt="a green apple", source=ImageSource(id=SOURCE))
    data = drawn(provenance, spec, **{SOURCE: source})
    manifest = inspected(tmp_path, data).manifest
    assert manifest is not None
    assert (manifest.state, manifest.actions) == ("Valid", ("c2pa.opened", "c2pa.edited"))
    assert manifest.sources == (f"{SOURCE} (parentOf)",)
    # The source's own manifest comes along.
    assert len(json.loads(Reader("image/png", io.BytesIO(data)).json())["manifests"]) == 2


def test_a_variation_names_its_source_whether_it_was_signed_or_not(provenance: Provenance, tmp_path: Path) -> None:
    plain = encode(PIXELS, 64, "jpeg", 90)
    spec = VarySpec(**COMMON, source=ImageSource(id=SOURCE))
    manifest = inspected(tmp_path, drawn(provenance, spec, **{SOURCE: plain})).manifest
    assert manifest is not None
    assert (manifest.state, manifest.actions) == ("Valid", ("c2pa.created",))
    assert manifest.sources == (f"{SOURCE} (inputTo)",)


def test_a_latent_is_no_source_that_could_be_shown(provenance: Provenance, tmp_path: Path) -> None:
    latent = f"lat_{'b' * 32}-0"
    spec = VarySpec(**COMMON, source=LatentSource(id=latent))
    manifest = inspected(tmp_path, drawn(provenance, spec, **{latent: b"numbers"})).manifest
    assert manifest is not None
    assert (manifest.state, manifest.sources) == ("Valid", ())


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    data = drawn(Provenance(Settings(data_dir=tmp_path, content_credentials="off")), make_spec())
    assert inspected(tmp_path, data).manifest is None
    assert list(tmp_path.glob("*.pem")) == []


def test_pictures_are_signed_by_several_threads_at_once(provenance: Provenance) -> None:
    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda seed: drawn(provenance, make_spec(seed=seed)), range(12)))
    assert {Reader("image/png", io.BytesIO(data)).get_validation_state() for data in signed} == {"Valid"}


def test_an_installation_keeps_the_certificate_it_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    made = find_credentials(settings)
    assert find_credentials(settings) == made
    modes = [stat.S_IMODE((settings.data_dir / name).stat().st_mode) for name in (CERTIFICATE_FILE, KEY_FILE)]
    assert modes == [0o600, 0o600]


def test_a_folder_that_cannot_be_written_still_gets_signed_pictures(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    provenance = Provenance(Settings(data_dir=tmp_path / "data"))
    assert Reader("image/png", io.BytesIO(drawn(provenance, make_spec()))).get_validation_state() == "Valid"


def operators(tmp_path: Path, certificates: bytes, key: bytes) -> Provenance:
    (tmp_path / "chain.pem").write_bytes(certificates)
    (tmp_path / "key.pem").write_bytes(key)
    files = {"signing_certificate_file": tmp_path / "chain.pem", "signing_key_file": tmp_path / "key.pem"}
    return Provenance(Settings(data_dir=tmp_path / "data", **files))


def test_the_operator_s_certificate_is_the_one_that_signs(tmp_path: Path) -> None:
    theirs = make_credentials()
    provenance = operators(tmp_path, theirs.certificates, theirs.key)
    provenance.check()
    drawn(provenance, make_spec())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("part", ["certificates", "key"])
def test_a_certificate_that_cannot_sign_stops_the_worker(tmp_path: Path, part: str) -> None:
    theirs = make_credentials()._replace(**{part: b"nonsense"})
    with pytest.raises(SettingsWrong, match="UNCLIP_SIGNING_CERTIFICATE_FILE"):
        operators(tmp_path, theirs.certificates, theirs.key).check()


def test_a_certificate_that_is_missing_is_named(tmp_path: Path) -> None:
    provenance = operators(tmp_path, b"", b"")
    (tmp_path / "key.pem").unlink()
    with pytest.raises(SettingsWrong, match="key\\.pem"):
        provenance.check()


def test_the_report_says_it_in_words(provenance: Provenance, tmp_path: Path) -> None:
    lines = "\n".join(report_of(inspected(tmp_path, drawn(provenance, make_spec("a red apple")))))
    for words in ("PNG, 64x64", "prompt: a red apple", "seed: 7", "C2PA manifest, valid", "not on a list of trusted ones"):
        assert words in lines


def test_a_picture_of_someone_else_s_says_nothing(tmp_path: Path) -> None:
    found = inspected(tmp_path, encode(PIXELS, 64, "png", 100))
    assert list(report_of(found)) == ["PNG, 64x64", "no text says how it was made", "no C2PA manifest"]


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no PNG, JPEG or WebP"):
        inspected(tmp_path, b"not a picture")
