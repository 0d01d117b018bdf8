import numpy as np
import pytest

from floor_people import cross, jump, seen
from occlupose.kinematics import fit_skeleton
from occlupose.skeletons import H36M17
from occlupose.world import WorldFrame, find_contacts, rest_on_contacts
from walking_people import FPS, HEIGHT

WORLD = WorldFrame.from_floor(np.array([0.0, -1, 0]), -HEIGHT)


def rest(body):
    fit = fit_skeleton(seen(body), H36M17, FPS)
    contacts = find_contacts(fit.xyz, fit.skeleton, FPS, WORLD)
    return fit, contacts, rest_on_contacts(fit, contacts, WORLD, FPS)


def floating(fit, contacts):
    heights = WORLD.to_world(fit.xyz[:, 0, fit.skeleton.index(*contacts.points)].astype(float))[..., 2]
    return np.abs(heights - contacts.radius)[contacts.on_floor[:, 0] > 0.6]


@pytest.fixture(scope="module")
def walked():
    noise = np.random.default_rng(0).normal(0, 0.01, (40, 17, 3))
    return rest(cross(40) + noise)


def test_feet_in_contact_neither_float_nor_sink(walked):
    fit, contacts, rested = walked
    assert floating(rested, contacts).mean() < 0.01
    assert floating(rested, contacts).mean() < 0.5 * floating(fit, contacts).mean()


def test_feet_in_contact_do_not_slide(walked):
    fit, contacts, rested = walked
    held = contacts.touching[:, 0] > 0.6
    both = held[1:] & held[:-1]
    points = fit.skeleton.index(*contacts.points)
    steps = [np.linalg.norm(np.diff(one.xyz[:, 0, points], axis=0), axis=-1)[both] for one in (fit, rested)]
    assert steps[1].mean() < 0.003
    assert steps[1].mean() < 0.3 * steps[0].mean()


def test_the_rest_of_the_body_and_the_bones_stay(walked):
    fit, _, rested = walked
    np.testing.assert_array_equal(rested.bone_offsets, fit.bone_offsets)
    bones = np.linalg.norm(np.diff(rested.xyz[:, 0, rested.skeleton.index("left_knee", "left_ankle")], axis=1), axis=-1)
    np.testing.assert_allclose(bones, np.full_like(bones, bones[0, 0]), atol=1e-4)
    upper = fit.skeleton.index("left_wrist", "right_elbow", "head_top")
    moved = (rested.xyz[:, 0, upper] - rested.root) - (fit.xyz[:, 0, upper] - fit.root)
    assert np.linalg.norm(moved, axis=-1).mean() < 0.02


def test_whoever_jumps_is_not_pulled_down():
    fit, _, rested = rest(jump(20, 8))
    ankles = fit.skeleton.index("left_ankle", "right_ankle")
    risen = [WORLD.to_world(one.xyz[10, 0, ankles].astype(float))[:, 2] for one in (fit, rested)]
    np.testing.assert_allclose(risen[1], risen[0], atol=0.06)


def test_the_record_that_is_given_stays_and_nobody_stays_nobody():
    xyz = np.full((5, 1, 17, 3), np.nan)
    fit = fit_skeleton(xyz, H36M17, FPS)
    contacts = find_contacts(fit.xyz, fit.skeleton, FPS, WORLD)
    assert np.isnan(rest_on_contacts(fit, contacts, WORLD, FPS).xyz).all()
