import numpy as np
import pytest
import torch

from occlupose.errors import OccluposeError
from occlupose.frontends.movenet import MoveNetThunder
from occlupose.skeletons import BODY22, COCO17
from occlupose.synth.noise import (
    MIN_CONFIDENCE,
    MODEL_FPS,
    WINDOW,
    NoiseModel,
    fit_noise,
)

CLEAN = NoiseModel((0.0,) * 22, 0.0, 0.0, 0.0, 0.1, 0.0, 2.0, 0.0, 1.0)
SIDE = 2.0  # of the box around the still person of `sampled`


def model(**changes):
    return NoiseModel(**{**vars(CLEAN), **changes})


def still():
    """(22, 2) places of joints in a square of side SIDE."""
    random = np.random.default_rng(0)
    places = random.uniform(-1, 1, (22, 2))
    places[:2] = (-1, -1), (1, 1)
    return torch.from_numpy(places).float()


def sampled(noise, batch=300, frames=60, seed=0):
    """Errors of a person who stands still, in box sides, and which joints are reliable."""
    xy = still().expand(batch, frames, 22, 2)
    noisy, confidence = noise.sample(xy, torch.Generator().manual_seed(seed))
    reliable = confidence >= MIN_CONFIDENCE
    assert noisy.shape == xy.shape
    assert noisy.dtype == torch.float32
    assert reliable.shape == xy.shape[:-1]
    return (noisy - xy) / SIDE, reliable


def test_without_noise_nothing_changes():
    error, reliable = sampled(CLEAN, batch=3)
    assert (error == 0).all()
    assert reliable.all()


def test_the_same_generator_gives_the_same_noise():
    noise = NoiseModel.load()
    one = sampled(noise, 4, seed=5)
    other = sampled(noise, 4, seed=5)
    different = sampled(noise, 4, seed=6)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], different[0])


def test_noise_grows_with_the_person():
    noise = NoiseModel.load()
    xy = still().expand(5, 30, 22, 2)
    small = noise.sample(1 * xy, torch.Generator().manual_seed(0))[0] / 1
    large = noise.sample(300 * xy, torch.Generator().manual_seed(0))[0] / 300
    torch.testing.assert_close(small, large, atol=1e-5, rtol=1e-4)


def test_each_joint_jitters_by_its_own_figure():
    jitter = tuple(0.002 * (joint + 1) for joint in range(22))
    error, _ = sampled(model(jitter=jitter))
    strength = (1.5**3 - 0.2**3) / 3 / 1.3  # mean square of U(0.2, 1.5)
    np.testing.assert_allclose(error.square().mean((0, 1, 3)).sqrt(), np.array(jitter) * strength**0.5, rtol=0.1)
    spread = error.std((1, 3))[:, 0] / jitter[0]  # clips differ
    assert spread.min() < 0.35
    assert spread.max() > 1.3


@pytest.mark.parametrize("autocorrelation", [0.0, 0.3, 0.8])
def test_jitter_is_correlated_in_time(autocorrelation):
    error, _ = sampled(model(jitter=(0.01,) * 22, autocorrelation=autocorrelation))
    for lag in (1, 2):
        found = (error[:, lag:] * error[:, :-lag]).sum() / error[:, lag:].square().sum()
        assert found.item() == pytest.approx(autocorrelation**lag, abs=0.03)
    # as strong at the beginning as later
    first = error[:, 0].square().mean()
    last = error[:, -1].square().mean()
    assert first.item() == pytest.approx(last.item(), rel=0.15)


def test_an_offset_stays_for_the_whole_sequence():
    error, _ = sampled(model(offset=0.01))
    torch.testing.assert_close(error, error[:, :1].expand_as(error), atol=1e-6, rtol=0)
    assert error.square().mean().sqrt().item() == pytest.approx(0.01 * ((1.5**3 - 0.2**3) / 3 / 1.3) ** 0.5, rel=0.1)


def test_outliers_and_low_confidence():
    error, reliable = sampled(
        model(outliers=0.1, outlier_size=0.3, low_confidence_inliers=0.05, low_confidence_outliers=0.7)
    )
    distance = error.norm(dim=-1)
    outlier = distance > 1e-6
    assert outlier.float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert distance[outlier].square().mean().sqrt().item() == pytest.approx(0.3, rel=0.03)
    assert (~reliable)[outlier].float().mean().item() == pytest.approx(0.7, abs=0.02)
    assert (~reliable)[~outlier].float().mean().item() == pytest.approx(0.05, abs=0.005)


def test_legs_or_arms_are_exchanged_for_stretches():
    error, _ = sampled(model(swaps=0.05, swap_length=4.0), batch=600)
    xy = still() / SIDE
    swapped = (error - (xy[list(BODY22.mirror)] - xy)).norm(dim=-1) < 1e-5
    paired = torch.tensor([name.startswith(("left_", "right_")) for name in BODY22.joints])
    legs = torch.tensor([name.endswith(("hip", "knee", "ankle")) for name in BODY22.joints])
    for group in (paired & legs, paired & ~legs):
        assert torch.equal(swapped[..., group].any(-1), swapped[..., group].all(-1))
        frames = swapped[..., group].all(-1)
        assert frames.float().mean().item() == pytest.approx(0.05, rel=0.3)
        begins = (frames[:, 1:] & ~frames[:, :-1]).sum() + frames[:, 0].sum()
        assert (frames.sum() / begins).item() == pytest.approx(4, rel=0.1)
    assert (error[~swapped] == 0).all()
    both = (swapped[..., paired & legs].all(-1) & swapped[..., paired & ~legs].all(-1)).float().mean()
    assert both < 0.01  # by themselves


def test_a_joint_is_used_from_the_confidence_on_from_which_the_default_front_end_says_it_is_visible():
    assert MoveNetThunder.min_joint_confidence == MIN_CONFIDENCE


def test_the_shipped_model_is_one_of_a_front_end():
    noise = NoiseModel.load()
    assert len(noise.jitter) == 22
    assert all(0.0005 < value < 0.03 for value in noise.jitter)
    assert all(
        0 <= share < 0.5 for share in (noise.autocorrelation, noise.outliers, noise.swaps, noise.low_confidence_inliers)
    )
    assert noise.low_confidence_outliers > noise.low_confidence_inliers


def test_models_are_saved_and_loaded(tmp_path):
    noise = model(jitter=tuple(0.001 * joint for joint in range(22)), swaps=0.125)
    noise.save(tmp_path / "noise.json")
    assert NoiseModel.load(tmp_path / "noise.json") == noise


@pytest.mark.parametrize("text", ["", "\0", "[]", "{}", '{"jitter": 3}', '{"jitter": [0.1], "speed": 3}'])
def test_other_files_are_no_models(tmp_path, text):
    (tmp_path / "noise.json").write_text(text)
    with pytest.raises(OccluposeError, match=r"noise\.json: not a noise model"):
        NoiseModel.load(tmp_path / "noise.json")
    with pytest.raises(OccluposeError, match=r"other\.json: no such file"):
        NoiseModel.load(tmp_path / "other.json")
    model(jitter=(0.1,) * 17).save(tmp_path / "coco.json")
    with pytest.raises(OccluposeError, match=r"coco\.json: jitter of 17 joints"):
        NoiseModel.load(tmp_path / "coco.json")


def walking(random, frames, fps):
    """(time, 17, 2) px: a person who moves as smoothly as people do, in a box of about 200 px."""
    time = np.arange(frames)[:, None, None] / fps
    rest = random.uniform(-100, 100, (17, 2))
    rest[:2] = (-100, -100), (100, 100)
    return rest + 10 * np.sin(random.uniform(2, 6, (17, 2)) * time + random.uniform(0, 6, (17, 2))) + 200 * time


def tracks(
    *,
    fps=60.0,
    count=6,
    frames=600,
    jitter=0.004,
    rho=0.0,
    outliers=0.0,
    size=0.3,
    low_confidence_inliers=0.0,
    low_confidence_outliers=1.0,
    seed=0,
):
    """What a front end with these errors (each second frame's correlation is rho squared) gives for walking
    people; jitter of 17 joints.
    """
    random = np.random.default_rng(seed)
    for _ in range(count):
        noise = random.standard_normal((frames, 17, 2))
        for frame in range(1, frames):
            noise[frame] = rho * noise[frame - 1] + (1 - rho**2) ** 0.5 * noise[frame]
        wrong = random.random((frames, 17)) < outliers
        xy = walking(random, frames, fps)
        side = np.median((xy.max(1) - xy.min(1)).max(-1))
        xy = xy + side * np.asarray(jitter).reshape(-1, 1) * noise
        xy = xy + side * size / 2**0.5 * random.standard_normal(xy.shape) * wrong[..., None]
        low = random.random((frames, 17)) < np.where(wrong, low_confidence_outliers, low_confidence_inliers)
        yield xy, np.where(low, 0.1, 0.9)


def test_fitting_finds_the_jitter_of_each_joint():
    jitter = np.linspace(0.002, 0.008, 17)
    found = fit_noise(tracks(jitter=jitter), 60)
    at = dict(zip(BODY22.joints, found.jitter, strict=True))
    np.testing.assert_allclose([at[name] for name in COCO17.joints], jitter, rtol=0.1)
    torso = np.mean([at[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")])
    assert all(at[name] == pytest.approx(torso, abs=2e-5) for name in BODY22.joints if name not in COCO17.joints)
    assert found.outliers < 1e-3
    assert found.swaps == 0
    assert found.low_confidence_inliers == 0


@pytest.mark.parametrize(("fps", "frames"), [(60.0, 2), (120.0, 4)])
@pytest.mark.parametrize("rho", [0.0, 0.4, 0.7])
def test_fitting_finds_the_correlation_from_one_thirtieth_of_a_second_to_the_next(rho, fps, frames):
    assert fit_noise(tracks(rho=rho, fps=fps), fps).autocorrelation == pytest.approx(rho**frames, abs=0.1)


def test_fitting_finds_low_confidence_and_outliers():
    found = fit_noise(tracks(outliers=0.01, size=0.4, low_confidence_inliers=0.04, low_confidence_outliers=0.9), 60)
    assert found.low_confidence_inliers == pytest.approx(0.04, abs=0.01)
    assert found.outliers == pytest.approx(0.01, abs=0.002)
    assert found.outlier_size == pytest.approx(0.4, rel=0.1)
    assert found.low_confidence_outliers == pytest.approx(0.9, abs=0.1)


def test_without_outliers_none_are_found():
    found = fit_noise(tracks(jitter=0.008), 60)
    assert found.outliers == 0
    assert found.low_confidence_outliers == 1


def test_fitting_finds_exchanged_sides():
    def exchanged():
        for xy, confidence in tracks(jitter=0.001, count=3):
            legs = COCO17.index(*(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")))
            for start in range(50, 600, 100):
                xy[start : start + 10, legs] = xy[start : start + 10, legs[3:] + legs[:3]]
            yield xy, confidence

    found = fit_noise(exchanged(), 60)
    assert found.swaps == pytest.approx(0.05, abs=0.01)  # a tenth of the time, one of legs and arms
    assert found.swap_length == pytest.approx(10 * MODEL_FPS / 60, rel=0.1)


def test_nobody_can_be_fitted_from_slow_or_short_video():
    with pytest.raises(OccluposeError, match="30 frames/s: too slow"):
        fit_noise(tracks(count=1), 30)
    with pytest.raises(OccluposeError, match="no person is tracked for 28 frames"):
        fit_noise(tracks(count=3, frames=4 * WINDOW - 1), 60)
    with pytest.raises(OccluposeError, match="no person is tracked for 28 frames"):
        fit_noise([], 60)


def test_a_joint_that_is_never_reliable_cannot_be_fitted():
    ((xy, confidence),) = tracks(count=1)
    confidence[:, COCO17.index("left_ankle", "right_ankle")] = 0.1
    with pytest.raises(OccluposeError, match="left_ankle, right_ankle: low confidence"):
        fit_noise([(xy, confidence)], 60)


def test_occluded_joints_are_guessed_near_the_truth_and_sometimes_with_low_confidence():
    xy = still().expand(300, 60, 22, 2)
    noise = model(occluded_distance=0.13, occluded_low_confidence=0.6)
    guessed, confidence = noise.sample_occluded(xy, torch.Generator().manual_seed(0))
    distance = (guessed - xy).norm(dim=-1) / SIDE
    assert distance.square().mean().sqrt().item() == pytest.approx(0.13, rel=0.02)
    assert (confidence < MIN_CONFIDENCE).float().mean().item() == pytest.approx(0.6, abs=0.01)
    assert confidence.min() >= 0 and confidence.max() <= 1


def test_the_lower_the_threshold_the_more_good_and_occluded_joints_are_used():
    xy = still().expand(100, 60, 22, 2)
    good = model(low_confidence_inliers=0.05).sample(xy, torch.Generator().manual_seed(0))[1]
    hidden = model().sample_occluded(xy, torch.Generator().manual_seed(0))[1]
    for confidence in (good, hidden):
        shares = [(confidence >= threshold).float().mean().item() for threshold in (0.1, 0.3, 0.5, 0.7)]
        assert shares == sorted(shares, reverse=True)
    assert all(
        (good >= threshold).float().mean() > (hidden >= threshold).float().mean() for threshold in (0.1, 0.3, 0.5)
    )
