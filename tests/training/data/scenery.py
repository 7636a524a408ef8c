"""Sprites' infos of a tiny vocabulary, for tests of scenes: four everyday concepts and a person, in two styles."""

from __future__ import annotations

from training.data.labels import TONES, SpriteInfo

NAMES = {"red-apple": "food-drink", "banana": "food-drink", "cat": "animals-nature", "umbrella": "objects"}


def infos() -> list[SpriteInfo]:
    made = []
    for style in ("flat", "3d"):
        made += [
            SpriteInfo(name, name, name.replace("-", " "), ("fruit", f"only-{name}"), "1f", group, None, None, style)
            for name, group in NAMES.items()
        ]
        made += [
            SpriteInfo(f"judge-{tone}", "judge", f"judge: {tone} skin tone", (), "1f", "people-body", None, (tone,), style)
            for tone in TONES
        ]
    return made
