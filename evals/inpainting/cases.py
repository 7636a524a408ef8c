"""Pictures with one object masked, and three ways to ask for it back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.cascade import to_pixels
from training.data.compose import compose
from training.data.phrasing import choose_noun, noun_phrase
from training.data.scene_maker import SceneMaker
from training.data.scenes import Scene
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut

SIZE_PX = 64
Size = Literal["small", "medium", "large"]
SHARES: Mapping[Size, tuple[float, float]] = {"small": (0.02, 0.12), "medium": (0.12, 0.35), "large": (0.35, 0.85)}
"""Mask's share of the picture, from and below; what covers more leaves too little of the picture to fit in with."""
Prompt = Literal["full", "simple", "empty"]
"""The whole scene's caption; the masked object's name alone (EditBench's mask-simple); nothing."""
PROMPTS: tuple[Prompt, ...] = get_args(Prompt)
KINDS = {"single": 0.5, "relation": 0.35, "several": 0.15}
"""Of scenes; nothing counted, for another one beside the mask would tell what was there."""
MARGIN = 0.06
"""Of the object's box, on each side."""
EVERY = Shares(kinds=KINDS)
FAMILIAR = Shares(
    kinds={"single": 0.5, "relation": 0.5}, styles={"flat": 1}, concepts={"familiar": 1},
    backdrops={"white": 0.5, "plain": 0.5}, recoloured=0.0, names_style=0.0, small=0.0, large_sizes=(0.6, 0.9),
)  # fmt: skip
"""What the decoder was shown most: familiar flat things, one or two, on white or one colour."""
FAMILIAR_SIZES: tuple[Size, ...] = ("medium", "large")
"""Of masks over them: none of them is small."""
AT_ONCE, MOST_SCENES = 64, 20_000


@dataclass(frozen=True, eq=False)
class Case:
    """One picture to be inpainted.

    picture: (64, 64, 3) uint8, mask: (64, 64) bool, True over the object. concept: what was there.
    """

    size: Size
    seed: int
    concept: str
    prompts: Mapping[Prompt, str]
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw_cases(bank: SpriteBank, group: Callable[[str], str], each: int, *, is_familiar: bool = False) -> list[Case]:
    """`make_cases` over some sprites, without what was held out of training: of all scenes, or of familiar things alone.

    Raises ValueError.
    """
    maker = SceneMaker(bank.infos, HeldOut.read(), FAMILIAR if is_familiar else EVERY, colourable=())
    return make_cases(maker, bank, group, each, sizes=FAMILIAR_SIZES if is_familiar else tuple(SHARES))


def make_cases(
    maker: SceneMaker,
    bank: SpriteBank,
    group: Callable[[str], str],
    each: int,
    seed: int = 0,
    *,
    sizes: Sequence[Size] = tuple(SHARES),
) -> list[Case]:
    """`each` cases of these mask sizes, from scenes drawn by lot; the same arguments give the same cases.

    group: the judge's; raises KeyError for a concept that it does not know, and such scenes are passed over. Raises ValueError
    where the scenes do not yield enough.
    """
    rng = random.Random(seed)
    found: dict[Size, list[Case]] = {size: [] for size in sizes}
    for _ in range(0, MOST_SCENES, AT_ONCE):
        for case in _some_cases(maker, bank, group, rng):
            if len(found.get(case.size, range(each))) < each:
                found[case.size].append(case)
        if all(len(cases) == each for cases in found.values()):
            return [case for cases in found.values() for case in cases]
    counted = ", ".join(f"{len(cases)} {size}" for size, cases in found.items())
    raise ValueError(f"{MOST_SCENES} scenes gave {counted} masks; {each} of each were wanted")


def _some_cases(maker: SceneMaker, bank: SpriteBank, group: Callable[[str], str], rng: random.Random) -> Iterator[Case]:
    scenes = [maker.draw(rng) for _ in range(AT_ONCE)]
    composed = compose(scenes, bank, SIZE_PX)
    for scene, pixels, owners in zip(scenes, composed.pixels, composed.owners.cpu().numpy(), strict=True):
        number = rng.randrange(len(scene.objects))
        mask = object_mask(owners, number + 1)
        size = size_of(mask)
        if size is None or not _is_alone_of_its_group(scene, number, group):
            continue
        placed = scene.objects[number]
        noun = choose_noun(maker.vocabulary[placed.concept], rng, is_recoloured=placed.colour is not None)
        prompts: dict[Prompt, str] = {"full": scene.caption, "simple": noun_phrase(noun, placed, None), "empty": ""}
        yield Case(size, rng.randrange(2**31), placed.concept, prompts, to_pixels(pixels), mask)


def _is_alone_of_its_group(scene: Scene, number: int, group: Callable[[str], str]) -> bool:
    try:
        groups = [group(placed.concept) for placed in scene.objects]
    except KeyError:
        return False
    return groups.count(groups[number]) == 1


def object_mask(owners: NDArray[np.uint8], number: int) -> NDArray[np.bool_]:
    """The box of what is seen of an object, with a margin; nothing where nothing is seen. owners, result: (S, S)."""
    mask = np.zeros(owners.shape, dtype=np.bool_)
    places = np.nonzero(owners == number)
    if len(places[0]):
        mask[_with_margin(places[0]), _with_margin(places[1])] = True
    return mask


def _with_margin(places: NDArray[np.int64]) -> slice:
    first, last = int(places.min()), int(places.max()) + 1
    margin = max(1, round(MARGIN * (last - first)))
    return slice(max(0, first - margin), last + margin)


def size_of(mask: NDArray[np.bool_]) -> Size | None:
    """Which of the sizes a mask has; None for none of them."""
    share = float(mask.mean())
    return next((size for size, (low, high) in SHARES.items() if low <= share < high), None)
