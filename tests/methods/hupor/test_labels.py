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
from occlupose.methods.hupor.labels import joint_positions, relabel
from occlupose.methods.hupor.ssf.label import label_occlusion
from occlupose.methods.hupor.ssf.optimise import FitSettings
from occlupose.occlusion.labels import hidden_by_cylinders
from occlupose.skeletons import MPI15
from spread_people import standing

CAMERA = Camera.from_fov(320, 240)
PELVIS = MPI15.index("pelvis")[0]


def seen(xyz, state=2):
    return make_mpi15_sample(
        None, (320, 240), CAMERA.project(xyz), xyz[..., 2], np.full(xyz.shape[:2], state, np.uint8), camera=CAMERA
    )


def test_other_means():
    given = seen(standing((0, 0, 6), (0.1, 0, 4)), 1)
    (same,) = relabel([given], "dataset")
    (open_,) = relabel([given], "none")
    (cylinder,) = relabel([given], "cylinders")
    assert same is given and (open_.state == 2).all() and given.state.max() == 1
    assert np.array_equal(cylinder.state == 1, hidden_by_cylinders(joint_positions(given), MPI15)) and {
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
    alone = [
        np.concatenate([hidden_by_cylinders(person[None], MPI15) for person in joint_positions(one)]) for one in given
    ]
    here = np.concatenate([one.state.ravel() > 0 for one in given])
    truth = np.concatenate([one.state.ravel() == 1 for one in given])[here]
    predicted = np.concatenate([one.state.ravel() == 1 for one in relabelled])[here]
    assert len(truth) > 400 and 0.2 < truth.mean() < 0.5
    assert (truth == predicted).mean() > 0.85 > (truth == np.concatenate([one.ravel() for one in alone])[here]).mean()
    assert (truth & predicted).sum() / truth.sum() > 0.75
