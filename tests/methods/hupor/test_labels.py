from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from image_dataset_files import records
from occlupose.bodies.cylinders import cylinders
from occlupose.cameras import Camera
from occlupose.datasets.formats import synth_scenes
from occlupose.datasets.formats.masks import MaskFolder
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.datasets.images import ImageRef
from occlupose.media import write_image
from occlupose.methods.hupor import labels
from occlupose.methods.hupor.labels import BodyLabels, joint_positions, relabel
from occlupose.methods.hupor.ssf.label import label_occlusion
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.optimise import FitSettings
from occlupose.occlusion.labels import hidden_by_cylinders
from occlupose.skeletons import BODY26, MPI15
from spread_people import standing
from ssf_scenes import CAMERA as SCENE_CAMERA
from ssf_scenes import three_people

CAMERA = Camera.from_fov(320, 240)
PELVIS = MPI15.index("pelvis")[0]


def seen(xyz, state=2):
    return make_mpi15_sample(
        None, (320, 240), CAMERA.project(xyz), xyz[..., 2], np.full(xyz.shape[:2], state, np.uint8), camera=CAMERA
    )


def fitted(rounds=1, **options):
    """Capsules, fitted quickly."""
    settings = FitSettings(rounds=rounds, steps=0)
    return BodyLabels(partial(label_occlusion, body=cylinders(), settings=settings), **options)


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
    (relabelled,) = relabel([given], by, bodies=fitted())
    assert np.array_equal(relabelled.state == 0, given.state == 0)


@pytest.mark.parametrize("by", ["cylinders", "ssf"])
def test_without_depth_the_dataset_stands(by):
    """No camera; no depth; the depth of one joint; nobody at all."""
    given = seen(standing((0, 0, 6), (0.1, 0, 4)), 1)
    flat = replace(given, xyz=np.full_like(given.xyz, np.nan))
    xyz = given.xyz.copy()
    xyz[1, PELVIS] = np.nan
    nobody = seen(standing((90, 0, 6)))
    first, second, third, last = relabel(
        [replace(given, camera=None), flat, replace(given, xyz=xyz), nobody], by, bodies=fitted()
    )
    assert (first.state == 1).all() and (second.state == 1).all() and len(nobody) == len(last) == 0
    assert third.state[1, PELVIS] == 1 and (np.delete(third.state[1], PELVIS) == 2).sum() > 10


def test_fitted_bodies_hide_people_behind_them():
    given = seen(standing((0, 0, 6), (0, 0, 4)))
    (relabelled,) = relabel([given], "ssf", bodies=fitted(rounds=2))
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
    counted = BodyLabels(lambda samples: predictor.append(samples) or fits(samples))
    keep = tmp_path / "labels.safetensors"

    def stopped(samples):
        if len(predictor) == 2:
            raise KeyboardInterrupt
        predictor.append(samples)
        return fits(samples)

    with pytest.raises(KeyboardInterrupt):
        relabel(given, "ssf", bodies=BodyLabels(stopped), cache=keep)
    predictor.clear()
    resumed = relabel(given, "ssf", bodies=counted, cache=keep)
    whole = relabel(given, "ssf", bodies=BodyLabels(fits))
    assert len(predictor) == 1 and all(
        np.array_equal(one.state, other.state) for one, other in zip(resumed, whole, strict=True)
    )
    predictor.clear()
    relabel(given[::-1], "ssf", bodies=counted, cache=keep)
    assert len(predictor) == 3
    keep.write_bytes(b"no labels")
    assert np.array_equal(relabel(given, "ssf", bodies=BodyLabels(fits), cache=keep)[2].state, whole[2].state)


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


def masked_scene(folder):
    """Three people with known bodies, their image, and a file of their masks."""
    scene = three_people()
    names = ["thorax" if joint == "neck" else joint for joint in MPI15.joints]
    joints = scene.fit.joints[:, BODY26.index(*names)].numpy().astype(float)
    state = np.full(joints.shape[:2], 2, np.uint8)
    image = ImageRef(folder / "a.png")
    write_image(image.path, np.zeros((240, 320, 3), np.uint8))
    numbers = sum(np.uint8(person + 1) * mask for person, mask in enumerate(scene.masks))
    (folder / "masks").mkdir()
    Image.fromarray(numbers).save(folder / "masks" / "a.png")
    xy = SCENE_CAMERA.project(joints)
    sample = make_mpi15_sample(image, (320, 240), xy, joints[..., 2], state, camera=SCENE_CAMERA)
    return sample, scene, MaskFolder(folder / "masks")


def test_bodies_are_fitted_to_masks(tmp_path):
    """Each person's own, and the image where it is needed; without files as before."""
    sample, scene, folder = masked_scene(tmp_path)
    given = []

    def label(inputs):
        given.extend(inputs)
        return label_occlusion(inputs, body=scene.body, settings=FitSettings(rounds=1, steps=0))

    relabel([sample], "ssf", bodies=BodyLabels(label, folder, needs_images=True))
    relabel([sample], "ssf", bodies=BodyLabels(label))
    relabel([replace(sample, image=None)], "ssf", bodies=BodyLabels(label, folder))
    assert np.array_equal(given[0].masks, scene.masks) and given[0].image.shape == (240, 320, 3)
    assert given[1].masks is None and given[1].image is None and given[2].masks is None


def test_networks_label_images_with_masks_and_optimisation_the_others(tmp_path, monkeypatch):
    sample, _, folder = masked_scene(tmp_path)
    torch.manual_seed(0)
    ssf = SSF(cylinders(), input_type="mask", size=32, blocks=(1, 1), width=4, cnn_width=2, hidden=(8, 8))
    fitted_by = []
    real = labels.label_occlusion

    def label(inputs, **options):
        fitted_by.append("networks" if options["fitter"] else "optimisation")
        return real(inputs, **options, settings=FitSettings(rounds=1, steps=0))

    monkeypatch.setattr(labels, "label_occlusion", label)
    bodies = BodyLabels(labels.label_with_networks(ssf), folder)
    relabelled = relabel([sample, replace(sample, image=None)], "ssf", bodies=bodies)
    assert fitted_by == ["networks", "optimisation"]
    for one in relabelled:
        assert np.array_equal(one.state > 0, sample.state > 0)


def test_a_person_without_a_mask_is_fitted_to_joints_alone():
    """An empty mask does not say that the person is not there."""
    scene = three_people()
    masks = scene.masks
    masks[1] = False
    crops, _ = replace(scene.ssf_input(), masks=masks).crop_people(64)
    assert not crops.valid[1].any() and crops.valid[0].any() and crops.valid[2].any()


def test_labels_are_kept_for_the_same_masks_alone(tmp_path):
    given = [seen(standing((0, 0, 5)))]
    counts = []
    fits = fitted().label

    def label(inputs):
        counts.append(len(inputs))
        return fits(inputs)

    for identity in ("", "", " one", " one", " two"):
        relabel(given, "ssf", bodies=BodyLabels(label, identity=identity), cache=tmp_path / "labels.safetensors")
    assert len(counts) == 3
