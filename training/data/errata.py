"""What pictures of the pinned packages show where their file names say otherwise: found by comparing styles, then by eye."""

from training.data.labels import plain_points

LIGHT, MEDIUM_LIGHT, MEDIUM, MEDIUM_DARK, DARK = TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")
FEMALE, MALE = "2640", "2642"
PERSON_MOUNTAIN_BIKING, PERSON_DEAF = "1F6B5", "1F9CF"
TECHNOLOGISTS = ("1F9D1-200D-1F4BB", "1F468-200D-1F4BB", "1F469-200D-1F4BB")
PAIRS = ("1F46B", "1F46C", "1F46D", "1F48F", "1F491")
"""Two people in one code point: holding hands, kissing, with a heart."""


def fluent_3d(file: str) -> str:
    """The code points of what a picture of @lobehub/fluent-emoji-3d 1.1.0 shows, as `plain_points` spells them.

    medium-light and medium are swapped in nearly all of it, all tones in one emoji, man and woman in another.
    """
    points = plain_points(file).split("-")
    tones = [point for point in points if point in TONES]
    base = "-".join(point for point in points if point not in TONES)
    if base == PERSON_MOUNTAIN_BIKING:
        shown = dict(zip(TONES, (DARK, MEDIUM, MEDIUM_DARK, MEDIUM_LIGHT, LIGHT), strict=True))
    elif base in (*TECHNOLOGISTS, *PAIRS) or len(tones) > 1:
        shown = {}
    else:
        shown = {MEDIUM_LIGHT: MEDIUM, MEDIUM: MEDIUM_LIGHT}
    if points[0] == PERSON_DEAF:
        shown |= {FEMALE: MALE, MALE: FEMALE}
    return "-".join(shown.get(point, point) for point in points)
