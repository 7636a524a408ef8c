"""What the pictures of one job begin from: sources, of which z_i and x_T are found once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.clip.text import TextFeatures
from models.latent import Latent
from models.samplers.slerp import slerp, slerp_along, slerp_mix

if TYPE_CHECKING:
    from models.row import Row


@dataclass(frozen=True, eq=False)
class Bipartite:
    """z_i, (1, D), and x_T, (1, 3, 64, 64), which is None where each picture draws its own from its seed.

    z_away: (1, D), z_i of a picture that guidance leads away from, in place of nothing.
    """

    z_i: Tensor
    x_T: Tensor | None
    z_away: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """One of: a picture (S, S, 3) uint8, which is encoded and inverted; a latent; a prompt, of which the prior makes z_i."""

    picture: NDArray[np.uint8] | None = None
    latent: Latent | None = None
    prompt: str | None = None


Aim = Callable[[Sequence[Bipartite]], Bipartite]
"""From what the sources gave, in their order, to what one row sets out from."""


@dataclass(eq=False)
class Origin:
    """The sources of a job's rows, and the rows that wait for them.

    small: of each source that is a picture, (1, 3, 64, 64) in [-1, 1]. embeds: of each that is a picture, its z_i by CLIP.
    texts: of each that is a prompt. nothing: features of the empty caption. seed: of the prompts' x_T. is_inverted: whether
    pictures' x_T are looked for. is_led: whether a row, the leader, is finding what is still to be found. waiting: rows that
    set out when it has.
    """

    sources: Sequence[Source]
    seed: int
    nothing: TextFeatures
    is_inverted: bool = True
    is_led: bool = False
    small: dict[int, Tensor] = field(default_factory=dict)
    embeds: dict[int, Tensor] = field(default_factory=dict)
    texts: dict[int, TextFeatures] = field(default_factory=dict)
    found: list[Bipartite] | None = None
    waiting: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Stay:
    """From the first source itself."""

    def __call__(self, found: Sequence[Bipartite]) -> Bipartite:
        """That one."""
        return found[0]


@dataclass(frozen=True)
class Along:
    """On the way from the first source to the last, by all others; share: 0 to 1 (DALL·E 2, §3.2)."""

    share: float

    def __call__(self, found: Sequence[Bipartite]) -> Bipartite:
        """Both parts by slerp; ends are the sources exactly."""
        x_T = [_certain(one.x_T) for one in found]
        return Bipartite(slerp_along([one.z_i for one in found], self.share), slerp_along(x_T, self.share))


@dataclass(frozen=True)
class Mixed:
    """All sources at once, by weight."""

    weights: tuple[float, ...]

    def __call__(self, found: Sequence[Bipartite]) -> Bipartite:
        """Both parts, one source after another."""
        x_T = [_certain(one.x_T) for one in found]
        return Bipartite(slerp_mix([one.z_i for one in found], self.weights), slerp_mix(x_T, self.weights))


@dataclass(frozen=True, eq=False)
class Turned:
    """From the first source with its z_i turned by `theta` of the way towards a text diff (DALL·E 2, §3.3).

    The other two sources are captions: of what shall be seen, and of what is. Theirs is the prior's z_i, where DALL·E 2 takes
    z_t: CLIP's embeddings of captions lie apart from those of pictures, and their difference points elsewhere.
    """

    theta: float

    def __call__(self, found: Sequence[Bipartite]) -> Bipartite:
        """x_T stays as it is; guidance leads away from the first source. At 0 it is that source."""
        source, target, shown = found
        if self.theta == 0:
            return source
        return Bipartite(slerp(source.z_i, text_diff(target.z_i, shown.z_i), self.theta), source.x_T, source.z_i)


def text_diff(z_t: Tensor, z_t0: Tensor) -> Tensor:
    """z_d = norm(z_t - z_t0), as long as z_t (DALL·E 2, §3.3). z_t, z_t0: (B, D).

    Two captions that CLIP takes for one give no direction: z_d is then z_t.
    """
    diff = z_t - z_t0
    length = diff.norm(dim=-1, keepdim=True)
    unit = diff / length.clamp_min(1e-6)
    return unit * z_t.norm(dim=-1, keepdim=True) if bool((length > 1e-4).all()) else z_t


def _certain(x_T: Tensor | None) -> Tensor:
    if x_T is None:
        raise AssertionError("a source on a way between sources has no x_T")
    return x_T
