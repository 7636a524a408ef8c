"""Rows that begin at pictures and latents: they reproduce, they wait for each other, and share batches with all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.cascade import Cascade
from models.errors import LatentUnusable, PartMissing, SourceUnfit
from models.latent import Latent
from models.origin import Along, Mixed, Source, Stay, Turned
from models.row import DONE, WAITING, DrawRequest, Row
from models.setting_out import add_captions, admit_from, encode_all, origin_of, resume, steps_from, upscale
from tests.models.tiny import add_prior_ar, add_second_upsampler, write_tiny_model

APPLE = DrawRequest(
    "a red apple", seed=7, steps=4, guidance_scale=2.0, prior_steps=2, prior_guidance_scale=2.0, upsample_steps=2
)
PLAIN = replace(APPLE, prompt="", guidance_scale=1.0, eta=0.0, inversion_steps=4)
PHOTO = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Cascade:
    folder = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")
    return Cascade.load(add_second_upsampler(add_prior_ar(folder), steps=2), threads=1)


def finish(cascade: Cascade, *rows: Row) -> list[np.ndarray]:
    while left := [row for row in rows if row.stage not in (DONE, WAITING)]:
        cascade.stages[left[0].stage].run([row for row in left if row.stage == left[0].stage])
    assert {row.failure for row in rows} == {None}
    return [cascade.picture(row) for row in rows]


def on_the_way(cascade: Cascade, sources: Sequence[Source], shares: Sequence[float], **changes: object) -> list[Row]:
    origin = origin_of(cascade, sources, seed=7)
    return [admit_from(cascade, replace(PLAIN, **changes), origin, Along(share)) for share in shares]  # type: ignore[arg-type]


def reconstructed(cascade: Cascade, picture: np.ndarray) -> np.ndarray:
    origin = origin_of(cascade, [Source(picture=picture)], seed=7)
    return finish(cascade, admit_from(cascade, PLAIN, origin, Stay()))[0]


def test_the_first_row_inverts_and_the_others_wait_for_it(cascade: Cascade) -> None:
    first, *others = rows = on_the_way(cascade, [Source(picture=PHOTO), Source(picture=OTHER)], [0.0, 0.5, 1.0])
    assert (first.stage, {row.stage for row in others}) == ("invert", {WAITING})
    for _ in range(4):
        cascade.stages["invert"].run([first])
    assert {row.stage for row in rows} == {"decoder"}


def test_the_ends_of_an_interpolation_are_its_sources(cascade: Cascade) -> None:
    rows = on_the_way(cascade, [Source(picture=PHOTO), Source(picture=OTHER)], [0.0, 0.5, 1.0])
    first, middle, last = finish(cascade, *rows)
    assert largest_difference(first, reconstructed(cascade, PHOTO)) <= 1
    assert largest_difference(last, reconstructed(cascade, OTHER)) <= 1
    assert largest_difference(middle, first) > 1
    assert largest_difference(middle, last) > 1


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    """Two pictures inverted in one call differ from each alone by the last bits, in which kernels of other shapes differ."""
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("prior", ["diffusion", "autoregressive"])
def test_a_prompt_among_the_sources_is_drawn_by_the_prior_as_it_would_be_alone(cascade: Cascade, prior: str) -> None:
    leader, follower = on_the_way(cascade, [Source(prompt="a cat"), Source(prompt="a red apple")], [0.0, 1.0], prior=prior)
    finish(cascade, leader, follower)
    alone = cascade.admit(replace(APPLE, prior=prior))  # type: ignore[arg-type]
    finish(cascade, alone)
    torch.testing.assert_close(follower.z_i, alone.z_i, atol=1e-4, rtol=1e-4)
    assert torch.equal(present(follower.x_T), present(alone.x_T))


def present(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor


def test_weights_mix_all_sources(cascade: Cascade) -> None:
    sources = [Source(picture=PHOTO), Source(picture=OTHER), Source(prompt="a cat")]
    origin = origin_of(cascade, sources, seed=7)
    rows = [admit_from(cascade, PLAIN, origin, Mixed(weights)) for weights in ((0.0, 1.0, 0.0), (1.0, 2.0, 3.0))]
    finish(cascade, *rows)
    assert rows[0].route[:2] == ("invert", "prior")
    torch.testing.assert_close(rows[0].z_i, encode_all(cascade, origin.small[1]))
    assert not torch.equal(present(rows[1].z_i), present(rows[0].z_i))


def edited(cascade: Cascade, thetas: Sequence[float], captions: Sequence[str], **changes: object) -> list[Row]:
    origin = origin_of(cascade, [Source(picture=PHOTO)], seed=0)
    add_captions(cascade, origin, captions)
    return [admit_from(cascade, replace(PLAIN, **changes), origin, Turned(theta)) for theta in thetas]  # type: ignore[arg-type]


def test_a_text_diff_of_theta_0_is_the_source_and_of_1_the_diff_of_what_the_prior_draws(cascade: Cascade) -> None:
    rows = edited(cascade, (0.0, 0.5, 1.0), ("a cat", "a red apple"))
    pictures = finish(cascade, *rows)
    assert rows[0].route[:2] == ("invert", "prior")
    assert largest_difference(pictures[0], reconstructed(cascade, PHOTO)) == 0
    drawn = []
    for caption in ("a cat", "a red apple"):
        finish(cascade, alone := cascade.admit(replace(APPLE, prompt=caption, seed=0)))
        drawn.append(present(alone.z_i))
    way, z_d = drawn[0] - drawn[1], present(rows[2].z_i)
    torch.testing.assert_close(z_d, way * (drawn[0].norm() / way.norm()), atol=1e-3, rtol=1e-3)
    assert torch.equal(present(rows[0].x_T), present(rows[2].x_T))


def test_guidance_leads_a_text_diff_away_from_its_source(cascade: Cascade) -> None:
    """A weight of 0 leaves the source, whatever else the row is told; more of it moves on."""
    far = [
        finish(cascade, *edited(cascade, [0.5], ("a cat", "a dog"), prompt="a cat", guidance_scale=w))[0] for w in (0.0, 4.0)
    ]
    assert largest_difference(far[0], reconstructed(cascade, PHOTO)) <= 1
    assert largest_difference(far[1], reconstructed(cascade, PHOTO)) > 1


def test_what_words_mean_to_a_text_diff_does_not_hang_on_the_seed(cascade: Cascade) -> None:
    one, other = (edited(cascade, [0.5], ("a cat", "a dog"), seed=seed)[0] for seed in (1, 2))
    finish(cascade, one, other)
    assert torch.equal(present(one.z_i), present(other.z_i))


def test_eta_0_comes_back_the_same_and_more_eta_moves_with_the_seed(cascade: Cascade) -> None:
    def varied(eta: float, seed: int) -> np.ndarray:
        origin = origin_of(cascade, [Source(picture=PHOTO)], seed=7)
        row = admit_from(cascade, replace(PLAIN, eta=eta, seed=seed), origin, Stay())
        finish(cascade, row)
        return present(row.small).numpy()

    assert np.array_equal(varied(0.0, 1), varied(0.0, 2))
    assert not np.array_equal(varied(0.5, 1), varied(0.5, 2))
    assert np.array_equal(varied(0.5, 1), varied(0.5, 1))


def test_the_less_strength_the_nearer_to_the_picture(cascade: Cascade) -> None:
    begun = []
    for strength in (0.25, 1.0):
        origin = origin_of(cascade, [Source(picture=PHOTO)], seed=7, is_inverted=False)
        row = admit_from(cascade, replace(PLAIN, strength=strength, steps=8), origin, Stay())
        assert row.steps == 8 * strength
        begun.append(float((present(row.x_t) - origin.small[0]).norm()))
        finish(cascade, row)
    assert begun[0] < begun[1] / 2


def test_operations_share_batches_and_come_out_as_alone(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> list[Row]:
        return [
            cascade.admit(APPLE),
            *on_the_way(cascade, [Source(picture=OTHER), Source(prompt="a boat")], [0.3, 0.9], seed=3, steps=5),
            *edited(cascade, [0.3], ("a cat", "a dog"), prompt="a cat", seed=9, eta=0.7, guidance_scale=3.0),
            cascade.admit(replace(APPLE, conditioning="tokens", guidance_mode="oscillating", seed=2)),
        ]

    together = finish(cascade, *rows())
    for number in (0, 1, 3, 4):
        assert np.array_equal(finish(cascade, rows()[number])[0], together[number])
    shared: list[set[str]] = []
    decoder = cascade.stages["decoder"]
    run = decoder.run
    monkeypatch.setattr(decoder, "run", lambda rows: (shared.append({row.route[0] for row in rows}), run(rows))[1])
    finish(cascade, *rows())
    assert any(len(routes) > 1 for routes in shared), "different operations must have shared a call"


@pytest.mark.parametrize("stop_at", ["prior", "decoder", "256"])
def test_a_stopped_picture_taken_up_again_is_the_one_that_never_stopped(cascade: Cascade, stop_at: str) -> None:
    whole = finish(cascade, cascade.admit(replace(APPLE, size_px=1024)))[0]
    stopped = cascade.admit(replace(APPLE, size_px=1024, stop_at=stop_at))  # type: ignore[arg-type]
    picture = finish(cascade, stopped)[0]
    assert picture.shape[0] == {"prior": 64, "decoder": 64, "256": 256}[stop_at]
    latent = cascade.latent(stopped)
    assert latent is not None
    kept = Latent.from_bytes(latent.to_bytes())
    assert kept.to_bytes() == latent.to_bytes()
    again = resume(cascade, replace(APPLE, size_px=1024, seed=kept.seed, prompt=kept.prompt, eta=kept.eta), kept)
    assert np.array_equal(finish(cascade, again)[0], whole)


def test_a_finished_picture_is_decoded_again_at_other_steps(cascade: Cascade) -> None:
    row = cascade.admit(APPLE)
    first = finish(cascade, row)[0]
    latent = cascade.latent(row)
    assert latent is not None
    assert np.array_equal(finish(cascade, resume(cascade, APPLE, latent))[0], first)
    assert not np.array_equal(finish(cascade, resume(cascade, replace(APPLE, steps=6), latent))[0], first)


def test_what_would_stop_where_it_stopped_is_refused(cascade: Cascade) -> None:
    row = cascade.admit(replace(APPLE, stop_at="256"))
    finish(cascade, row)
    latent = cascade.latent(row)
    assert latent is not None
    with pytest.raises(SourceUnfit, match="larger size"):
        resume(cascade, APPLE, latent)


def test_a_latent_that_does_not_fit_is_refused(cascade: Cascade) -> None:
    row = cascade.admit(replace(APPLE, stop_at="prior"))
    finish(cascade, row)
    latent = cascade.latent(row)
    assert latent is not None
    for wrong, words in (
        (replace(latent, model="other"), "of the model 'other'"),
        (replace(latent, x_T=latent.x_T[..., :32]), "x_T is"),
        (replace(latent, reached="decoder"), "picture at which it stopped is missing"),
    ):
        with pytest.raises(LatentUnusable, match=words):
            resume(cascade, APPLE, wrong)
    for broken in (b"", b"PNG", latent.to_bytes()[:-10], replace(latent, z_i=latent.z_i * float("nan")).to_bytes()):
        with pytest.raises(LatentUnusable):
            Latent.from_bytes(broken)


@pytest.mark.parametrize(
    ("side", "size_px", "gives", "through"),
    [
        (40, 256, 256, ("upsample_256",)),
        (64, 1024, 1024, ("upsample_256", "upsample_1024")),
        (96, 256, 384, ("upsample_256",)),
        (200, 1024, 1024, ("upsample_1024",)),
        (300, 1024, 1200, ("upsample_1024",)),
    ],
)  # fmt: skip
def test_a_picture_is_enlarged_by_the_upsampler_that_it_fits(cascade, side: int, size_px: int, gives: int, through) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (side, side, 3), dtype=np.uint8)
    row = upscale(cascade, replace(APPLE, prompt="", size_px=size_px), picture)
    assert row.route == through
    assert finish(cascade, row)[0].shape[0] == gives
    assert cascade.latent(row) is None


def test_a_picture_that_is_large_enough_is_not_enlarged(cascade: Cascade) -> None:
    with pytest.raises(SourceUnfit, match="96 px a side already"):
        upscale(cascade, replace(APPLE, size_px=64), PHOTO)


def test_a_picture_that_is_not_square_is_refused(cascade: Cascade) -> None:
    with pytest.raises(SourceUnfit, match="64×96"):
        origin_of(cascade, [Source(picture=PHOTO[:, :64])], seed=7)


def test_without_an_image_tower_pictures_are_refused_by_name(cascade: Cascade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "image", None)
    with pytest.raises(PartMissing, match="image_encoder"):
        origin_of(cascade, [Source(picture=PHOTO)], seed=7)


def test_steps_are_told_before_they_are_taken(cascade: Cascade) -> None:
    told = steps_from(cascade, PLAIN, pictures=True, prompts=True)
    assert told == {"invert": 4, "prior": 2, "decoder": 4, "upsample_256": 2}


@pytest.mark.parametrize("conditioning", ["text_embedding", "tokens"])
def test_without_the_prior_the_decoder_is_told_something_else(cascade: Cascade, conditioning: str) -> None:
    row = cascade.admit(replace(APPLE, conditioning=conditioning))  # type: ignore[arg-type]
    assert row.stage == "decoder"
    assert not np.array_equal(finish(cascade, row)[0], finish(cascade, cascade.admit(APPLE))[0])
    assert cascade.steps(row.request).keys() == {"decoder", "upsample_256"}


@pytest.mark.parametrize("prior", ["diffusion", "autoregressive"])
def test_of_many_candidates_the_best_goes_on(cascade: Cascade, prior: str) -> None:
    row = cascade.admit(replace(APPLE, prior=prior, prior_candidates=5))  # type: ignore[arg-type]
    finish(cascade, row)
    score = float((present(row.z_i) * row.text.embeds).mean())
    assert len(row.candidate_scores) == 5
    assert score == pytest.approx(max(row.candidate_scores), abs=1e-5)
