"""From maps to people in metres (HUPOR, arXiv 2208.00090): grouped, placed, and grouped again where pelvises were hidden."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.codecs.scenes import TORSO, SceneMaps, metres, normalised
from occlupose.methods.hupor.depth import relative, roots
from occlupose.methods.hupor.grouping import Peaks, associate, connections, limb_depths, peaks
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE


@dataclass(frozen=True, eq=False)
class Decoded:
    """Everybody in a picture.

    Attributes:
        xy: px of the input; NaN where a joint is absent.
        z: depth, m; NaN where it is absent, or the pelvis's is not known.
        score: height of the map at the joint, 0..1; 0 where it is absent.
        state: 2 where the map of what is visible is the higher one there, 1 where that of what is hidden is
            (ours), 0 where there is no joint.
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


def decode(said: Said, maps: SceneMaps) -> Decoded:
    """People of one picture, the highest pelvis first."""
    found, root = peaks(said.heatmaps), maps.skeleton.index("pelvis")[0]
    depth = _at(said.depths[TORSO.index("pelvis")], found[root].xy)
    steps = connections(found, said.fields, maps)
    once = _placed(associate(found, steps, depth, maps), found, said, maps)
    again = associate(found, steps, normalised(once.z[:, root], said.span), maps)
    return _placed(again, found, said, maps)


def _placed(mine: Int[np.ndarray, "person joint"], found: list[Peaks], said: Said, maps: SceneMaps) -> Decoded:
    """People with these peaks, in space."""
    torso = maps.skeleton.index(*TORSO)
    xy, score = np.full((*mine.shape, 2), np.nan), np.zeros(mine.shape)
    seen = np.zeros(mine.shape)
    for joint, peak in enumerate(found):
        who = mine[:, joint] >= 0
        xy[who, joint], score[who, joint] = peak.xy[mine[who, joint]], peak.score[mine[who, joint]]
        seen[who, joint] = _at(said.visible[joint], xy[who, joint])
    further = relative(limb_depths(said.fields, xy, maps), maps)
    of_torso = np.full((len(mine), len(torso)), np.nan)
    for place, joint in enumerate(torso):
        who = mine[:, joint] >= 0
        of_torso[who, place] = metres(_at(said.depths[place], xy[who, joint]), said.span)
    z = roots(of_torso, seen[:, torso], further, maps)[:, None] + further
    there = mine >= 0
    state = np.where(there, np.where(2 * seen >= score, VISIBLE, OCCLUDED), ABSENT).astype(np.uint8)
    return Decoded(maps.to_pixels(xy), np.where(there, z, np.nan), score, state)


def _at(values: Float[np.ndarray, "y x"], cells: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Of the cells in which these places are."""
    at = np.floor(cells + 0.5).astype(int)
    return values[at[:, 1].clip(0, values.shape[0] - 1), at[:, 0].clip(0, values.shape[1] - 1)]
