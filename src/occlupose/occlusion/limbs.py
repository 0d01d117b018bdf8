"""Checks of the limbs of tracked people: body heights, lengths, and joints on another person's limbs. All ours.

Lengths without a unit are in body heights.
"""

import numpy as np
from jaxtyping import Bool, Float

from occlupose.detections import Detections, box_sides
from occlupose.occlusion.anatomy import HEAD, TRUNK, Anatomy
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.occlusion.person_memory import LAG, LONGEST, PersonMemory

# Foreshortening makes limbs shorter only, so body height is that of a long limb: the third longest for its kind,
# since an arm on another person is two wrong ones. A person who walks away from 4 m to 8 m halves in 3 s.
HEIGHT_RANK = 3
HEIGHT_DECAY = 4.0  # s in which a body height that is not seen again falls to exp(-1)
# limit of a limb's length / the longest of its kind in this person
MARGIN = 1.3
QUANTILE = 0.9  # share of the frames in which a limb is shorter than the person's longest of its kind
ADAPTATION = 0.5  # per s: how fast the longest is learnt
LENGTH_SIGMA = 0.1  # excess over the limit that multiplies the score by exp(-1/2)

# Joints on others
LIMB_RADIUS = 0.055  # half the width of a clothed arm or shank, and the noise of a keypoint
APPEARANCE = 0.1  # s without being seen after which a joint counts as hidden, and in which it appears again
MAX_CLAIM = 1.0  # s after which a joint on another person's limb is believed


def estimate_heights(memory: PersonMemory, found: Detections, time: float, anatomy: Anatomy) -> None:
    """Body heights, px: by a long limb of this frame, or as remembered if that is larger; the side of the box where too
    few limbs are seen. NaN, so that nothing is checked, if the skeleton has too few.
    """
    if len(anatomy.limbs) < HEIGHT_RANK:
        return
    heights = _limb_lengths(found.xy, anatomy) / anatomy.lengths
    seen = (found.score[:, anatomy.limbs] >= MIN_CONFIDENCE).all(-1) & np.isfinite(heights)
    height = np.sort(np.where(seen, heights, 0), axis=-1)[:, -HEIGHT_RANK]
    height = np.fmax(height, memory.height * np.exp(-(time - memory.time) / HEIGHT_DECAY))
    memory.height = np.where(height > 0, height, box_sides(found.boxes))


def doubt_lengths(
    memory: PersonMemory,
    xy: Float[np.ndarray, "person joint 2"],
    seen: Bool[np.ndarray, "person joint"],
    time: float,
    anatomy: Anatomy,
) -> Float[np.ndarray, "person joint"]:
    """Factor of each score, below 1 from the end of a limb on that is too long; learns the person's lengths."""
    ratio = _limb_lengths(xy, anatomy) / anatomy.lengths / memory.height[:, None]
    ratio = np.where(seen[:, anatomy.limbs].all(-1), ratio, np.nan)
    ends = anatomy.limbs[:, 1]
    excess = np.nan_to_num(np.maximum(ratio / (MARGIN * memory.longest[:, anatomy.kinds]) - 1, 0))
    factor = np.where(anatomy.reach[ends] > TRUNK, np.exp(-((excess / LENGTH_SIGMA) ** 2) / 2), 1)
    doubt = np.ones(xy.shape[:2])
    for limb in np.flatnonzero((factor < 1).any(0)):
        doubt = np.where(anatomy.moved[ends[limb]], np.minimum(doubt, factor[:, limb, None]), doubt)
    step = ADAPTATION * np.nan_to_num(time - memory.time)
    for kind in range(memory.longest.shape[1]):
        longer = np.fmax.reduce(ratio[:, anatomy.kinds == kind], axis=-1, initial=np.nan)
        learnt = memory.longest[:, kind] + step * (QUANTILE - (longer < memory.longest[:, kind]))
        memory.longest[:, kind] = np.where(np.isnan(longer), memory.longest[:, kind], learnt.clip(1, LONGEST))
    return doubt


def find_appearances(
    memory: PersonMemory,
    xy: Float[np.ndarray, "person joint 2"],
    seen: Bool[np.ndarray, "person joint"],
    time: float,
    anatomy: Anatomy,
) -> Bool[np.ndarray, "person joint"]:
    """Joints that were hidden and appeared on an arm or leg of another person that was seen before, those that they
    move, and those nearer the trunk that appeared with them.
    """
    # a joint that jumped was not seen where it is
    since = np.where(seen, np.fmax(memory.seen_since, memory.left_time), np.inf)
    age = time - since
    appears = (age < APPEARANCE) | (time - memory.claim_time < APPEARANCE)
    outward = (anatomy.reach > TRUNK) & (anatomy.part != HEAD)
    claimed = np.zeros(xy.shape[:2], bool)
    for person, joint in np.argwhere(appears & (age >= 0) & (age < MAX_CLAIM) & outward):
        if _is_on_others(memory, xy, since, person, joint, anatomy):
            memory.claim_time[person, joint] = time
        if time - memory.claim_time[person, joint] < APPEARANCE:
            together = since[person] > since[person, joint] - APPEARANCE
            claimed[person] |= anatomy.moved[joint] | (anatomy.moved[:, joint] & outward & together)
    return claimed


def _is_on_others(
    memory: PersonMemory,
    xy: Float[np.ndarray, "person joint 2"],
    since: Float[np.ndarray, "person joint"],
    person: int,
    joint: int,
    anatomy: Anatomy,
) -> bool:
    """Whether a joint is on a limb, of its part of the body, of another person who showed it for `LAG` s before."""
    ends = anatomy.limbs[:, 1]
    limbs = anatomy.limbs[(anatomy.reach[ends] > TRUNK) & (anatomy.part[ends] == anatomy.part[joint])]
    start = xy[:, limbs[:, 0]]
    along = xy[:, limbs[:, 1]] - start
    offset = xy[person, joint] - start
    share = (offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
    distance = np.linalg.norm(offset - share.clip(0, 1)[..., None] * along, axis=-1)
    theirs = since[:, limbs].max(-1) < since[person, joint] - LAG
    theirs[person] = False
    return bool((theirs & (distance < LIMB_RADIUS * memory.height[:, None])).any())


def find_shared_limbs(
    memory: PersonMemory,
    xy: Float[np.ndarray, "person joint 2"],
    seen: Bool[np.ndarray, "person joint"],
    score: Float[np.ndarray, "person joint"],
    time: float,
    anatomy: Anatomy,
) -> Bool[np.ndarray, "person joint"]:
    """Arms and legs in one place with those of another person, of which one is hidden at best: the ends, and what they
    move, of the less plausible, by scores and by how far the joints were from where they were expected.
    """
    claimed = np.zeros(xy.shape[:2], bool)
    outward = anatomy.reach[anatomy.limbs[:, 1]] > TRUNK
    person, limb = np.nonzero(seen[:, anatomy.limbs].all(-1) & outward)
    ends = anatomy.limbs[limb]
    places = xy[person[:, None], ends]
    apart = np.linalg.norm(places[:, None] - places, axis=-1).max(-1)
    radius = LIMB_RADIUS * memory.height[person]
    alike = anatomy.kinds[limb][:, None] == anatomy.kinds[limb]
    shared = alike & (person[:, None] < person) & (apart < np.minimum(radius[:, None], radius))
    cost = memory.surprise / 2 - np.log(np.maximum(score, 1e-3))
    for pair in np.argwhere(shared):
        rows = person[pair, None]
        before = time - memory.claim_time[rows, ends[pair]].max(-1) < APPEARANCE
        loser = np.lexsort((cost[rows, ends[pair]].sum(-1), before))[-1]
        memory.claim_time[rows[loser], ends[pair[loser]]] = time
        claimed[rows[loser]] |= (anatomy.moved[ends[pair[loser]]] & (anatomy.reach > TRUNK)).any(0)
    return claimed


def _limb_lengths(xy: Float[np.ndarray, "person joint 2"], anatomy: Anatomy) -> Float[np.ndarray, "person limb"]:
    """Length of each limb in the image, px."""
    return np.linalg.norm(xy[:, anatomy.limbs[:, 1]] - xy[:, anatomy.limbs[:, 0]], axis=-1)
