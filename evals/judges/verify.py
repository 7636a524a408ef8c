"""Does a picture show a scene? Each claim of a scene apart, and scenes altered in one claim, which a judge has to refuse."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from evals.judges.groups import Groups
from evals.judges.judges import Seen, SeenObject
from training.data.scenes import BACKDROPS, COLOURS, Backdrop, Placed, Scene

NEAR = 0.1
"""Shares of the picture's side by which a centre may be off."""
CLAIMS = ("objects", "colour", "count", "place", "backdrop")


def judge_scene(seen: Seen, scene: Scene, groups: Groups) -> dict[str, bool]:
    """Which claims of the scene hold in what was seen. An object is seen where its group is among the likeliest five.

    objects: each is seen, equal ones as often as there are. colour: each that was given one is seen in it. count: so many
    objects and no more. place: each is seen where it stands. backdrop: its kind and, of a plain one, its colour.
    """
    return {
        "objects": len(pairs(seen, scene.objects, groups)) == len(scene.objects),
        "colour": all(_is_coloured(seen, placed, groups) for placed in scene.objects if placed.colour is not None),
        "count": len(seen.objects) == len(scene.objects),
        "place": all(_stands(seen, placed, groups) for placed in scene.objects),
        "backdrop": seen.backdrop == spoken(scene.backdrop),
    }


def pairs(seen: Seen, wanted: Sequence[Placed], groups: Groups) -> list[tuple[SeenObject, Placed]]:
    """As many pairs of a seen object and a wanted one that it may be as there can be (Kuhn 1955, augmenting paths)."""
    taken: dict[int, int] = {}

    def place(at: int, tried: set[int]) -> bool:
        for other, one in enumerate(seen.objects):
            if other not in tried and groups.of(wanted[at].concept) in one.likely:
                tried.add(other)
                if other not in taken or place(taken[other], tried):
                    taken[other] = at
                    return True
        return False

    for at in range(len(wanted)):
        place(at, set())
    return [(seen.objects[other], wanted[at]) for other, at in taken.items()]


def spoken(backdrop: Backdrop) -> str:
    """As `Seen.backdrop` says it."""
    return f"plain {backdrop.colours[0]}" if backdrop.kind == "plain" else backdrop.kind


def _is_coloured(seen: Seen, placed: Placed, groups: Groups) -> bool:
    return any(one.colour == placed.colour and groups.of(placed.concept) in one.likely for one in seen.objects)


def _stands(seen: Seen, placed: Placed, groups: Groups) -> bool:
    return any(
        max(abs(one.x - placed.x), abs(one.y - placed.y)) < NEAR and groups.of(placed.concept) in one.likely
        for one in seen.objects
    )


def alter(scene: Scene, claim: str, concepts: Sequence[str], groups: Groups, rng: random.Random) -> Scene | None:
    """The scene with one claim made false, or None where it makes no such claim. concepts: to take another object from."""
    changes: dict[str, Callable[[], Scene | None]] = {
        "objects": lambda: _other_object(scene, concepts, groups, rng),
        "colour": lambda: _other_colour(scene, rng),
        "count": lambda: replace(
            scene, objects=scene.objects + scene.objects[-1:] if rng.random() < 0.5 else scene.objects[1:]
        ),
        "place": lambda: _other_places(scene, groups),
        "backdrop": lambda: replace(scene, backdrop=_other_backdrop(scene.backdrop, rng)),
    }
    return changes[claim]()


def _other_object(scene: Scene, concepts: Sequence[str], groups: Groups, rng: random.Random) -> Scene:
    """All objects of one concept become another; never of a group that the scene shows."""
    old = rng.choice(scene.objects).concept
    shown = {groups.of(placed.concept) for placed in scene.objects}
    new = rng.choice([concept for concept in concepts if groups.of(concept) not in shown])
    return replace(scene, objects=tuple(replace(p, concept=new) if p.concept == old else p for p in scene.objects))


def _other_colour(scene: Scene, rng: random.Random) -> Scene | None:
    given = [placed.colour for placed in scene.objects if placed.colour is not None]
    if not given:
        return None
    old = rng.choice(given)
    new = rng.choice([colour for colour in COLOURS if colour not in given])
    return replace(scene, objects=tuple(replace(p, colour=new) if p.colour == old else p for p in scene.objects))


def _other_places(scene: Scene, groups: Groups) -> Scene | None:
    """A pair of unlike objects changes places; the caption's relation would be the opposite one."""
    if len(scene.objects) != 2 or scene.relation in (None, "inside"):
        return None
    one, other = scene.objects
    if groups.of(one.concept) == groups.of(other.concept):
        return None
    return replace(scene, objects=(replace(one, x=other.x, y=other.y), replace(other, x=one.x, y=one.y)))


def _other_backdrop(backdrop: Backdrop, rng: random.Random) -> Backdrop:
    if backdrop.kind == "plain" and rng.random() < 0.5:
        return Backdrop("plain", (rng.choice([c for c in ("white", *COLOURS) if c != backdrop.colours[0]]),))
    kind = rng.choice([kind for kind in BACKDROPS if kind != backdrop.kind])
    return Backdrop(kind, ("white",) if kind == "plain" else ())
