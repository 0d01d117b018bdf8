import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from hupor_maps import random_person
from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.predict import SHIPPED
from occlupose.methods.hupor.refine import (
    PELVIS,
    RefinePairs,
    RefineRecipe,
    encode_inputs,
    match_people,
    match_points,
    refine_loss,
    refine_positions,
)
from occlupose.methods.hupor.train_refine import RefineTask
from occlupose.networks.refine import GCN, MLP, Correction
from occlupose.skeletons import MPI15
from occlupose.training.run import TrainingRun

CAMERA = Camera(832, 512, 900.0, 850.0, 410.0, 260.0)
WRIST, ELBOW, HIP = MPI15.index("left_wrist", "left_elbow", "right_hip")
ARM = [WRIST, ELBOW]


def people(count, seed=0):
    """People as they are."""
    random = np.random.default_rng(seed)
    xyz = np.stack([random_person(random) + random.uniform([-1, -1, 3], [1, 1, 8]) for _ in range(count)])
    return detections(CAMERA.project(xyz), xyz, np.full((count, 15), 2, np.uint8))


def detections(xy, xyz, state):
    return Detections(skeleton=MPI15, xy=xy, score=np.ones(state.shape), state=state, xyz=xyz)


def sample(truth):
    """The ground truth of an image in which these people are."""
    return ImageSample(
        image=None,
        size=(832, 512),
        skeleton=MPI15,
        xy=truth.xy,
        state=truth.state,
        xyz=truth.xyz,
        camera=CAMERA,
    )


def found(truth, missing=(HIP,), bias=0.3):
    """As they are found: without some joints, and one arm too far away by some metres."""
    state = truth.state.copy()
    depth = truth.xyz[..., 2].copy()
    state[:, list(missing)] = 0
    depth[:, ARM] += bias
    gone = (state == 0)[..., None]
    xyz = CAMERA.back_project(truth.xy, depth)
    return detections(np.where(gone, np.nan, truth.xy), np.where(gone, np.nan, xyz), state)


def together(one, other, **more):
    """Pairs of people who are each alone in an image."""
    return RefinePairs.concatenate(
        match_people(one.select([i]), sample(other.select([i])), **more) for i in range(len(one))
    )


def learnt(published=False, seed=0):
    """A network with random output, in evaluation mode."""
    torch.manual_seed(seed)
    network = MLP()
    torch.nn.init.normal_(network[-2].weight, std=0.05)
    return (network if published else Correction(network)).eval()


def trained(pairs, folder, recipe, **options):
    return TrainingRun(folder, progress=False, **options).train(RefineTask(SHIPPED, pairs, recipe))


def recipe(**changes):
    return RefineRecipe(
        **{"kind": "gcn", "epochs": 6, "batch": 4, "width": 4, "depth": 1, "save_every": 2, "log_every": 1} | changes
    )


def test_the_pelvis_is_where_it_is_and_the_others_relative_to_it():
    who = people(3)
    given = encode_inputs(who.xy, who.xyz, who.state, CAMERA)
    assert given.shape == (3, 15, 5)
    assert given.dtype == torch.float32
    lens = who.xyz[..., :2] / who.xyz[..., 2:]
    np.testing.assert_allclose(given[:, PELVIS], np.concatenate([lens, who.xyz], -1)[:, PELVIS], rtol=1e-5)
    np.testing.assert_allclose(given[:, WRIST, 2:], who.xyz[:, WRIST] - who.xyz[:, PELVIS], atol=1e-5)
    np.testing.assert_allclose(given[:, WRIST, :2], lens[:, WRIST] - lens[:, PELVIS], atol=1e-5)


def test_published_inputs_are_pixels_and_centimetres():
    who = people(3)
    given = encode_inputs(who.xy, who.xyz, who.state, CAMERA, published=True)
    both = np.concatenate([who.xy, 100 * who.xyz], -1)
    np.testing.assert_allclose(given[:, PELVIS], both[:, PELVIS], rtol=1e-5)
    np.testing.assert_allclose(given[:, WRIST], both[:, WRIST] - both[:, PELVIS], atol=1e-3)


def test_our_inputs_do_not_depend_on_the_image_size():
    who = people(2)
    larger = Camera(1664, 1024, 1800.0, 1700.0, 820.0, 520.0)
    one = encode_inputs(who.xy, who.xyz, who.state, CAMERA)
    other = encode_inputs(2 * who.xy, who.xyz, who.state, larger)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("published", [False, True])
def test_rows_of_missing_joints_are_zero(published):
    who = people(3)
    who.state[0, WRIST] = 0  # though it has a position
    who.xyz[1, WRIST] = np.nan
    who.state[2, PELVIS] = 0
    given = encode_inputs(who.xy, who.xyz, who.state, CAMERA, published=published)
    assert given.isfinite().all()
    assert (given[:2, WRIST] == 0).all()
    assert (given[:2, ELBOW] != 0).all()
    assert (given[2] == 0).all()


@pytest.mark.parametrize("published", [False, True])
def test_the_pelvis_stays_and_joints_lie_behind_their_pixels(published):
    who = found(people(8))
    xyz = refine_positions(learnt(published), who.xy, who.xyz, who.state, CAMERA, published=published)
    np.testing.assert_array_equal(xyz[:, PELVIS], who.xyz[:, PELVIS])
    seen = who.state > 0
    np.testing.assert_allclose(CAMERA.project(xyz)[seen], who.xy[seen], atol=1e-6)
    assert np.abs(xyz[:, WRIST, 2] - who.xyz[:, WRIST, 2]).min() > 1e-4


def test_undetected_joints_get_the_network_s_position():
    who = found(people(4))
    network = learnt()
    output = network(encode_inputs(who.xy, who.xyz, who.state, CAMERA)).detach().numpy()
    xyz = refine_positions(network, who.xy, who.xyz, who.state, CAMERA)
    np.testing.assert_allclose(xyz[:, HIP], who.xyz[:, PELVIS] + output[:, HIP], atol=1e-6)
    np.testing.assert_allclose(xyz[:, WRIST, 2], who.xyz[:, PELVIS, 2] + output[:, WRIST, 2], atol=1e-6)
    assert np.isfinite(xyz).all()


def test_an_untrained_network_corrects_nothing():
    who = found(people(4))
    xyz = refine_positions(recipe().build().eval(), who.xy, who.xyz, who.state, CAMERA)
    np.testing.assert_allclose(xyz[who.state > 0], who.xyz[who.state > 0], atol=1e-6)
    np.testing.assert_array_equal(xyz[:, HIP], who.xyz[:, PELVIS])


def test_predictions_behind_the_camera_are_ignored():
    class Behind(torch.nn.Linear):
        def forward(self, x):
            return torch.full((*x.shape[:2], 3), -100.0)

    who = found(people(2))
    np.testing.assert_array_equal(refine_positions(Behind(1, 1), who.xy, who.xyz, who.state, CAMERA), who.xyz)


def test_a_person_without_a_pelvis_does_not_change():
    who = found(people(2), missing=(PELVIS,))
    np.testing.assert_array_equal(refine_positions(learnt(), who.xy, who.xyz, who.state, CAMERA), who.xyz)


def test_nobody():
    who = people(2)
    assert refine_positions(learnt(), who.xy[:0], who.xyz[:0], who.state[:0], CAMERA).shape == (0, 15, 3)
    none = match_people(Detections.none(MPI15, in_3d=True), sample(who))
    assert len(none) == 0
    assert len(RefinePairs.concatenate([none, match_people(who, sample(who))])) == 2


def test_single_precision_stays():
    who = found(people(2))
    assert (
        refine_positions(learnt(), who.xy.astype(np.float32), who.xyz.astype(np.float32), who.state, CAMERA).dtype
        == np.float32
    )


@pytest.mark.parametrize(("apart", "same"), [(0, 1), (29.99, 1), (30, 0), (31, 0)])
def test_pelvises_less_than_30_pixels_apart_are_one_persons(apart, same):
    one = np.array([[100.0, 50.0]])
    assert len(match_points(one, one + np.array([apart, 0]))[0]) == same
    assert len(match_points(one, one - np.array([0, apart]))[0]) == same


def test_the_closest_are_matched_first_and_each_person_once():
    mine = np.array([[0.0, 0], [12, 0], [np.nan, 0], [500, 0]])
    theirs = np.array([[10.0, 0], [495, 0], [25, 0], [np.nan, np.nan]])
    one, other = match_points(mine, theirs)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [(1, 0), (3, 1), (0, 2)]
    one, other = match_points(mine[:2], theirs[:1])
    assert (one.tolist(), other.tolist()) == ([1], [0])


def test_pairs_have_the_truth_relative_to_the_pelvis():
    truth = people(3)
    truth.xy[:, PELVIS] = [[100, 100], [300, 100], [500, 100]]
    mine = found(truth)
    order = [2, 0, 1]
    mine = detections(mine.xy[order] + 2.0, mine.xyz[order], mine.state[order])
    truth.xyz[0, WRIST] = np.nan
    truth.state[1, ELBOW] = 0  # outside of the image, but known in space
    made = match_people(mine, sample(truth))
    assert len(made) == 3
    expected = encode_inputs(mine.xy, mine.xyz, mine.state, CAMERA)
    assert torch.equal(made.inputs, expected)
    true_xyz = CAMERA.back_project(truth.xy, truth.xyz[..., 2])
    away = torch.from_numpy((true_xyz - true_xyz[:, [PELVIS]])[order]).float()
    assert torch.equal(made.xyz[made.known], away[made.known])
    assert (made.xyz[~made.known] == 0).all()
    known = torch.ones(3, 15, dtype=torch.bool)
    known[:, PELVIS] = False
    known[1, WRIST] = False
    assert torch.equal(made.known, known)


def test_people_without_a_pelvis_or_a_3d_position_are_in_no_pair():
    truth = people(3)
    mine = found(truth)
    truth.xyz[0, PELVIS] = np.nan
    truth.state[1, PELVIS] = 0
    mine.xyz[2, PELVIS] = np.nan
    assert len(match_people(mine, sample(truth))) == 0


def test_the_loss_is_over_known_joints():
    truth = people(4)
    made = together(found(truth), truth)
    made.known[:, :5] = False
    network = learnt()
    expected = (network(made.inputs) - made.xyz)[made.known].square().mean()
    torch.testing.assert_close(refine_loss(network, made)["position"], expected)
    made.known[:] = False
    assert refine_loss(network, made)["position"] == 0


def test_batches_have_no_repetitions():
    truth = people(10)
    made = together(found(truth), truth)
    batch = made.draw(6, torch.Generator().manual_seed(0))
    assert len(batch) == len(batch.inputs[:, WRIST].unique(dim=0)) == 6
    everybody = made.draw(1024, torch.Generator().manual_seed(0))
    assert torch.equal(everybody.inputs[:, WRIST].unique(dim=0), made.inputs[:, WRIST].unique(dim=0))


def test_the_published_training():
    graph = RefineRecipe()
    perceptron = RefineRecipe(kind="mlp")
    assert (graph.epochs, graph.batch) == (200, 1024)
    assert graph.schedule(5_000).steps == 800
    assert graph.schedule(3).steps == 200
    assert graph.schedule(5_000).learning_rate_at(0) == pytest.approx(0.01)
    plan = perceptron.schedule(1024)
    assert (plan.weight_decay, plan.ema_decay) == (0, 0)  # Adam, and the last weights
    for recipe, rate in ((graph, 0.01), (perceptron, 0.08)):
        for pairs in (1024, 5_000):  # one batch an epoch, or four
            plan = recipe.schedule(pairs)
            for epoch in range(200):
                expected = rate * 0.5 ** (epoch // 30)  # StepLR(30, 0.5)
                assert plan.learning_rate_at(epoch * plan.steps // 200) == pytest.approx(expected)
                assert plan.learning_rate_at((epoch + 1) * plan.steps // 200 - 1) == pytest.approx(expected)
    assert RefineRecipe(epochs=40).schedule(1024).learning_rate_at(39) == pytest.approx(0.01 / 64)
    assert isinstance(RefineRecipe(published=True).build(), GCN)
    assert isinstance(RefineRecipe(kind="mlp", published=True).build(), MLP)
    assert isinstance(perceptron.build().network, MLP)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "cnn"}, "kind cnn"),
        ({"batch": 1}, "batch 1: must be 2"),
        ({"epochs": 0}, "epochs 0"),
        ({"learning_rate": -1.0}, "-1"),
    ],
)
def test_impossible_values_are_refused(change, reason):
    with pytest.raises(OccluposeError, match=reason):
        recipe(**change)


@pytest.mark.parametrize(
    "plan",
    [
        {"kind": "gcn", "width": 24, "depth": 2, "epochs": 80, "batch": 100},
        {"kind": "mlp", "learning_rate": 0.01, "epochs": 40, "batch": 100},
    ],
    ids=["gcn", "mlp"],
)
def test_it_learns_the_positions_of_an_arm_and_a_hip(tmp_path, plan):
    """Of people it has not seen; an arm is found 30 cm too far away, a hip not at all, but it lies opposite to the
    other one.
    """
    truth = people(600)
    unseen = people(100, seed=1)
    network = trained(together(found(truth), truth), tmp_path, RefineRecipe(**plan))
    assert not network.training
    who = found(unseen)
    xyz = refine_positions(network, who.xy, who.xyz, who.state, CAMERA)
    before = np.linalg.norm(who.xyz - unseen.xyz, axis=-1).mean(0)
    after = np.linalg.norm(xyz - unseen.xyz, axis=-1).mean(0)
    assert before[ARM].min() > 0.3
    assert after[ARM].max() < 0.04
    assert np.nanmean(after) < 0.5 * np.nanmean(before)
    assert after[HIP] < 0.105  # m; half a hip's width is 0.125: that far off is who says that it is where the pelvis is


@pytest.mark.parametrize("kind", ["gcn", "mlp"])
def test_a_stopped_run_is_resumed_to_the_same_end(tmp_path, kind):
    truth = people(9)
    made = together(found(truth), truth)
    plan = recipe(kind=kind)

    class Stopped(Exception):
        pass

    class Stopping(RefinePairs):
        left = 5

        def draw(self, count, generator):
            if not self.left:
                raise Stopped
            self.left -= 1
            return super().draw(count, generator)

    whole = trained(made, tmp_path / "whole", plan).state_dict()
    with pytest.raises(Stopped):
        trained(Stopping(**vars(made)), tmp_path / "stopped", plan)
    torch.manual_seed(99)
    resumed = trained(made, tmp_path / "stopped", plan, resume=True).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    logs = [[row[:-1] for row in csv.reader((tmp_path / name / "log.csv").open())] for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 1 + plan.schedule(9).steps


def test_a_run_is_resumed_only_with_its_pairs_recipe_and_seed(tmp_path):
    truth = people(5)
    made = together(found(truth), truth)
    trained(made, tmp_path, recipe())
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(made, tmp_path, recipe())
    for other, plan, seed in (
        (made.draw(4, torch.Generator()), recipe(), 0),
        (made, recipe(epochs=7), 0),
        (made, recipe(), 1),
    ):
        with pytest.raises(OccluposeError, match="started with other settings or data"):
            trained(other, tmp_path, replace(plan, seed=seed), resume=True)


@pytest.mark.parametrize("kind", ["gcn", "mlp"])
def test_few_pairs_are_enough(tmp_path, kind):
    truth = people(2)
    made = together(found(truth), truth)
    trained(made, tmp_path / "two", recipe(kind=kind, batch=1024, published=True))
    with pytest.raises(OccluposeError, match="1 detected people match the ground truth; at least 2"):
        trained(made.draw(1, torch.Generator()), tmp_path / "one", recipe(kind=kind))
