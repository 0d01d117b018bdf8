"""From maps to people in metres (HUPOR, arXiv 2208.00090): grouped, placed, and grouped again where pelvises were
hidden.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.codecs.scenes import TORSO, SceneMaps, metres, normalised
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import crossings, grouping
from occlupose.methods.hupor.crossings import Fields, exchanged, places, positions, without
from occlupose.methods.hupor.depth import relative, roots
from occlupose.methods.hupor.grouping import PAPER, Peaks, Rules, Step, associate, connections, peaks
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE


@dataclass(frozen=True, eq=False)
class DecodedPeople:
    """The people in one image, before a camera places them: `Detections` are in pixels of the image, these are in
    pixels of the network's input and have depths only.

    Attributes:
        xy: px of the input; NaN where a joint is absent.
        z: depth, m; NaN where the joint is absent or the depth of the pelvis is unknown.
        score: height of the heatmap at the joint, 0..1; 0 where the joint is absent.
        state: 2 where the heatmap of visible joints is the higher one there, 1 where that of hidden joints is (ours),
            0 where there is no joint.
    """

    xy: Float[np.ndarray, "person joint 2"]
    z: Float[np.ndarray, "person joint"]
    score: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]


@dataclass(frozen=True, eq=False)
class Said:
    """What the networks say of one picture.

    Attributes:
        visible: heatmaps of what is seen, by the detector.
        heatmaps, fields: of everything, the detector's and the reasoner's together.
        depths: of torso joints, as `scenes.normalised`.
        span: `Scene.span` of the picture.
    """

    visible: Float[np.ndarray, "joint y x"]
    heatmaps: Float[np.ndarray, "joint y x"]
    fields: Float[np.ndarray, "limb 3 y x"]
    depths: Float[np.ndarray, "7 y x"]
    span: float


def decode(said: Said, maps: SceneMaps, rules: Rules = PAPER) -> DecodedPeople:
    """People of one picture, the highest pelvis first.

    Arguments:
        rules: `PAPER` is how it is published. `OURS` makes out limbs that lie over each other, and is exact on maps
            that are; of networks that are unsure of what they say it believes too much.

    Raises:
        OccluposeError: maps that are not numbers.
    """
    for name in ("visible", "heatmaps", "fields", "depths"):
        values = getattr(said, name).reshape(-1)
        if not np.isfinite(values @ values):
            raise OccluposeError(
                f"{name}: some of these maps are not numbers; look for what went wrong in training or in the picture"
            )
    found = peaks(said.heatmaps)
    root = maps.skeleton.index("pelvis")[0]
    depth = _at(said.depths[:1], found[root].xy[:, None])[:, 0]  # the torso's first is the pelvis
    steps = connections(found, said.fields, maps, rules)
    once = associate(found, steps, depth, maps, rules)
    people, struck = _placed(once, found, steps, said, maps, rules)
    again = associate(found, struck, normalised(people.z[:, root], said.span), maps, rules)
    return people if struck is steps and (again == once).all() else _placed(again, found, struck, said, maps, rules)[0]


def _placed(
    mine: Int[np.ndarray, "person joint"],
    found: list[Peaks],
    steps: list[Step],
    said: Said,
    maps: SceneMaps,
    rules: Rules,
) -> tuple[DecodedPeople, list[Step]]:
    """People with these peaks, in space; and steps without limbs that were found not to be there."""
    if rules.crossings:
        mine, limbs, steps = _untangled(mine, found, steps, said, maps, rules)
        xy = positions(mine, found)
    else:
        xy = positions(mine, found)
        limbs = grouping.limb_depths(said.fields, xy, maps)
    torso = maps.skeleton.index(*TORSO)
    there = mine >= 0
    score = np.stack([np.append(peak.score, 0)[own] for peak, own in zip(found, mine.T, strict=True)], -1)
    seen = np.where(there, _at(said.visible, xy), 0)
    of_torso = np.where(there[:, torso], metres(_at(said.depths, xy[:, torso]), said.span), np.nan)
    further = relative(limbs, maps)
    z = roots(of_torso, seen[:, torso], further, maps)[:, None] + further
    state = np.where(there, np.where(2 * seen >= score, VISIBLE, OCCLUDED), ABSENT).astype(np.uint8)
    return DecodedPeople(maps.to_pixels(xy), np.where(there, z, np.nan), score, state), steps


def _untangled(
    mine: Int[np.ndarray, "person joint"],
    found: list[Peaks],
    steps: list[Step],
    said: Said,
    maps: SceneMaps,
    rules: Rules,
) -> tuple[Int[np.ndarray, "person joint"], Float[np.ndarray, "person limb"], list[Step]]:
    """People as fields bear them out, depths of their limbs, and steps without limbs that were found not to be
    there.
    """
    every = np.arange(len(maps.skeleton.limbs))
    mine = exchanged(mine, found, steps, said.fields, maps)
    ends = places(positions(mine, found), maps)
    seen = Fields(said.fields, ends, every, wide=False)
    kept = seen.borne_out(rules.borne_out)
    if (seen.there.T & ~kept).any():
        steps = _struck(steps, mine, kept)
        mine = without(mine, kept, steps)
        ends = places(positions(mine, found), maps)
        seen = Fields(said.fields, ends, every, wide=False)
    return mine, crossings.limb_depths(said.fields, ends, seen), steps


def _struck(
    steps: list[Step], mine: Int[np.ndarray, "person joint"], kept: Bool[np.ndarray, "person limb"]
) -> list[Step]:
    """Steps without these people's limbs that are not kept."""
    struck = []
    for step in steps:
        who = (mine[:, step.here] >= 0) & (mine[:, step.there] >= 0) & ~kept[:, step.limb]
        scores = step.scores.copy()
        scores[mine[who, step.here], mine[who, step.there]] = -1
        struck.append(replace(step, scores=scores))
    return struck


def _at(
    maps: Float[np.ndarray, "joint y x"], cells: Float[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint"]:
    """Of the cells in which these places are; anything where a place is NaN."""
    places = np.maximum(np.where(np.isnan(cells), 0, cells + 0.5), 0).astype(int)
    height, width = maps.shape[1:]
    return maps[np.arange(len(maps)), np.minimum(places[..., 1], height - 1), np.minimum(places[..., 0], width - 1)]
