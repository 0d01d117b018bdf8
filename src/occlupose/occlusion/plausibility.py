"""Tracked keypoints checked over time: swapped sides are put right, implausible joints lose confidence. All ours.

A 2D network sees one person in one frame. Other frames and other people tell more:

- left and right change places between two frames while the optical flow stands still (`sides`);
- a joint jumps faster than a body moves, and back;
- a limb is longer than this person's;
- a joint is on another person's arm or leg: where it appears there, or where two limbs are in one place.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.detections import Detections, box_sides
from occlupose.flow import JointFlow
from occlupose.occlusion.anatomy import HEAD, PARTS, TRUNK, Anatomy, describe
from occlupose.occlusion.sides import (
    CHOICES,
    NOISE,
    PRIOR,
    SPEEDS,
    compare_sides,
    measure_pairs,
    order_joints,
    update_belief,
)

LAG = 1 / 3
"""Seconds for which a frame may change when later ones are known: as long as the tracker takes to confirm an id, so
that no result waits for this. A person who is gone for longer starts afresh."""

# Lengths without a unit are in body heights.
SEEN = 0.3  # least score of a joint that is seen (OANet's b)
DOUBT = 0.1  # factor of the score of a joint that jumped or is on another person: no score is above `SEEN` then

FIRMNESS = 1.5  # odds above which the choice of swapped parts in earlier frames is changed

# Jumps. Squared distance from where a joint is expected, in standard deviations, that one in 100 exceeds (chi-squared)
GATE = 9.2
MAX_OUTLIERS = 0.25  # share of a person's joints that are elsewhere, above which the frame does not count
# Least jump: three times the noise of a keypoint, and twice its usual speed against the flow
JUMP = 3 * NOISE
FASTEST = 2 * SPEEDS

# Limbs. Foreshortening makes limbs shorter only, so body height is that of a long limb: the third longest for its kind,
# since an arm on another person is two wrong ones. A person who walks away from 4 m to 8 m halves in 3 s.
HEIGHT_RANK = 3
HEIGHT_DECAY = 4.0  # s in which a body height that is not seen again falls to exp(-1)
# limit of a limb's length / the longest of its kind in this person, which is between the mean of people and 1.25 times
# it: bones differ by 10 % between people, and datasets' shoulders and hips by as much
MARGIN = 1.3
LONGEST = 1.25
QUANTILE = 0.9  # share of the frames in which a limb is shorter than the person's longest of its kind
ADAPTATION = 0.5  # per s: how fast the longest is learnt
LENGTH_SIGMA = 0.1  # excess over the limit that multiplies the score by exp(-1/2)

# Joints on others
LIMB_RADIUS = 0.055  # half the width of a clothed arm or shank, and the noise of a keypoint
SURPRISE_DECAY = 0.2  # s in which it is forgotten that a joint was not where it was expected
MAX_SURPRISE = 30.0  # squared distance in standard deviations; more is no more surprising
APPEARANCE = 0.1  # s without being seen after which a joint counts as hidden, and in which it appears again
MAX_CLAIM = 1.0  # s after which a joint on another person's limb is believed


@dataclass(eq=False)
class CheckedFrame:
    """The people of a frame, checked. `Plausibility` changes it until the frame is `LAG` seconds old.

    Attributes:
        time: s.
        detections: as detected.
        track_numbers: negative: no track, not checked.
        choice: number of the parts whose left and right are swapped, in `sides.CHOICES`.
        before: for every choice the one in the frame before with which it is most probable.
        counts: whether the person is where they were expected, so that the next frame is compared with this one.
        doubt: factor of the score of each joint as detected, 0..1.
        joint_flow: at the joints as detected, with the motion to where the same joint is once the sides are put right;
            NaN before the next frame is known.
    """

    time: float
    detections: Detections
    track_numbers: Int[np.ndarray, " person"]
    choice: Int[np.ndarray, " person"]
    before: Int[np.ndarray, "person choice"]
    counts: Bool[np.ndarray, " person"]
    doubt: Float[np.ndarray, "person joint"]
    joint_flow: JointFlow

    @property
    def swapped(self) -> Bool[np.ndarray, "person part"]:
        """Parts (see `anatomy`) whose left and right are swapped."""
        return CHOICES[self.choice]

    @property
    def order(self) -> Int[np.ndarray, "person joint"]:
        """Which detected joint is each joint."""
        return order_joints(self.swapped, describe(self.detections.skeleton))

    def result(self) -> tuple[Detections, JointFlow]:
        """The people with the sides put right and doubts in the scores, and motion and flow of these joints."""
        order = self.order
        found = self.detections
        people = replace(
            found,
            xy=_reorder(found.xy, order),
            score=_reorder(found.score * self.doubt.astype(found.score.dtype), order),
            state=_reorder(found.state, order),
            xyz=None if found.xyz is None else _reorder(found.xyz, order),
        )
        return people, JointFlow(_reorder(self.joint_flow.motion, order), _reorder(self.joint_flow.flow, order))


@dataclass(eq=False)
class _Memory:
    """What is remembered of people, one row each. Positions in px, moved with the flow; joints with sides put right."""

    number: Int[np.ndarray, " person"]
    time: Float[np.ndarray, " person"]  # of the last frame; NaN: none yet
    height: Float[np.ndarray, " person"]  # body height, px
    longest: Float[np.ndarray, "person kind"]  # longest limb of a kind / the mean of people of this height
    belief: Float[
        np.ndarray, "person choice"
    ]  # probability of each choice of swapped parts in the last frame that counts
    choice: Int[np.ndarray, " person"]  # made there
    choice_time: Float[np.ndarray, " person"]  # of that frame; NaN: none
    xy: Float[np.ndarray, "person joint 2"]  # in the last frame
    expected: Float[np.ndarray, "person joint 2"]  # by a Kalman filter that leaves out what jumps
    variance: Float[np.ndarray, "person joint"]  # of a coordinate of that when it was last corrected, body heights²
    found_time: Float[np.ndarray, "person joint"]  # when last near where it was expected; -inf: never
    left_time: Float[np.ndarray, "person joint"]  # of the last frame before it jumped away; NaN: it did not
    surprise: Float[np.ndarray, "person joint"]  # recent squared distance from there, in standard deviations
    seen_since: Float[np.ndarray, "person joint"]  # without having been hidden; -inf: before the first frame
    seen_time: Float[np.ndarray, "person joint"]  # when last seen; -inf: never
    claim_time: Float[np.ndarray, "person joint"]  # when last on another person's limb; -inf: never

    @classmethod
    def blank(cls, number: Int[np.ndarray, " person"], joints: int, kinds: int) -> "_Memory":
        """People who were not there before."""
        people = len(number)
        return cls(
            number=number.copy(),
            time=np.full(people, np.nan),
            height=np.full(people, np.nan),
            longest=np.full((people, kinds), LONGEST),
            belief=np.tile(PRIOR, (people, 1)),
            choice=np.zeros(people, int),
            choice_time=np.full(people, np.nan),
            xy=np.full((people, joints, 2), np.nan),
            expected=np.full((people, joints, 2), np.nan),
            variance=np.full((people, joints), np.nan),
            found_time=np.full((people, joints), -np.inf),
            left_time=np.full((people, joints), np.nan),
            surprise=np.zeros((people, joints)),
            seen_since=np.full((people, joints), -np.inf),
            seen_time=np.full((people, joints), -np.inf),
            claim_time=np.full((people, joints), -np.inf),
        )

    def select(self, rows: np.ndarray) -> "_Memory":
        """Some of the people."""
        return _Memory(**{name: values[rows] for name, values in vars(self).items()})

    def put(self, rows: np.ndarray, other: "_Memory", other_rows: np.ndarray) -> None:
        """Copies people from another memory."""
        for name, values in vars(self).items():
            values[rows] = getattr(other, name)[other_rows]

    def add(self, other: "_Memory") -> "_Memory":
        """The people of both."""
        return _Memory(**{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()})

    def swap(self, change: Int[np.ndarray, " person"], anatomy: Anatomy) -> None:
        """Swaps the sides of these choices of parts in all that is remembered."""
        order = order_joints(CHOICES[change], anatomy)
        for name in _JOINTWISE:
            setattr(self, name, _reorder(getattr(self, name), order))
        self.choice = self.choice ^ change

    def move(self, rows: np.ndarray, flow: Float[np.ndarray, "person joint 2"]) -> None:
        """Moves the joints of these people with the flow at them, px; a joint without flow, or that was not where it
        was expected, with the mean of the others.
        """
        useful = np.isfinite(flow).all(-1) & (self.found_time[rows] == self.time[rows, None])
        total = np.where(useful[..., None], flow, 0).sum(1, keepdims=True)
        mean = total / np.maximum(useful.sum(1), 1)[:, None, None]
        step = np.where(useful[..., None], flow, mean)
        self.xy[rows] += step
        self.expected[rows] += step


_JOINTWISE = (
    "xy",
    "expected",
    "variance",
    "found_time",
    "left_time",
    "surprise",
    "seen_since",
    "seen_time",
    "claim_time",
)


class Plausibility:
    """Checks tracked detections frame by frame.

    Swapped sides show when they change, which leaves open which sides are right: those that last longer. After a cut
    the decision may therefore be wrong for about two seconds. People who turn around, cross their legs or leave for a
    while are left alone: joints must change places that are farther apart than a body moves from one frame to the next.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start with another video."""
        self._memory: _Memory | None = None
        self._frames: deque[CheckedFrame] = deque()

    def update(
        self,
        time: float,
        detections: Detections,
        track_numbers: Int[np.ndarray, " person"],
        joint_flow: JointFlow | None,
    ) -> CheckedFrame:
        """Add a frame; may change those of the last `LAG` seconds.

        Arguments:
            time: s, later than that of the frame before.
            detections: with the same skeleton in all frames.
            track_numbers: people with equal numbers are one; negative: no track.
            joint_flow: of the frame before, as `FlowSampler.update` returns it.
        """
        anatomy = describe(detections.skeleton)
        rows = np.flatnonzero(track_numbers >= 0)
        found = detections.select(rows)
        memory = self._recall(found, track_numbers[rows], joint_flow, time, anatomy)
        frame = _unchecked(time, detections, track_numbers)
        self._frames.append(frame)
        while len(self._frames) > 3 and time - self._frames[0].time > LAG + 1e-6:
            self._frames.popleft()
        _estimate_heights(memory, found, time, anatomy)
        frame.choice[rows], belief, frame.before[rows] = self._choose_sides(memory, found, time, anatomy)
        order = frame.order[rows]
        xy = _reorder(found.xy, order)
        score = _reorder(found.score, order)
        seen = np.isfinite(xy).all(-1) & (score >= SEEN)
        counts = self._find_jumps(memory, xy, seen, time, anatomy)
        frame.counts[rows] = counts
        memory.belief = np.where(counts[:, None], belief, memory.belief)
        memory.choice = np.where(counts, frame.choice[rows], memory.choice)
        memory.choice_time = np.where(counts, time, memory.choice_time)
        doubt = _doubt_lengths(memory, xy, seen, time, anatomy)
        claimed = _find_appearances(memory, xy, seen, time, anatomy)
        claimed |= _find_shared_limbs(memory, xy, seen, score * doubt, time, anatomy)
        doubt = np.where(claimed, np.minimum(doubt, DOUBT), doubt)
        doubt[np.isnan(memory.time)] = 1  # a person's first frame stands
        frame.doubt[rows] = _reorder(doubt, order)
        self._remember(memory, xy, time)
        if len(self._frames) > 1 and joint_flow is not None:
            self._set_flow(len(self._frames) - 2, joint_flow)
        return frame

    def finish(self, joint_flow: JointFlow | None) -> None:
        """End of the video; resets everything.

        Arguments:
            joint_flow: of the last frame, as `FlowSampler.finish` returns it.
        """
        if self._frames and joint_flow is not None:
            self._set_flow(len(self._frames) - 1, joint_flow)
        self.reset()

    def _recall(
        self,
        found: Detections,
        numbers: Int[np.ndarray, " person"],
        joint_flow: JointFlow | None,
        time: float,
        anatomy: Anatomy,
    ) -> _Memory:
        """What is remembered of these people, moved with the flow since the frame before."""
        memory = _Memory.blank(numbers, found.score.shape[1], int(anatomy.kinds.max(initial=-1)) + 1)
        if self._memory is not None:
            old = self._memory.select(time - self._memory.time < LAG)
            rows, old_rows = _match(numbers, old.number)
            memory.put(rows, old, old_rows)
        if self._frames and joint_flow is not None:
            last = self._frames[-1]
            rows, last_rows = _match(numbers, last.track_numbers)
            to_this_frame = np.isfinite(found.xy[rows] + last.detections.xy[last_rows])
            flow = joint_flow.flow[last_rows] * box_sides(last.detections.boxes[last_rows])[:, None, None]
            memory.move(rows, _reorder(np.where(to_this_frame, flow, np.nan), last.order[last_rows]))
        return memory

    def _remember(self, memory: _Memory, xy: Float[np.ndarray, "person joint 2"], time: float) -> None:
        """Keeps these people, and those who are gone for less than `LAG` seconds."""
        memory.xy = xy.astype(float)
        memory.time = np.full(len(xy), time)
        if self._memory is not None:
            gone = ~np.isin(self._memory.number, memory.number) & (time - self._memory.time < LAG)
            memory = memory.add(self._memory.select(gone))
        self._memory = memory

    def _choose_sides(
        self, memory: _Memory, found: Detections, time: float, anatomy: Anatomy
    ) -> tuple[Int[np.ndarray, " person"], Float[np.ndarray, "person choice"], Int[np.ndarray, "person choice"]]:
        """The most probable choice of swapped parts, and what `update_belief` returns. Where another choice than that
        made in the frame before leads to it, earlier frames are changed.
        """
        pairs = anatomy.pairs
        variance = _predict_variance(memory, time, anatomy)
        same, other = measure_pairs(memory.expected, found.xy, anatomy)
        scale = memory.height[:, None] ** 2
        evidence = compare_sides(same / scale, other / scale, variance[:, pairs].max(-1))
        evidence *= found.score[:, pairs].min(-1)
        part_evidence = evidence @ np.eye(PARTS)[anatomy.part[pairs[:, 0]]]
        gap = np.nan_to_num(time - memory.choice_time)
        belief, before = update_belief(memory.belief, memory.choice, part_evidence, gap)
        kept = before == memory.choice[:, None]
        choice = (belief * np.where(kept, FIRMNESS, 1)).argmax(-1)
        earlier = before[np.arange(len(before)), choice]
        change = earlier ^ memory.choice
        for person in np.flatnonzero(change):
            self._choose_anew(int(memory.number[person]), int(earlier[person]))
        memory.swap(change, anatomy)
        return choice, belief, before

    def _choose_anew(self, number: int, choice: int) -> None:
        """Makes another choice in the last frame that counts, the choices before that lead to it, and the same changes
        in the frames in between.
        """
        skipped: list[tuple[CheckedFrame, int]] = []
        for frame in list(self._frames)[-2::-1]:
            for row in np.flatnonzero(frame.track_numbers == number):
                skipped.append((frame, int(row)))
                if frame.counts[row]:
                    change = frame.choice[row] ^ choice
                    for other, other_row in skipped:
                        other.choice[other_row] ^= change
                    if not change:
                        return
                    choice = int(frame.before[row, choice])
                    skipped = []

    def _find_jumps(
        self,
        memory: _Memory,
        xy: Float[np.ndarray, "person joint 2"],
        seen: Bool[np.ndarray, "person joint"],
        time: float,
        anatomy: Anatomy,
    ) -> Bool[np.ndarray, " person"]:
        """Corrects where joints are expected; doubts those in earlier frames that were elsewhere and are back now.
        Returns which people are where they were expected.
        """
        height = memory.height[:, None]
        variance = _predict_variance(memory, time, anatomy)
        distance = np.linalg.norm(xy - memory.expected, axis=-1) / height
        deviation = distance**2 / variance
        known = np.isfinite(deviation)
        before = np.linalg.norm(memory.xy - memory.expected, axis=-1) / height
        step = np.linalg.norm(xy - memory.xy, axis=-1) / height
        jumps = step > JUMP + FASTEST[anatomy.reach] * (time - memory.time)[:, None]

        away = ~np.isnan(memory.left_time)
        back = away & jumps & (distance < np.maximum(before / 2, JUMP))
        near = np.isfinite(xy).all(-1) & (~known | np.where(away, back | (distance < JUMP), deviation <= GATE))
        hidden = memory.time[:, None] - memory.seen_time > APPEARANCE
        leaves = known & ~away & ~near & jumps & ~hidden
        for person, joint in np.argwhere(back & seen):
            self._doubt_jump(int(memory.number[person]), joint, float(memory.left_time[person, joint]), time)
        anew = near & ~known & ~np.isnan(memory.time)[:, None]
        new = (away & near & ~back) | anew | hidden
        memory.left_time = np.where(leaves, memory.time[:, None], np.where(near, np.nan, memory.left_time))
        memory.seen_since = np.where(seen & new, time, memory.seen_since)
        memory.seen_time = np.where(seen, time, memory.seen_time)
        memory.found_time = np.where(near, time, memory.found_time)
        decay = np.exp(-np.nan_to_num(time - memory.time)[:, None] / SURPRISE_DECAY)
        surprise = np.minimum(np.nan_to_num(deviation), MAX_SURPRISE)
        memory.surprise = decay * memory.surprise + (1 - decay) * surprise
        counts = (known & ~near).sum(-1) <= MAX_OUTLIERS * known.sum(-1)
        corrected = near & counts[:, None]
        gain = np.where(known, 1 - NOISE**2 / variance, 1)
        start = np.where(known[..., None], memory.expected, xy)
        memory.expected = np.where(corrected[..., None], start + gain[..., None] * (xy - start), memory.expected)
        memory.variance = np.where(corrected, gain * NOISE**2, memory.variance)
        return counts

    def _doubt_jump(self, number: int, joint: int, start: float, end: float) -> None:
        """Doubts a joint between two times, and forgets that its motion at the first did not agree with the flow."""
        for frame in self._frames:
            for row in np.flatnonzero(frame.track_numbers == number):
                detected = frame.order[row, joint]
                if start < frame.time < end:
                    frame.doubt[row, detected] = min(frame.doubt[row, detected], DOUBT)
                elif frame.time == start:
                    frame.joint_flow.motion[row, detected] = np.nan

    def _set_flow(self, index: int, joint_flow: JointFlow) -> None:
        """Sets motion and flow of a frame; the motion anew where sides are swapped in it or its neighbours."""
        frame = self._frames[index]
        others = [self._frames[other] for other in (index + 1, index - 1) if 0 <= other < len(self._frames)]
        motion = joint_flow.motion.copy()
        if any(neighbour.choice.any() for neighbour in (frame, *others)):
            motion = _reorder(_motion(frame, others), frame.order).astype(motion.dtype)
        frame.joint_flow = JointFlow(motion, joint_flow.flow)


def _unchecked(time: float, detections: Detections, track_numbers: Int[np.ndarray, " person"]) -> CheckedFrame:
    """A frame in which nothing is swapped or doubted."""
    unknown = np.full(detections.xy.shape, np.nan, np.float32)
    people = len(detections)
    return CheckedFrame(
        time=time,
        detections=detections,
        track_numbers=track_numbers,
        choice=np.zeros(people, int),
        before=np.zeros((people, len(CHOICES)), int),
        counts=np.zeros(people, bool),
        doubt=np.ones(detections.score.shape),
        joint_flow=JointFlow(unknown, unknown),
    )


def _motion(frame: CheckedFrame, others: list[CheckedFrame]) -> Float[np.ndarray, "person joint 2"]:
    """Motion of each joint with the sides put right, in box sides, to the first of the other frames that `FlowSampler`
    measures its flow to; NaN where the same joint is not there.
    """
    xy = frame.detections.xy
    motion = np.full(xy.shape, np.nan)
    measured = np.zeros(xy.shape[:2], bool)
    for other in others:
        rows, other_rows = _match(frame.track_numbers, other.track_numbers)
        there = np.full(xy.shape, np.nan)
        there[rows] = other.detections.xy[other_rows]
        measures = np.isfinite(there - xy).all(-1) & ~measured
        measured |= measures
        there[rows] = _reorder(other.detections.xy, other.order)[other_rows]
        step = there - _reorder(xy, frame.order)
        motion = np.where((_reorder(measures, frame.order) & np.isfinite(step).all(-1))[..., None], step, motion)
    return motion / box_sides(frame.detections.boxes)[:, None, None]


def _estimate_heights(memory: _Memory, found: Detections, time: float, anatomy: Anatomy) -> None:
    """Body heights, px: by a long limb of this frame, or as remembered if that is larger; the side of the box where too
    few limbs are seen. NaN, so that nothing is checked, if the skeleton has too few.
    """
    if len(anatomy.limbs) < HEIGHT_RANK:
        return
    heights = _limb_lengths(found.xy, anatomy) / anatomy.lengths
    seen = (found.score[:, anatomy.limbs] >= SEEN).all(-1) & np.isfinite(heights)
    height = np.sort(np.where(seen, heights, 0), axis=-1)[:, -HEIGHT_RANK]
    height = np.fmax(height, memory.height * np.exp(-(time - memory.time) / HEIGHT_DECAY))
    memory.height = np.where(height > 0, height, box_sides(found.boxes))


def _predict_variance(memory: _Memory, time: float, anatomy: Anatomy) -> Float[np.ndarray, "person joint"]:
    """Variance of a coordinate of a keypoint around where it is expected, body heights²; NaN where nothing is
    remembered, or was last found before `LAG`.
    """
    age = time - memory.found_time
    age = np.where(age < LAG, age, np.nan)
    return memory.variance + (SPEEDS[anatomy.reach] * age) ** 2 + NOISE**2


def _doubt_lengths(
    memory: _Memory,
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


def _find_appearances(
    memory: _Memory,
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
    memory: _Memory,
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


def _find_shared_limbs(
    memory: _Memory,
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


def _match(
    numbers: Int[np.ndarray, " person"], others: Int[np.ndarray, " other"]
) -> tuple[Int[np.ndarray, " both"], Int[np.ndarray, " both"]]:
    """Rows of the people in both lists, in either; negative numbers are nobody."""
    rows, other_rows = np.nonzero((numbers[:, None] == others) & (others >= 0))
    return rows, other_rows


def _reorder(values: np.ndarray, order: Int[np.ndarray, "person joint"]) -> np.ndarray:
    """The values of each person's joints in another order."""
    return values[np.arange(len(order))[:, None], order]
