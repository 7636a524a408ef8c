"""The picture filter beside the engine: what it keeps back is neither stored nor encoded, only told."""

from __future__ import annotations

from typing import Protocol

import structlog
from PIL import Image

from contract.errors import SettingsWrong
from contract.record import BlockedPicture, JobFault
from contract.settings import Settings
from safety.picture_filter import PictureFilter, PictureFilterMissing, PictureVerdict
from workers.engine import Picture

BLOCKED, BROKEN = "moderation_blocked", "filter_failure"
"""Codes of the faults of a job none of whose pictures passed, and of one whose pictures nobody could look at."""

audit = structlog.get_logger("unclip.audit")


class FilterFailed(Exception):
    """The filter raised. A picture that nobody looked at goes nowhere."""


class PictureCheck(Protocol):
    """Whatever judges a picture."""

    def __call__(self, picture: Picture, /) -> PictureVerdict:
        """Return the verdict on one picture, (height, width, 3) uint8."""
        ...


class NetworkCheck:
    """Asks the picture filter's network. Several threads may ask at once."""

    def __init__(self, picture_filter: PictureFilter) -> None:
        self._filter = picture_filter

    def __call__(self, picture: Picture, /) -> PictureVerdict:
        """Return the verdict on one picture."""
        return self._filter.check([Image.fromarray(picture)])[0]


def no_check(picture: Picture, /) -> PictureVerdict:
    """Allow anything: for an operator who switched the filter off."""
    return PictureVerdict.unseen()


def load_check(settings: Settings) -> PictureCheck:
    """Return the check that the settings ask for. Raises SettingsWrong without its network: there is no falling back."""
    if not settings.picture_filter:
        structlog.get_logger(__name__).warning("the picture filter is off: pictures are given out unseen")
        return no_check
    try:
        return NetworkCheck(PictureFilter.load(settings.picture_filter_threshold))
    except PictureFilterMissing as error:
        raise SettingsWrong(f"{error}, or draw without it: UNCLIP_PICTURE_FILTER=false") from error


def blocked_picture(check: PictureCheck, picture: Picture, job_id: str, index: int) -> BlockedPicture | None:
    """Return what to tell of a picture that the check keeps back, None for one that may go out. Raises FilterFailed."""
    try:
        verdict = check(picture)
    except Exception as error:
        structlog.get_logger(__name__).exception("the picture filter failed", job_id=job_id, index=index)
        raise FilterFailed from error
    if verdict.allowed:
        return None
    found = {"categories": verdict.categories, "scores": verdict.scores}
    audit.info("picture blocked", stage="output", job_id=job_id, index=index, **found)
    return BlockedPicture(index=index, categories=verdict.categories, scores=dict(verdict.scores))


def all_blocked(blocked: tuple[BlockedPicture, ...]) -> JobFault:
    """Return the fault of a job none of whose pictures may go out."""
    categories = sorted({category for picture in blocked for category in picture.categories})
    message = f"the picture filter kept back every picture ({', '.join(categories)}); rephrase it or try another seed"
    return JobFault(code=BLOCKED, message=message, blocked=blocked)


def filter_failed() -> JobFault:
    """Return the fault of a job whose pictures nobody could look at."""
    return JobFault(code=BROKEN, message="the picture is drawn but the picture filter failed, and nothing is given out unseen")
