import numpy as np
import pytest
import torch

from occlupose.methods.movenet.calibration import Answers, calibrate, fit_visibility, squared_distance
from occlupose.methods.movenet.samples import UNKNOWN, People, draw_samples
from occlupose.networks.occlusion_movenet import Keypoints, OcclusionMoveNet
from occlupose.poses import OCCLUDED, VISIBLE
from photographed_people import write_photographs, write_scene

JOINTS = 21


def answers(features, state, synthetic):
    people = len(features)
    zero = np.zeros((people, JOINTS))
    return Answers(
        xy=np.zeros((people, JOINTS, 2)),
        score=zero,
        visible=zero,
        place=np.zeros((people, JOINTS, 2)),
        distance=zero,
        features=features.astype(np.float32),
        truth=np.zeros((people, JOINTS, 2)),
        state=state,
        side=np.ones(people),
        known=state != UNKNOWN,
        synthetic=synthetic,
    )


def test_known_probabilities_are_found():
    """Of 4,000 people whose joints are visible with the probability of a logistic function of the features."""
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (4000, JOINTS, 5))
    weight = np.array([1.5, -0.5, 0.0, 0.3, 0.8])
    bias = np.where(np.isin(np.arange(JOINTS), (5, 6)), 1.0, -0.4)
    visible = random.random((4000, JOINTS)) < 1 / (1 + np.exp(-(features @ weight + bias)))
    state = np.where(visible, VISIBLE, OCCLUDED).astype(np.uint8)
    found, offset = fit_visibility(answers(features, state, random.random(4000) < 0.3))
    np.testing.assert_allclose(found, weight, atol=0.1)
    np.testing.assert_allclose(offset, bias, atol=0.2)


def test_joints_whose_state_is_unknown_do_not_count():
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (500, JOINTS, 5))
    state = np.where(features[..., 0] > 0, VISIBLE, OCCLUDED).astype(np.uint8)
    half = answers(features[:250], state[:250], np.zeros(250, bool))
    state[250:] = UNKNOWN
    both = answers(features, state, np.zeros(500, bool))
    torch.testing.assert_close(fit_visibility(half), fit_visibility(both))


def test_distances_are_in_standard_deviations():
    zero = torch.zeros(1, JOINTS)
    covariance = torch.tensor([4.0, 0.0, 9.0]).expand(1, JOINTS, 3)
    keypoints = Keypoints(zero, zero, zero, torch.zeros(1, JOINTS, 2), covariance, zero, zero)
    found = squared_distance(torch.tensor([2.0, 6.0]).expand(1, JOINTS, 2), keypoints)
    torch.testing.assert_close(found, torch.full((1, JOINTS), 5.0))
    turned = keypoints._replace(covariance=torch.tensor([2.0, 1.0, 2.0]).expand(1, JOINTS, 3))
    along = squared_distance(torch.tensor([3.0, 3.0]).expand(1, JOINTS, 2), turned)
    torch.testing.assert_close(along, torch.full((1, JOINTS), 6.0))  # 18 / 3, the larger eigenvalue


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    people = People(folder, write_photographs(folder, 3), [write_scene(folder / "scene.npz")])
    torch.manual_seed(0)
    network = OcclusionMoveNet().eval()
    samples = draw_samples(people, 2, seed=0)
    calibrate(network, samples)
    return network, samples


def test_half_of_the_hidden_joints_are_within_the_median(calibrated):
    network, samples = calibrated
    inside = []
    with torch.inference_mode():
        for sample in samples:
            distance = squared_distance(sample.xy, network(sample.images))
            inside.append(distance[(sample.weight > 0) & (sample.state != VISIBLE)] < 2 * np.log(2))
    assert torch.cat(inside).float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_left_and_right_are_calibrated_alike(calibrated):
    network, _ = calibrated
    assert network.visible_bias[5] == network.visible_bias[6] and network.spread[9] == network.spread[10]
    assert (network.visible_weight == network.visible_weight[:1]).all()
