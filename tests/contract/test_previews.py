"""Previews on a real Valkey."""

from __future__ import annotations

from contract.previews import TTL_SECONDS, Preview, post_preview, preview_key, read_preview

JOB = "0" * 31 + "1"


def test_a_job_without_previews_has_none(redis):
    assert read_preview(redis, JOB) is None


def test_the_latest_preview_is_read_and_counted(redis):
    post_preview(redis, JOB, b"first", "decoder")
    post_preview(redis, JOB, b"second", "upsample_256", picture=2)
    assert read_preview(redis, JOB) == Preview(b"second", 2, "upsample_256", 2)


def test_a_reader_who_has_seen_it_is_told_nothing(redis):
    post_preview(redis, JOB, b"first", "decoder")
    assert read_preview(redis, JOB, after=0).index == 1
    assert read_preview(redis, JOB, after=1) is None


def test_previews_go_away_by_themselves(redis):
    post_preview(redis, JOB, b"first", "decoder")
    assert 0 < redis.ttl(preview_key(JOB)) <= TTL_SECONDS


def test_a_pipeline_posts_many_in_one_round_trip(redis):
    with redis.pipeline(transaction=False) as pipe:
        for job_id in (JOB, "2" * 32):
            post_preview(pipe, job_id, b"png", "decoder")
        pipe.execute()
    assert read_preview(redis, "2" * 32).png == b"png"
