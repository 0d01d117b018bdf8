"""From maps to people in metres (HUPOR, arXiv 2208.00090): grouped, placed, and grouped again where pelvises were
hidden.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.codecs.multi_person import TORSO, MultiPersonMaps, normalise_depth, to_metres
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import crossings, grouping
from occlupose.methods.hupor.crossings import SampledFields, exchange_limbs, limb_ends, peak_positions, remove_limbs
from occlupose.methods.hupor.depth import relative_depths, root_depths
from occlupose.methods.hupor.grouping import (
    PAPER,
    GroupingRules,
    LimbCandidates,
    Peaks,
    assign_peaks,
    find_limb_candidates,
    find_peaks,
)
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
class DecoderInput:
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


def decode(said: DecoderInput, maps: MultiPersonMaps, rules: GroupingRules = PAPER) -> DecodedPeople:
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
    found = find_peaks(said.heatmaps)
    root = maps.skeleton.index("pelvis")[0]
    depth = _at(said.depths[:1], found[root].xy[:, None])[:, 0]  # the torso's first is the pelvis
    steps = find_limb_candidates(found, said.fields, maps, rules)
    once = assign_peaks(found, steps, depth, maps, rules)
    people, struck = _placed(once, found, steps, said, maps, rules)
    again = assign_peaks(found, struck, normalise_depth(people.z[:, root], said.span), maps, rules)
    return people if struck is steps and (again == once).all() else _placed(again, found, struck, said, maps, rules)[0]


def _placed(
    mine: Int[np.ndarray, "person joint"],
    found: list[Peaks],
    steps: list[LimbCandidates],
    said: DecoderInput,
    maps: MultiPersonMaps,
    rules: GroupingRules,
) -> tuple[DecodedPeople, list[LimbCandidates]]:
    """People with these peaks, in space; and steps without limbs that were found not to be there."""
    if rules.crossings:
        mine, limbs, steps = _untangled(mine, found, steps, said, maps, rules)
        xy = peak_positions(mine, found)
    else:
        xy = peak_positions(mine, found)
        limbs = grouping.sample_limb_depths(said.fields, xy, maps)
    torso = maps.skeleton.index(*TORSO)
    there = mine >= 0
    score = np.stack([np.append(peak.score, 0)[own] for peak, own in zip(found, mine.T, strict=True)], -1)
    seen = np.where(there, _at(said.visible, xy), 0)
    of_torso = np.where(there[:, torso], to_metres(_at(said.depths, xy[:, torso]), said.span), np.nan)
    further = relative_depths(limbs, maps)
    z = root_depths(of_torso, seen[:, torso], further, maps)[:, None] + further
    state = np.where(there, np.where(2 * seen >= score, VISIBLE, OCCLUDED), ABSENT).astype(np.uint8)
    return DecodedPeople(maps.to_pixels(xy), np.where(there, z, np.nan), score, state), steps


def _untangled(
    mine: Int[np.ndarray, "person joint"],
    found: list[Peaks],
    steps: list[LimbCandidates],
    said: DecoderInput,
    maps: MultiPersonMaps,
    rules: GroupingRules,
) -> tuple[Int[np.ndarray, "person joint"], Float[np.ndarray, "person limb"], list[LimbCandidates]]:
    """People as fields bear them out, depths of their limbs, and steps without limbs that were found not to be
    there.
    """
    every = np.arange(len(maps.skeleton.limbs))
    mine = exchange_limbs(mine, found, steps, said.fields, maps)
    ends = limb_ends(peak_positions(mine, found), maps)
    seen = SampledFields(said.fields, ends, every, wide=False)
    kept = seen.borne_out(rules.borne_out)
    if (seen.there.T & ~kept).any():
        steps = _struck(steps, mine, kept)
        mine = remove_limbs(mine, kept, steps)
        ends = limb_ends(peak_positions(mine, found), maps)
        seen = SampledFields(said.fields, ends, every, wide=False)
    return mine, crossings.solve_limb_depths(said.fields, ends, seen), steps


def _struck(
    steps: list[LimbCandidates], mine: Int[np.ndarray, "person joint"], kept: Bool[np.ndarray, "person limb"]
) -> list[LimbCandidates]:
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
