import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.bodies.anny import SHAPE, anny
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, overlapping_fraction, sample_scene
from occlupose.synth.pose_prior import PosePrior


def source(**given):
    return SceneSource(SceneSettings(**given), PosePrior.load())


@pytest.fixture(scope="module")
def scenes():
    made = source(seed=3)
    return [sample_scene(made, number) for number in range(40)]


def test_scene_n_is_the_same_whatever_was_made_before_it(scenes):
    again = sample_scene(source(seed=3), 7)
    for one, other in zip(scenes[7].people, again.people, strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
        assert one.appearance_seed == other.appearance_seed
    np.testing.assert_array_equal(scenes[7].camera_position, again.camera_position)
    assert [item.kind for item in scenes[7].objects] == [item.kind for item in again.objects]


def test_another_seed_makes_other_scenes(scenes):
    assert not np.array_equal(sample_scene(source(seed=4), 7).camera_position, scenes[7].camera_position)


def test_people_touch_the_ground_and_their_joints_are_in_them(scenes):
    for person in (person for scene in scenes for person in scene.people):
        assert person.vertices[:, 1].min() == pytest.approx(0, abs=1e-4)
        low = person.vertices.min(0)
        high = person.vertices.max(0)
        assert (person.joints > low - 0.01).all() and (person.joints < high + 0.01).all()


def test_a_person_is_the_body_in_their_pose(scenes):
    person = scenes[5].people[0]
    with torch.no_grad():
        posed = anny()(*(torch.from_numpy(value)[None] for value in (person.pose, person.shape, person.translation)))
    np.testing.assert_allclose(posed.vertices[0].numpy(), person.vertices, atol=1e-4)
    np.testing.assert_allclose(posed.joints[0].numpy(), person.joints, atol=1e-4)


def test_people_do_not_stand_in_one_another_but_may_hold_each_other(scenes):
    pelvis = BODY26.index("pelvis")[0]
    gaps = [
        float(np.linalg.norm((one.joints - other.joints)[pelvis, [0, 2]]))
        for scene in scenes
        for place, one in enumerate(scene.people)
        for other in scene.people[:place]
    ]
    assert min(gaps) > 0.25


def test_all_builds_all_numbers_of_people_and_all_kinds_of_things_come(scenes):
    shapes = np.stack([person.shape for scene in scenes for person in scene.people])
    assert set(range(1, 8)) <= {len(scene.people) for scene in scenes}
    assert (np.ptp(shapes, 0) > 0.6).all()
    assert shapes[:, SHAPE.index("age")].min() < 0.3
    assert {"chair", "table", "box", "pillar", "sofa", "bar", "foliage"} <= {
        item.kind for scene in scenes for item in scene.objects
    }


def test_cameras_have_real_heights_tilts_and_lenses(scenes):
    heights = np.array([scene.camera_position[1] for scene in scenes])
    tilts = np.degrees([np.arcsin(-scene.rotation[2, 1]) for scene in scenes])
    views = np.degrees([2 * np.arctan(scene.camera.width / 2 / scene.camera.fx) for scene in scenes])
    assert heights.min() >= 0.25 and heights.max() <= 4.5 and np.ptp(heights) > 1.5
    assert tilts.min() > -35 and tilts.max() < 75
    assert views.min() >= 34.9 and views.max() <= 85.1 and np.ptp(views) > 20
    for scene in scenes:
        np.testing.assert_allclose(scene.rotation @ scene.rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(scene.rotation) == pytest.approx(1)


def test_somebody_is_in_the_image(scenes):
    seen = [label_scene(scene).occlusion.state for scene in scenes[:15]]
    assert np.mean([(state == 2).any() for state in seen]) > 0.9


@given(seed=st.integers(0, 2**32 - 1), azimuth=st.floats(0, 6.28), count=st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_overlap_is_what_it_says(seed, azimuth, count):
    place = np.random.default_rng(seed).uniform(-2, 2, (count, 2))
    aside = place @ (np.cos(azimuth), -np.sin(azimuth))
    alone = sum(all(abs(a - b) >= 0.42 for j, b in enumerate(aside) if j != i) for i, a in enumerate(aside))
    assert overlapping_fraction(place, azimuth) == pytest.approx(1 - alone / count)


def test_more_overlap_hides_more():
    def hidden(overlap):
        made = source(seed=1, people=(4, 6), overlap=overlap, objects=0.0)
        states = [label_scene(sample_scene(made, number)).occlusion for number in range(16)]
        return np.mean(np.concatenate([(one.cause == 2).ravel() for one in states]))

    assert hidden(1.0) > 1.3 * hidden(0.0)


@pytest.mark.parametrize(
    "given, named",
    [
        ({"people": (0, 3)}, "people: 0 to 3"),
        ({"people": (5, 3)}, "people: 5 to 3"),
        ({"people": (1, 11)}, "people: 1 to 11"),
        ({"width": 20}, "size: 20 x 320"),
        ({"overlap": 1.5}, "overlap: 1.5"),
        ({"objects": -1.0}, "objects: -1"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 10**20}, "seed: 1000"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, named):
    with pytest.raises(OccluposeError, match=named):
        SceneSettings(**given)


def test_a_folder_without_motion_capture_is_refused(tmp_path):
    with pytest.raises(OccluposeError, match=str(tmp_path)):
        SceneSource.load(SceneSettings(), mocap=tmp_path)
