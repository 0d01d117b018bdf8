"""From maps to people in metres (HUPOR, arXiv 2208.00090): peaks are grouped into people, people are placed in depth,
and peaks are grouped again with the depths of pelvises that were hidden.
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


def decode(maps: DecoderInput, codec: MultiPersonMaps, rules: GroupingRules = PAPER) -> DecodedPeople:
    """People in one image, by the score of the pelvis, highest first.

    Arguments:
        rules: `PAPER` is the published grouping. `OURS` separates limbs that overlap; it is exact on exact maps, but
            less accurate than `PAPER` on the maps of weak networks.

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    for name in ("visible", "heatmaps", "fields", "depths"):
        values = getattr(maps, name).reshape(-1)
        if not np.isfinite(values @ values):
            raise OccluposeError(f"{name}: some of these maps are not numbers; check the weights and the image")
    peaks = find_peaks(maps.heatmaps)
    root = codec.skeleton.index("pelvis")[0]
    depth = _values_at(maps.depths[:1], peaks[root].xy[:, None])[:, 0]  # the first torso joint is the pelvis
    candidates = find_limb_candidates(peaks, maps.fields, codec, rules)
    first = assign_peaks(peaks, candidates, depth, codec, rules)
    people, pruned = _build_people(first, peaks, candidates, maps, codec, rules)
    depth = normalise_depth(people.z[:, root], maps.metres_per_pixel)
    second = assign_peaks(peaks, pruned, depth, codec, rules)
    if pruned is candidates and (second == first).all():
        return people
    return _build_people(second, peaks, pruned, maps, codec, rules)[0]


def _build_people(
    assignment: Int[np.ndarray, "person joint"],
    peaks: list[Peaks],
    candidates: list[LimbCandidates],
    maps: DecoderInput,
    codec: MultiPersonMaps,
    rules: GroupingRules,
) -> tuple[DecodedPeople, list[LimbCandidates]]:
    """People from assigned peaks, with depths; and the candidates without the limbs that the fields do not support."""
    if rules.crossings:
        assignment, limb_depths, candidates = _separate_limbs(assignment, peaks, candidates, maps, codec, rules)
        xy = peak_positions(assignment, peaks)
    else:
        xy = peak_positions(assignment, peaks)
        limb_depths = grouping.sample_limb_depths(maps.fields, xy, codec)
    torso = codec.skeleton.index(*TORSO)
    present = assignment >= 0
    scores = [np.append(of_joint.score, 0)[rows] for of_joint, rows in zip(peaks, assignment.T, strict=True)]
    score = np.stack(scores, -1)
    visibility = np.where(present, _values_at(maps.visible, xy), 0)
    torso_depth = to_metres(_values_at(maps.depths, xy[:, torso]), maps.metres_per_pixel)
    torso_depth = np.where(present[:, torso], torso_depth, np.nan)
    relative = relative_depths(limb_depths, codec)
    root = root_depths(torso_depth, visibility[:, torso], relative, codec)
    z = np.where(present, root[:, None] + relative, np.nan)
    state = np.where(2 * visibility >= score, VISIBLE, OCCLUDED)
    state = np.where(present, state, ABSENT).astype(np.uint8)
    return DecodedPeople(codec.to_pixels(xy), z, score, state), candidates


def _separate_limbs(
    assignment: Int[np.ndarray, "person joint"],
    peaks: list[Peaks],
    candidates: list[LimbCandidates],
    maps: DecoderInput,
    codec: MultiPersonMaps,
    rules: GroupingRules,
) -> tuple[Int[np.ndarray, "person joint"], Float[np.ndarray, "person limb"], list[LimbCandidates]]:
    """The assignment after exchanges of overlapping limbs and removal of unsupported ones, depths of the limbs, and the
    candidates without unsupported limbs.
    """
    limbs = np.arange(len(codec.skeleton.limbs))
    assignment = exchange_limbs(assignment, peaks, candidates, maps.fields, codec)
    ends = limb_ends(peak_positions(assignment, peaks), codec)
    sampled = SampledFields(maps.fields, ends, limbs, wide=False)
    supported = sampled.supported(rules.min_support)
    if (sampled.present.T & ~supported).any():
        candidates = _prune(candidates, assignment, supported)
        assignment = remove_limbs(assignment, supported, candidates)
        ends = limb_ends(peak_positions(assignment, peaks), codec)
        sampled = SampledFields(maps.fields, ends, limbs, wide=False)
    return assignment, crossings.solve_limb_depths(maps.fields, ends, sampled), candidates


def _prune(
    candidates: list[LimbCandidates],
    assignment: Int[np.ndarray, "person joint"],
    supported: Bool[np.ndarray, "person limb"],
) -> list[LimbCandidates]:
    """The candidates without assigned limbs that are not supported."""
    pruned = []
    for step in candidates:
        wrong = (assignment[:, step.start] >= 0) & (assignment[:, step.end] >= 0) & ~supported[:, step.limb]
        scores = step.scores.copy()
        scores[assignment[wrong, step.start], assignment[wrong, step.end]] = -1
        pruned.append(replace(step, scores=scores))
    return pruned


def _values_at(
    maps: Float[np.ndarray, "joint y x"], cells: Float[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint"]:
    """Values of the cells nearest to these positions; arbitrary where a position is NaN."""
    nearest = np.maximum(np.where(np.isnan(cells), 0, cells + 0.5), 0).astype(int)
    height, width = maps.shape[1:]
    return maps[np.arange(len(maps)), np.minimum(nearest[..., 1], height - 1), np.minimum(nearest[..., 0], width - 1)]
