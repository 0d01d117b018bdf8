"""Synthetic people whose keypoints are exact, but for the fault that is looked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moving_figures import check, motion_of, standing, striding, swap_sides, view
from occlupose.detections import Detections
from occlupose.occlusion.confidence import discount_by_flow
from occlupose.occlusion.limbs import MAX_CLAIM
from occlupose.occlusion.plausibility import DOUBT, Plausibility
from occlupose.skeletons import BODY22, BODY26, COCO17, CROWDPOSE14, H36M17, MPI15, WHOLEBODY133, Skeleton

SEEDS = st.integers(0, 2**32 - 1)
SIDE_VIEW = np.pi / 2
FLOWS = ("exact", "still", "unknown")


def flow_of(xy, kind):
    """Flow at joints that move like this, px."""
    return {"exact": motion_of(xy), "still": 0 * motion_of(xy), "unknown": None}[kind]


def results(frames, person=0):
    """Keypoints and scores of the checked frames, (frames, joint, 2) and (frames, joint)."""
    people = [frame.result()[0] for frame in frames]
    return np.stack([found.xy[person] for found in people]), np.stack([found.score[person] for found in people])


def swapped(frames, person=0):
    """Numbers of the frames in which anything is swapped."""
    return [index for index, frame in enumerate(frames) if frame.swapped[person].any()]


def doubted(frames, person=0, skeleton=COCO17):
    """Names of the joints whose score is lowered so that they are not visible -> the frames."""
    found = {}
    for index, frame in enumerate(frames):
        for joint in np.flatnonzero(frame.doubt[person] < 1 / 3):
            found.setdefault(skeleton.joints[joint], []).append(index)
    return found


def noisy(xy, seed, sigma=3.0):
    return xy + np.random.default_rng(seed).normal(0, sigma, xy.shape)


# ---------------------------------------------------------------------------------------- swapped sides


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize(("fps", "count"), [(60, 1), (60, 3), (60, 20), (30, 3), (30, 20), (10, 1), (10, 3), (10, 10)])
def test_swapped_sides_are_put_right(fps, count, kind):
    """Joints, their scores, and the motion that is compared with the flow."""
    true = view(striding(60, fps), 0.4)
    wrong = range(25, 25 + count)
    score = np.random.default_rng(0).uniform(0.5, 1, (60, 17))
    flow = flow_of(true, kind)
    flow = None if flow is None else swap_sides(flow, wrong)[:, None]
    frames = check(swap_sides(true, wrong)[:, None], flow, fps, score=swap_sides(score, wrong)[:, None])
    assert swapped(frames) == list(wrong)
    xy, scores = results(frames)
    np.testing.assert_allclose(xy, true, rtol=1e-6)
    np.testing.assert_allclose(scores, score)
    motion = np.stack([frame.result()[1].motion[0] for frame in frames[:-1]])
    sides = np.ptp(true, axis=1).max(-1)[:-1, None, None]
    np.testing.assert_allclose(motion, motion_of(true)[:-1] / sides, atol=1e-5)


def test_all_that_is_known_of_a_joint_moves_with_its_side():
    true = view(striding(60, 60), 0.4)
    wrong = range(25, 30)
    random = np.random.default_rng(0)
    state = random.integers(1, 3, (60, 17), np.uint8)
    known = {"spread": random.random((60, 17)), "probability": random.random((60, 17, 3)), "state": state}
    xy = swap_sides(true, wrong)
    checks = Plausibility()
    frames = []
    for index in range(60):
        there = {name: swap_sides(values, wrong)[index, None] for name, values in known.items()}
        found = Detections(skeleton=COCO17, xy=xy[index, None], score=np.full((1, 17), 0.9), **there)
        frames.append(checks.update(index / 60, found, np.array([0]), None))
    assert swapped(frames) == list(wrong)
    for name, values in known.items():
        np.testing.assert_array_equal([getattr(frame.result()[0], name)[0] for frame in frames], values)


def test_confidence_is_that_of_the_right_sides():
    """Motion against the flow would lower it where the swap begins and ends."""
    true = view(striding(60, 60), 0.4)
    wrong = range(25, 30)
    frames = check(swap_sides(true, wrong)[:, None], swap_sides(motion_of(true), wrong)[:, None], 60)
    for frame in frames:
        people, joint_flow = frame.result()
        np.testing.assert_allclose(discount_by_flow(people.score, joint_flow.motion, joint_flow.flow), 0.9, atol=1e-6)


@pytest.mark.parametrize("parts", ["hip knee ankle", "shoulder elbow wrist", "shoulder elbow wrist eye ear"])
def test_a_part_alone(parts):
    true = view(standing(60), 0.3)
    frames = check(swap_sides(true, range(20, 31), parts)[:, None], 0 * true[:, None], 30)
    np.testing.assert_allclose(results(frames)[0], true, rtol=1e-6)
    assert swapped(frames) == list(range(20, 31))


def test_legs_of_a_walker_seen_from_the_side():
    """While they are apart."""
    true = view(striding(120, 60), SIDE_VIEW)
    ankles = COCO17.index("left_ankle", "right_ankle")
    apart = np.abs(np.diff(true[:, ankles, 0], axis=1)[:, 0])
    start = 20 + int(apart[20:80].argmax())
    frames = check(swap_sides(true, range(start, start + 4), "knee ankle hip")[:, None], motion_of(true)[:, None], 60)
    assert swapped(frames) == list(range(start, start + 4))
    np.testing.assert_allclose(results(frames)[0], true, rtol=1e-6)


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("duration", [0.4, 0.6, 1.5])
@pytest.mark.parametrize("fps", [60, 30, 15, 10])
def test_a_person_who_turns_around_is_left_alone(fps, duration, kind):
    """To the left, and after a while on to the front again, walking and standing."""
    time = np.arange(round(4 * fps)) / fps
    yaw = np.pi * (np.clip((time - 1) / duration, 0, 1) + np.clip((time - 2.5) / duration, 0, 1))
    for body in (striding(len(time), fps), standing(len(time))):
        xy = view(body, yaw)
        flow = flow_of(xy, kind)
        frames = check(xy[:, None], None if flow is None else flow[:, None], fps)
        assert swapped(frames) == [] and doubted(frames) == {}


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("yaw", [SIDE_VIEW, SIDE_VIEW - 0.4, 0.0])
@pytest.mark.parametrize("stride", [0.4, 0.7])
@pytest.mark.parametrize("fps", [60, 30, 15, 10])
def test_crossing_legs_are_left_alone(fps, stride, yaw, kind):
    """Of somebody who walks, or runs, past the camera."""
    frames = round(3 * fps)
    right = 1.4 * np.arange(frames) / fps - 2
    xy = view(striding(frames, fps, cycle=1.1 if stride < 0.5 else 0.75, stride=stride), yaw, right=right)
    flow = flow_of(xy, kind)
    checked = check(xy[:, None], None if flow is None else flow[:, None], fps)
    assert swapped(checked) == [] and doubted(checked) == {}


def test_one_of_two_people():
    first = view(striding(60, 30), 0.2, right=-0.6)
    second = view(striding(60, 30, cycle=1.3), np.pi, right=0.6)
    wrong = range(20, 27)
    xy = np.stack([first, swap_sides(second, wrong)], 1)
    frames = check(xy, np.stack([motion_of(first), swap_sides(motion_of(second), wrong)], 1), 30)
    assert swapped(frames, 0) == [] and swapped(frames, 1) == list(wrong)
    np.testing.assert_allclose(results(frames, 1)[0], second, rtol=1e-6)


@pytest.mark.parametrize("gap", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("fps", [60, 10])
def test_a_person_who_turns_around_unseen_is_left_alone(fps, gap):
    """While gone for a while, at most at a turn in half a second."""
    time = np.arange(3 * fps) / fps
    yaw = np.clip((time - 1) / max(gap, 0.5), 0, 1) * np.pi
    xy = view(standing(len(time)), yaw)
    xy[(time > 1) & (time < 1 + gap)] = np.nan
    found = np.isfinite(xy).all((1, 2))
    frames = check(xy[:, None], motion_of(xy)[:, None], fps)
    assert not any(frame.swapped.any() for frame in frames)
    assert [len(frame.detections) for frame in frames] == found.astype(int).tolist()


def test_swapped_sides_across_a_short_gap():
    true = view(standing(60))
    xy = swap_sides(true, range(30, 36))
    xy[28:30] = np.nan
    frames = check(xy[:, None], 0 * xy[:, None], 60)
    assert [index for index, frame in enumerate(frames) if frame.swapped.any()] == list(range(30, 36))


def test_after_a_gap_sides_are_as_detected():
    xy = swap_sides(view(standing(90)), range(20, 31))
    xy[31:45] = np.nan
    frames = check(xy[:, None], 0 * xy[:, None], 30)
    assert [index for index, frame in enumerate(frames) if frame.swapped.any()] == list(range(20, 31))


def test_missing_joints_move_with_their_side():
    true = view(striding(60, 30), 0.3)
    true[15:40, COCO17.index("left_wrist", "left_ankle")] = np.nan
    true[22:28, COCO17.index("right_elbow")] = np.nan
    wrong = range(20, 27)
    frames = check(swap_sides(true, wrong)[:, None], swap_sides(motion_of(true), wrong)[:, None], 30)
    assert swapped(frames) == list(wrong)
    np.testing.assert_allclose(results(frames)[0], true, rtol=1e-6)


@pytest.mark.parametrize("skeleton", [BODY22, BODY26, CROWDPOSE14, H36M17, MPI15, WHOLEBODY133], ids=lambda it: it.name)
def test_other_skeletons(skeleton):
    true = view(striding(60, 30), 0.3, skeleton=skeleton)
    wrong = range(20, 27)
    flow = swap_sides(motion_of(true), wrong, skeleton=skeleton)
    frames = check(swap_sides(true, wrong, skeleton=skeleton)[:, None], flow[:, None], 30, skeleton=skeleton)
    assert swapped(frames) == list(wrong)
    np.testing.assert_allclose(results(frames)[0], true, rtol=1e-6)


@pytest.mark.parametrize("joints", [("nose", "neck"), ("left_tip", "right_tip"), ("left_knee", "right_elbow")])
def test_joints_that_are_no_known_pairs_are_left_alone(joints):
    skeleton = Skeleton("two", joints, ())
    xy = np.tile([[100.0, 100], [200, 150]], (40, 1, 1))
    xy[15:20] = xy[15:20, ::-1]
    frames = check(xy[:, None], 0 * xy[:, None], 30, skeleton=skeleton)
    assert swapped(frames) == []
    np.testing.assert_allclose(results(frames)[0], xy)


@pytest.mark.parametrize("fps", [60, 10])
def test_a_wrong_decision_ends(fps):
    """After a cut to somebody seen from behind in the same place, who stays."""
    true = view(standing(12 * fps))
    xy = swap_sides(true, range(6 * fps, 12 * fps))
    frames = check(xy[:, None], 0 * xy[:, None], fps)
    assert 7 <= max(swapped(frames)) / fps <= 8.5


def test_what_is_right_is_what_is_there_for_longer():
    """Also if the video begins with swapped sides: the frames are still waiting for the ids."""
    true = view(standing(60))
    frames = check(swap_sides(true, range(5))[:, None], 0 * true[:, None], 60)
    np.testing.assert_allclose(results(frames)[0], true, rtol=1e-6)
    assert swapped(frames) == list(range(5))


def test_half_swapped_frames_are_bridged():
    """Networks that regress coordinates give the mean of both where they are undecided."""
    true = view(striding(90, 60), 0.3)
    xy = swap_sides(true, range(30, 50))
    for frame in (29, 50):
        xy[frame] = (true[frame] + swap_sides(true, [frame])[frame]) / 2
    frames = check(xy[:, None], swap_sides(motion_of(true), range(30, 50))[:, None], 60)
    assert set(swapped(frames)) - {29, 50} == set(range(30, 50))


# ------------------------------------------------------------------------------------------------ jumps


def raised(xy):
    """Positions of a left wrist as far above the elbow as it is below: 0.5 m away with a forearm of the same length."""
    elbow, wrist = COCO17.index("left_elbow", "left_wrist")
    return 2 * xy[..., elbow, :] - xy[..., wrist, :]


def test_a_joint_that_jumps_and_is_back_is_doubted():
    true = view(standing(90))
    xy = true.copy()
    wrist = COCO17.index("left_wrist")[0]
    xy[60:65, wrist] = raised(true)[60:65]
    frames = check(xy[:, None], motion_of(true)[:, None], 60)
    assert doubted(frames) == {"left_wrist": [60, 61, 62, 63, 64]}
    people, joint_flow = frames[59].result()
    confidence = discount_by_flow(people.score, joint_flow.motion, joint_flow.flow)
    np.testing.assert_allclose(confidence, 0.9, atol=1e-6, err_msg="the frame before is as good as it was")
    assert frames[61].result()[0].score[0, wrist] == pytest.approx(0.9 * DOUBT)


@pytest.mark.parametrize("case", ["stays", "slow", "long", "hidden", "flow"])
def test_other_motion_is_not_doubted(case):
    """A wrist that jumps and stays, one that moves at 3 m/s against the flow, one that is away for half a second, one
    that was hidden before and after, and one whose motion the flow explains.
    """
    xy = view(standing(120))
    score = np.full(xy.shape[:2], 0.9)
    wrist = COCO17.index("left_wrist")[0]
    away = {"stays": 120, "long": 90}.get(case, 65)
    if case == "slow":
        way = np.clip(np.minimum(np.arange(120) - 60, 80 - np.arange(120)) / 10, 0, 1)[:, None]
        xy[:, wrist] = (1 - way) * xy[:, wrist] + way * raised(xy)
    else:
        xy[60:away, wrist] = raised(xy)[60:away]
    if case == "hidden":
        score[:60, wrist] = 0.1
        score[65:, wrist] = 0.1
    flow = motion_of(xy) if case == "flow" else 0 * xy
    assert doubted(check(xy[:, None], flow[:, None], 60, score=score[:, None])) == {}


def test_a_jump_and_an_swap_at_once():
    true = view(standing(60), 0.3)
    xy = true.copy()
    xy[30:33, COCO17.index("left_wrist")[0]] = raised(true)[30:33]
    wrong = range(25, 38)
    frames = check(swap_sides(xy, wrong)[:, None], swap_sides(motion_of(true), wrong)[:, None], 60)
    assert swapped(frames) == list(wrong)
    assert doubted(frames) == {"right_wrist": [30, 31, 32]}, "as detected"
    scores = results(frames)[1]
    assert (scores[30:33, COCO17.index("left_wrist")[0]] < 0.1).all()


# ------------------------------------------------------------------------------------------------ lengths


@pytest.mark.parametrize("scale", [0.15, 1.0])
def test_a_limb_that_is_too_long_is_doubted_with_what_it_moves(scale):
    xy = view(standing(60), skeleton=BODY26)
    elbow, wrist, hand = BODY26.index("left_elbow", "left_wrist", "left_hand")
    for joint in (elbow, wrist, hand):
        xy[1:, joint] += (130, 90)
    frames = check(scale * xy[:, None], 0 * xy[:, None], 30, skeleton=BODY26)
    assert set(doubted(frames, skeleton=BODY26)) == {"left_elbow", "left_wrist", "left_hand"}


def test_an_arm_of_twice_its_length():
    xy = view(standing(60))
    elbow, wrist = COCO17.index("left_elbow", "left_wrist")
    xy[1:, wrist] += 1.2 * (xy[1:, wrist] - xy[1:, elbow])
    assert set(doubted(check(xy[:, None], 0 * xy[:, None], 30))) == {"left_wrist"}


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_limbs_of_human_lengths_are_never_doubted(seed):
    """In any pose, also seen from any side, and of people whose limbs differ by a fifth."""
    generator = np.random.default_rng(seed)
    body = striding(90, 30, cycle=generator.uniform(0.8, 2), stride=generator.uniform(0, 1))
    body *= generator.uniform(0.9, 1.1, 3)
    yaw = generator.uniform(0, 2 * np.pi) + np.cumsum(generator.normal(0, 0.05, 90))
    xy = noisy(view(body, yaw, away=generator.uniform(2, 12)), seed, 0.5)
    assert doubted(check(xy[:, None], motion_of(xy)[:, None], 30)) == {}


# ------------------------------------------------------------------------------------------- joints on others


def two_people(frames, distance=0.75):
    """(frames, 2, 17, 2): two who stand beside each other and face the camera."""
    return np.stack([view(standing(frames), right=-distance / 2), view(standing(frames), right=distance / 2)], 1)


def arm(side="right"):
    return COCO17.index(f"{side}_elbow", f"{side}_wrist")


def test_a_hidden_arm_that_appears_on_another_persons_is_doubted_until_it_leaves():
    xy = two_people(90)
    score = np.full(xy.shape[:3], 0.9)
    elbow, wrist = arm("left")
    score[:30, 0, [elbow, wrist]] = 0.1
    theirs = arm("right")
    xy[25:60, 0, wrist] = xy[25:60, 1, theirs].mean(1) + np.array([4, 0])
    frames = check(xy, 0 * xy, 30, score=score)
    found = doubted(frames)
    assert set(found) == {"left_elbow", "left_wrist"}, "they appeared together"
    assert found["left_wrist"][0] == 30 and 54 <= found["left_wrist"][-1] <= 30 + 30 * MAX_CLAIM
    assert doubted(frames, 1) == {}


@pytest.mark.parametrize("case", ["seen before", "blinks", "elsewhere", "other hidden", "leg"])
def test_other_joints_on_people_are_believed(case):
    """A wrist that was seen on its way there, also if it is not for a frame, a wrist that appears beside, one over an
    arm that is hidden itself, and one over a leg.
    """
    xy = two_people(90)
    score = np.full(xy.shape[:3], 0.9)
    wrist = arm("left")[1]
    theirs = xy[:, 1, arm("right")].mean(1)
    if case in ("seen before", "blinks"):
        way = np.clip((np.arange(90) - 10) / 20, 0, 1)[:, None]
        xy[:, 0, wrist] = (1 - way) * xy[:, 0, wrist] + way * theirs
    else:
        score[:30, 0, wrist] = 0.1
        places = {"elsewhere": theirs - (60, 0), "other hidden": theirs, "leg": theirs - (60, 0)}
        xy[25:, 0, wrist] = places[case][25:]
    if case == "blinks":
        score[35, 0, wrist] = 0.1
    if case == "other hidden":
        score[:, 1, arm("right")] = 0.1
    if case == "leg":
        xy[:, 1, COCO17.index("right_knee")[0]] = theirs - (60, 50)
        xy[:, 1, COCO17.index("right_ankle")[0]] = theirs - (60, -50)
    frames = check(xy, motion_of(xy), 30, score=score)
    assert "left_wrist" not in doubted(frames) and doubted(frames, 1) == {}


def test_of_two_arms_in_one_place_the_less_plausible_is_doubted():
    """Both were seen before; one comes there faster than the flow."""
    xy = two_people(60)
    ours = arm("left")
    theirs = arm("right")
    way = np.clip((np.arange(60) - 30) / 4, 0, 1)[:, None, None]
    flow = motion_of(xy)
    xy[:, 0, ours] = (1 - way) * xy[:, 0, ours] + way * (xy[:, 1, theirs] + (0, 4))
    frames = check(xy, flow, 30)
    found = doubted(frames)
    assert set(found) == {"left_elbow", "left_wrist"}
    assert found["left_wrist"] == list(range(found["left_wrist"][0], 60)) and 31 <= found["left_wrist"][0] <= 34
    assert doubted(frames, 1) == {}


def test_of_two_arms_that_arrive_together_the_one_with_the_lower_score_is_doubted():
    xy = two_people(60)
    score = np.full(xy.shape[:3], 0.9)
    score[:, 1] = 0.6
    meeting = (xy[:, 0, arm("left")] + xy[:, 1, arm("right")]) / 2
    way = np.clip((np.arange(60) - 20) / 20, 0, 1)[:, None, None]
    xy[:, 0, arm("left")] = (1 - way) * xy[:, 0, arm("left")] + way * meeting
    xy[:, 1, arm("right")] = (1 - way) * xy[:, 1, arm("right")] + way * meeting
    frames = check(xy, motion_of(xy), 30, score=score)
    assert doubted(frames) == {} and set(doubted(frames, 1)) == {"right_elbow", "right_wrist"}


def test_hands_that_touch_are_believed():
    xy = two_people(60, distance=0.65)
    middle = (xy[:, 0, arm("left")[1]] + xy[:, 1, arm("right")[1]]) / 2
    xy[:, 0, arm("left")[1]] = middle
    xy[:, 1, arm("right")[1]] = middle
    frames = check(xy, 0 * xy, 30)
    assert doubted(frames) == {} and doubted(frames, 1) == {}


# ------------------------------------------------------------------------------------------- whatever comes


def random_video(seed, *, swaps=3, yaw=None, rates=(10, 25, 30, 60)):
    """A noisy walk with missing joints and a gap, in which sides are swapped now and then, but not at the start: what
    is detected, what is true, and the flow at both, px; and the fps.
    """
    generator = np.random.default_rng(seed)
    fps = int(generator.choice(rates))
    yaw = generator.uniform(0, 2 * np.pi) if yaw is None else yaw
    true = view(striding(80, fps, cycle=generator.uniform(0.9, 1.5)), yaw)
    flow = motion_of(true)
    true = noisy(true, seed)
    true[generator.random(true.shape[:2]) < 0.05] = np.nan
    gone = int(generator.integers(10, 25))
    true[gone : gone + 3] = np.nan
    xy = true
    there = flow
    for _ in range(swaps):
        start = int(generator.integers(40, 70))
        frames = range(start, min(start + int(generator.integers(1, 10)), 80))
        xy = swap_sides(xy, frames)
        there = swap_sides(there, frames)
    return xy[:, None], there[:, None], true[:, None], flow[:, None], fps


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_what_is_right_stays_so(seed):
    """Seen from any side."""
    xy, flow, *_, fps = random_video(seed, swaps=0)
    assert not any(frame.swapped.any() for frame in check(xy, flow, fps))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(SEEDS, st.floats(-0.6, 0.6), st.booleans())
def test_what_is_put_right_stays_so(seed, yaw, behind):
    """From the front or from behind, at 30 or 60 frames/s."""
    xy, flow, true, true_flow, fps = random_video(seed, yaw=yaw + np.pi * behind, rates=(30, 60))
    frames = check(xy, flow, fps)
    nobody = np.full_like(true[0], np.nan)
    once = np.stack([frame.result()[0].xy if len(frame.detections) else nobody for frame in frames])
    np.testing.assert_allclose(once, true, rtol=1e-6)
    assert not any(frame.swapped.any() for frame in check(once, true_flow, fps))


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_a_mirrored_video_has_mirrored_results(seed):
    xy, flow, *_, fps = random_video(seed)
    partners = list(COCO17.mirror)
    mirror = np.array([-1, 1])
    frames = check(xy, flow, fps)
    mirrored = check((xy * mirror)[:, :, partners], (flow * mirror)[:, :, partners], fps)
    for frame, other in zip(frames, mirrored, strict=True):
        np.testing.assert_array_equal(frame.swapped, other.swapped)
        np.testing.assert_allclose(frame.doubt, other.doubt[:, partners], atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_only_sides_change_and_scores_only_fall(seed):
    xy, flow, *_, fps = random_video(seed)
    for frame in check(xy, flow, fps):
        people, _ = frame.result()
        assert (people.score <= 0.9).all() and (people.score >= 0).all()
        for before, after in zip(frame.detections.xy, people.xy, strict=True):
            np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0.2, 5))
def test_size_and_place_do_not_matter(seed, scale):
    xy, flow, *_, fps = random_video(seed)
    frames = check(xy, flow, fps)
    others = check(scale * xy - 300, scale * flow, fps)
    assert [frame.swapped.tolist() for frame in frames] == [frame.swapped.tolist() for frame in others]


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_single_frames_are_unchanged(seed):
    generator = np.random.default_rng(seed)
    xy = generator.uniform(0, 500, (1, 3, 17, 2))
    xy[generator.random(xy.shape[:3]) < 0.2] = np.nan
    score = generator.random(xy.shape[:3])
    (frame,) = check(xy, None, 30, score=score)
    people, _ = frame.result()
    np.testing.assert_array_equal(people.xy, frame.detections.xy)
    np.testing.assert_array_equal(people.score, frame.detections.score)


def test_the_order_of_the_people_does_not_matter():
    xy = two_people(60)
    xy[:, 0] = swap_sides(xy[:, 0], range(20, 25))
    xy[30:33, 1, COCO17.index("left_ankle")[0]] += (200, 0)
    frames = check(xy, 0 * xy, 30)
    others = check(xy[:, ::-1], 0 * xy, 30)
    for frame, other in zip(frames, others, strict=True):
        np.testing.assert_array_equal(frame.swapped, other.swapped[::-1])
        np.testing.assert_array_equal(frame.doubt, other.doubt[::-1])
    assert swapped(frames) == list(range(20, 25)) and doubted(frames, 1) == {"left_ankle": [30, 31, 32]}


def test_people_without_a_track_are_unchanged():
    xy = swap_sides(view(standing(40)), range(20, 25))[:, None]
    frames = []
    checks = Plausibility()
    for index, keypoints in enumerate(xy):
        found = Detections(skeleton=COCO17, xy=keypoints, score=np.full((1, 17), 0.9))
        frames.append(checks.update(index / 30, found, np.array([-1]), None))
    assert swapped(frames) == [] and doubted(frames) == {}


def test_nobody_and_absent_joints_are_no_error():
    xy = np.full((30, 2, 17, 2), np.nan)
    xy[10:20, 1, 3] = (100, 100)
    frames = check(xy, 0 * xy, 30)
    assert [len(frame.detections) for frame in frames] == [0] * 10 + [1] * 10 + [0] * 10
    assert not any(frame.swapped.any() for frame in frames)


def test_reset_forgets_everything():
    xy = swap_sides(view(standing(60)), range(30, 60))[:, None]
    checks = Plausibility()
    check(xy[:30], 0 * xy[:30], 30, plausibility=checks)  # finish resets
    frames = check(xy[30:], 0 * xy[30:], 30, plausibility=checks)
    assert swapped(frames) == []
