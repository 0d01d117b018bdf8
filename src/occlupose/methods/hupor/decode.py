"""From maps to people in metres (HUPOR, arXiv 2208.00090): peaks are grouped into people, people are placed in depth,
and peaks are grouped again with the depths of pelvises that were hidden.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.codecs.heatmaps import check_numbers, values_at
from occlupose.codecs.limb_fields import Peaks, find_peaks
from occlupose.codecs.multi_person import TORSO, MultiPersonMaps, normalise_depth, to_metres
from occlupose.methods.hupor.depth import relative_depths, root_depths
from occlupose.methods.hupor.grouping import (
    assign_peaks,
    find_limb_candidates,
    peak_positions,
    sample_limb_depths,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE


@dataclass(frozen=True, eq=False)
class DecodedPeople:
    """The people in one image, in pixels of the network's input and with depths only; `Detections` are in pixels of the
    image and in metres.

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
    """The networks' maps of one image.

    Attributes:
        visible: heatmaps of visible joints, from the detector.
        heatmaps, fields: of all joints and limbs, from detector and reasoner together.
        depths: of torso joints, as `multi_person.normalise_depth`.
        metres_per_pixel: of the input, at a distance of one metre.
    """

    visible: Float[np.ndarray, "joint y x"]
    heatmaps: Float[np.ndarray, "joint y x"]
    fields: Float[np.ndarray, "limb 3 y x"]
    depths: Float[np.ndarray, "7 y x"]
    metres_per_pixel: float


def decode(maps: DecoderInput, codec: MultiPersonMaps) -> DecodedPeople:
    """People in one image, by the score of the pelvis, highest first.

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    check_numbers(visible=maps.visible, heatmaps=maps.heatmaps, fields=maps.fields, depths=maps.depths)
    peaks = find_peaks(maps.heatmaps)
    root = codec.skeleton.index("pelvis")[0]
    depth = values_at(maps.depths[:1], peaks[root].xy[:, None])[:, 0]  # the first torso joint is the pelvis
    candidates = find_limb_candidates(peaks, maps.fields, codec)
    first = assign_peaks(peaks, candidates, depth, codec)
    people = _build_people(first, peaks, maps, codec)
    depth = normalise_depth(people.z[:, root], maps.metres_per_pixel)
    second = assign_peaks(peaks, candidates, depth, codec)
    return people if (second == first).all() else _build_people(second, peaks, maps, codec)


def _build_people(
    assignment: Int[np.ndarray, "person joint"], peaks: list[Peaks], maps: DecoderInput, codec: MultiPersonMaps
) -> DecodedPeople:
    """People from assigned peaks, with depths."""
    xy = peak_positions(assignment, peaks)
    limb_depths = sample_limb_depths(maps.fields, xy, codec)
    torso = codec.skeleton.index(*TORSO)
    present = assignment >= 0
    scores = [np.append(of_joint.score, 0)[rows] for of_joint, rows in zip(peaks, assignment.T, strict=True)]
    score = np.stack(scores, -1)
    visibility = np.where(present, values_at(maps.visible, xy), 0)
    torso_depth = to_metres(values_at(maps.depths, xy[:, torso]), maps.metres_per_pixel)
    torso_depth = np.where(present[:, torso], torso_depth, np.nan)
    relative = relative_depths(limb_depths, codec)
    root = root_depths(torso_depth, visibility[:, torso], relative, codec)
    z = np.where(present, root[:, None] + relative, np.nan)
    state = np.where(2 * visibility >= score, VISIBLE, OCCLUDED)
    state = np.where(present, state, ABSENT).astype(np.uint8)
    return DecodedPeople(codec.to_pixels(xy), z, score, state)
