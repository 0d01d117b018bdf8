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
from occlupose.occlusion.anatomy import PARTS, Anatomy, describe
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.occlusion.limbs import APPEARANCE, doubt_lengths, estimate_heights, find_appearances, find_shared_limbs
from occlupose.occlusion.person_memory import LAG, PersonMemory, predict_variance, reorder
from occlupose.occlusion.sides import (
    CHOICES,
    NOISE,
    SPEEDS,
    compare_sides,
    measure_pairs,
    order_joints,
    update_belief,
)

# Lengths without a unit are in body heights.
DOUBT = (
    0.1  # factor of the score of a joint that jumped or is on another person: no score is above `MIN_CONFIDENCE` then
)

FIRMNESS = 1.5  # odds above which the choice of swapped parts in earlier frames is changed

# Jumps. Squared distance from where a joint is expected, in standard deviations, that one in 100 exceeds (chi-squared)
GATE = 9.2
MAX_OUTLIERS = 0.25  # share of a person's joints that are elsewhere, above which the frame does not count
# Least jump: three times the noise of a keypoint, and twice its usual speed against the flow
JUMP = 3 * NOISE
FASTEST = 2 * SPEEDS

SURPRISE_DECAY = 0.2  # s in which it is forgotten that a joint was not where it was expected
MAX_SURPRISE = 30.0  # squared distance in standard deviations; more is no more surprising


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
            xy=reorder(found.xy, order),
            score=reorder(found.score * self.doubt.astype(found.score.dtype), order),
            state=reorder(found.state, order),
            xyz=None if found.xyz is None else reorder(found.xyz, order),
            spread=reorder(found.spread, order),
            probability=reorder(found.probability, order),
        )
        return people, JointFlow(reorder(self.joint_flow.motion, order), reorder(self.joint_flow.flow, order))


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
        self._memory: PersonMemory | None = None
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
        estimate_heights(memory, found, time, anatomy)
        frame.choice[rows], belief, frame.before[rows] = self._choose_sides(memory, found, time, anatomy)
        order = frame.order[rows]
        xy = reorder(found.xy, order)
        score = reorder(found.score, order)
        seen = np.isfinite(xy).all(-1) & (score >= MIN_CONFIDENCE)
        counts = self._find_jumps(memory, xy, seen, time, anatomy)
        frame.counts[rows] = counts
        memory.belief = np.where(counts[:, None], belief, memory.belief)
        memory.choice = np.where(counts, frame.choice[rows], memory.choice)
        memory.choice_time = np.where(counts, time, memory.choice_time)
        doubt = doubt_lengths(memory, xy, seen, time, anatomy)
        claimed = find_appearances(memory, xy, seen, time, anatomy)
        claimed |= find_shared_limbs(memory, xy, seen, score * doubt, time, anatomy)
        doubt = np.where(claimed, np.minimum(doubt, DOUBT), doubt)
        doubt[np.isnan(memory.time)] = 1  # a person's first frame stands
        frame.doubt[rows] = reorder(doubt, order)
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
    ) -> PersonMemory:
        """What is remembered of these people, moved with the flow since the frame before."""
        memory = PersonMemory.blank(numbers, found.score.shape[1], int(anatomy.kinds.max(initial=-1)) + 1)
        if self._memory is not None:
            old = self._memory.select(time - self._memory.time < LAG)
            rows, old_rows = _match(numbers, old.number)
            memory.put(rows, old, old_rows)
        if self._frames and joint_flow is not None:
            last = self._frames[-1]
            rows, last_rows = _match(numbers, last.track_numbers)
            to_this_frame = np.isfinite(found.xy[rows] + last.detections.xy[last_rows])
            flow = joint_flow.flow[last_rows] * box_sides(last.detections.boxes[last_rows])[:, None, None]
            memory.move(rows, reorder(np.where(to_this_frame, flow, np.nan), last.order[last_rows]))
        return memory

    def _remember(self, memory: PersonMemory, xy: Float[np.ndarray, "person joint 2"], time: float) -> None:
        """Keeps these people, and those who are gone for less than `LAG` seconds."""
        memory.xy = xy.astype(float)
        memory.time = np.full(len(xy), time)
        if self._memory is not None:
            gone = ~np.isin(self._memory.number, memory.number) & (time - self._memory.time < LAG)
            memory = memory.add(self._memory.select(gone))
        self._memory = memory

    def _choose_sides(
        self, memory: PersonMemory, found: Detections, time: float, anatomy: Anatomy
    ) -> tuple[Int[np.ndarray, " person"], Float[np.ndarray, "person choice"], Int[np.ndarray, "person choice"]]:
        """The most probable choice of swapped parts, and what `update_belief` returns. Where another choice than that
        made in the frame before leads to it, earlier frames are changed.
        """
        pairs = anatomy.pairs
        variance = predict_variance(memory, time, anatomy)
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
        memory: PersonMemory,
        xy: Float[np.ndarray, "person joint 2"],
        seen: Bool[np.ndarray, "person joint"],
        time: float,
        anatomy: Anatomy,
    ) -> Bool[np.ndarray, " person"]:
        """Corrects where joints are expected; doubts those in earlier frames that were elsewhere and are back now.
        Returns which people are where they were expected.
        """
        height = memory.height[:, None]
        variance = predict_variance(memory, time, anatomy)
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
            motion = reorder(_motion(frame, others), frame.order).astype(motion.dtype)
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
        there[rows] = reorder(other.detections.xy, other.order)[other_rows]
        step = there - reorder(xy, frame.order)
        motion = np.where((reorder(measures, frame.order) & np.isfinite(step).all(-1))[..., None], step, motion)
    return motion / box_sides(frame.detections.boxes)[:, None, None]


def _match(
    numbers: Int[np.ndarray, " person"], others: Int[np.ndarray, " other"]
) -> tuple[Int[np.ndarray, " both"], Int[np.ndarray, " both"]]:
    """Rows of the people in both lists, in either; negative numbers are nobody."""
    rows, other_rows = np.nonzero((numbers[:, None] == others) & (others >= 0))
    return rows, other_rows
