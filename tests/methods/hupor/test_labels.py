from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from image_dataset_files import records
from occlupose.bodies.cylinders import cylinders
from occlupose.cameras import Camera
from occlupose.datasets.formats import synth_scenes
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.methods.hupor import labels
from occlupose.methods.hupor.labels import hidden_by_cylinders, joint_positions, relabel
from occlupose.methods.hupor.ssf.label import label_occlusion
from occlupose.methods.hupor.ssf.optimise import FitSettings
from occlupose.skeletons import MPI15

CAMERA = Camera.from_fov(320, 240)
STANDING = {
    "neck": (0, -0.5),
    "head_top": (0, -0.8),
    "pelvis": (0, 0),
    "left_shoulder": (0.18, -0.45),
    "left_elbow": (0.35, -0.25),
    "left_wrist": (0.5, -0.05),
    "left_hip": (0.1, 0.02),
    "left_knee": (0.12, 0.4),
    "left_ankle": (0.12, 0.8),
}
STANDING |= {joint.replace("left", "right"): (-x, y) for joint, (x, y) in STANDING.items() if "left" in joint}
LEFT_WRIST, LEFT_KNEE, LEFT_ANKLE, PELVIS = MPI15.index("left_wrist", "left_knee", "left_ankle", "pelvis")


def standing(*where):
    """People with their arms spread, flat across the view, pelvises at these places."""
    body = np.array([(*STANDING[joint], 0.0) for joint in MPI15.joints])
    return np.stack([body + place for place in where])


def seen(xyz, state=2):
    return make_mpi15_sample(
        None, (320, 240), CAMERA.project(xyz), xyz[..., 2], np.full(xyz.shape[:2], state, np.uint8), camera=CAMERA
    )


def test_a_spread_out_person_alone_hides_nothing():
    assert not hidden_by_cylinders(standing((0, 0, 4))).any()


def test_a_person_in_front_hides_another():
    """The nearer one is all visible; of the further one, straight behind, the joints within the nearer one's cylinders
    are hidden.
    """
    behind = hidden_by_cylinders(standing((0, 0, 6), (0, 0, 4)))
    assert not behind[1].any()
    assert behind[0, MPI15.index("neck", "pelvis", "left_shoulder", "left_hip", "right_hip")].all()
    apart = standing((2.5, 0, 6), (0, 0, 4))
    assert np.array_equal(
        hidden_by_cylinders(apart), np.concatenate([hidden_by_cylinders(person[None]) for person in apart])
    )


def test_one_limb_hides_one_joint():
    """A forearm across the line of sight to another person's knee; further away than the knee it hides nothing."""
    people = standing((0, 0, 5), (3, 0, 3))
    for depth, hidden in ((0.6, True), (1.3, False)):
        target = people[0, LEFT_KNEE] * depth
        people[1, LEFT_WRIST - 1 : LEFT_WRIST + 1] = target + np.array([[-0.1, 0, 0], [0.15, 0, 0]])
        behind = hidden_by_cylinders(people)
        assert behind[0, LEFT_KNEE] == hidden and not behind[0, LEFT_ANKLE]
    people[1, LEFT_WRIST - 1 : LEFT_WRIST + 1] = people[0, LEFT_KNEE] * 0.6 + np.array(
        [[-0.1, 0.09, 0], [0.15, 0.09, 0]]
    )
    assert not hidden_by_cylinders(people)[0, LEFT_KNEE]  # further off than the radius


def test_it_is_the_shortest_way_to_the_axis():
    """Compared with slow sampling along each line of sight, for random people with unknown joints."""
    random = np.random.default_rng(1)
    people = random.uniform([-1, -1, 3], [1, 1, 5], (4, 1, 3)) + random.normal(0, 0.35, (4, 15, 3))
    people[0, 5] = np.nan
    fast = hidden_by_cylinders(people)
    alone = np.concatenate([hidden_by_cylinders(person[None]) for person in people])
    assert not fast[0, 5]
    torso = np.linalg.norm(people[:, 3] - people[:, 0], axis=-1)
    parts = [(0, 1, 0.10), (0, 2, None), (3, 4, 0.05), (4, 5, 0.05), (6, 7, 0.05), (7, 8, 0.05)]
    parts += [(9, 10, 0.05), (10, 11, 0.05), (12, 13, 0.05), (13, 14, 0.05)]
    slow = alone.copy()
    share = np.linspace(0, 1, 4001)[:, None]
    for person, joint in np.ndindex(4, 15):
        sight = people[person, joint] / np.linalg.norm(people[person, joint])
        for other in {0, 1, 2, 3} - {person}:
            for start, end, radius in parts:
                points = people[other, start] * (1 - share) + people[other, end] * share
                away = points @ sight
                off = np.linalg.norm(points - away[:, None] * sight, axis=-1)
                best = off.argmin() if np.isfinite(off).all() else None
                limit = torso[other] if radius is None else radius
                if (
                    best is not None
                    and off[best] <= limit
                    and np.linalg.norm(people[person, joint]) - away[best] >= 0.02
                ):
                    slow[person, joint] = True
    assert np.array_equal(fast, slow) and alone.sum() < fast.sum() < fast.size


def test_other_means():
    given = seen(standing((0, 0, 6), (0.1, 0, 4)), 1)
    (same,) = relabel([given], "dataset")
    (open_,) = relabel([given], "none")
    (cylinder,) = relabel([given], "cylinders")
    assert same is given and (open_.state == 2).all() and given.state.max() == 1
    assert np.array_equal(cylinder.state == 1, hidden_by_cylinders(joint_positions(given))) and {
        *cylinder.state.ravel()
    } == {1, 2}
    for other in (open_, cylinder):
        assert np.array_equal(other.xy, given.xy) and np.array_equal(other.z, given.z) and other.state.dtype == np.uint8


@pytest.mark.parametrize("by", ["cylinders", "ssf", "none"])
def test_absent_joints_stay_absent(by):
    given = seen(standing((0, 0, 6), (1.6, 0.2, 3)))
    assert (given.state == 0).any()
    (relabelled,) = relabel(
        [given], by, ssf=partial(label_occlusion, body=cylinders(), settings=FitSettings(rounds=1, steps=0))
    )
    assert np.array_equal(relabelled.state == 0, given.state == 0)


@pytest.mark.parametrize("by", ["cylinders", "ssf"])
def test_without_depth_the_dataset_stands(by):
    """No camera; no depth; the depth of one joint; nobody at all."""
    given = seen(standing((0, 0, 6), (0.1, 0, 4)), 1)
    flat = replace(given, xyz=np.full_like(given.xyz, np.nan))
    xyz = given.xyz.copy()
    xyz[1, PELVIS] = np.nan
    nobody = seen(standing((90, 0, 6)))
    ssf = partial(label_occlusion, body=cylinders(), settings=FitSettings(rounds=1, steps=0))
    first, second, third, last = relabel(
        [replace(given, camera=None), flat, replace(given, xyz=xyz), nobody], by, ssf=ssf
    )
    assert (first.state == 1).all() and (second.state == 1).all() and len(nobody) == len(last) == 0
    assert third.state[1, PELVIS] == 1 and (np.delete(third.state[1], PELVIS) == 2).sum() > 10


def test_fitted_bodies_hide_people_behind_them():
    given = seen(standing((0, 0, 6), (0, 0, 4)))
    (relabelled,) = relabel(
        [given], "ssf", ssf=partial(label_occlusion, body=cylinders(), settings=FitSettings(rounds=2, steps=0))
    )
    assert (relabelled.state[0, MPI15.index("neck", "pelvis")] == 1).all()
    assert (relabelled.state[1] == 2).sum() > 12


def test_labels_of_fitted_bodies_are_cached(tmp_path, monkeypatch):
    """As far as it was before it was stopped; of other people nothing is taken."""
    monkeypatch.setattr(labels, "SAVE_EVERY", 1)
    given = [
        seen(standing((0, 0, 6), (0, 0, 4))),
        seen(standing((0, 0, 5))),
        seen(standing((0.2, 0, 5), (0, 0, 3), (0, 0, 7))),
    ]
    fits = partial(label_occlusion, body=cylinders(), settings=FitSettings(rounds=1, steps=0))
    predictor = []
    keep = tmp_path / "labels.safetensors"

    def stopped(samples):
        if len(predictor) == 2:
            raise KeyboardInterrupt
        predictor.append(samples)
        return fits(samples)

    with pytest.raises(KeyboardInterrupt):
        relabel(given, "ssf", ssf=stopped, cache=keep)
    predictor = []
    resumed = relabel(given, "ssf", ssf=lambda samples: predictor.append(samples) or fits(samples), cache=keep)
    whole = relabel(given, "ssf", ssf=fits)
    assert len(predictor) == 1 and all(
        np.array_equal(one.state, other.state) for one, other in zip(resumed, whole, strict=True)
    )
    predictor = []
    relabel(given[::-1], "ssf", ssf=lambda samples: predictor.append(samples) or fits(samples), cache=keep)
    assert len(predictor) == 3
    keep.write_bytes(b"no labels")
    assert np.array_equal(relabel(given, "ssf", ssf=fits, cache=keep)[2].state, whole[2].state)


def test_cylinders_agree_with_meshes():
    """In scenes without things in the way; of what is hidden they find most, and do better than each body alone."""
    given = [
        synth_scenes.from_record(record)
        for record in records(10, seed=5, people=(3, 5), objects=0, width=512, height=320)
    ]
    relabelled = relabel(given, "cylinders")
    alone = [np.concatenate([hidden_by_cylinders(person[None]) for person in joint_positions(one)]) for one in given]
    here = np.concatenate([one.state.ravel() > 0 for one in given])
    truth = np.concatenate([one.state.ravel() == 1 for one in given])[here]
    predicted = np.concatenate([one.state.ravel() == 1 for one in relabelled])[here]
    assert len(truth) > 400 and 0.2 < truth.mean() < 0.5
    assert (truth == predicted).mean() > 0.85 > (truth == np.concatenate([one.ravel() for one in alone])[here]).mean()
    assert (truth & predicted).sum() / truth.sum() > 0.75
