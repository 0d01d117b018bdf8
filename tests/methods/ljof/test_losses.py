"""Against loops over joints, written from the papers' equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.methods.ljof.losses import (
    KINDS,
    DynamicStructureLoss,
    StructureAwareLoss,
    StructureLoss,
    body_neighbours,
    heatmap_loss,
    limb_neighbours,
)
from occlupose.methods.ljof.schedules import Constant, Step
from occlupose.skeletons import CMU31, COCO17, CROWDPOSE14, SKELETONS

ARMS = "left_wrist left_elbow left_shoulder right_shoulder right_elbow right_wrist".split()
LEGS = "left_ankle left_knee left_hip right_hip right_knee right_ankle".split()
LOSSES = {"heatmap": heatmap_loss, "limbs": StructureLoss(COCO17), "body": StructureAwareLoss(COCO17)}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def case(seed, batch=2, joints=17, height=5, width=4):
    """Maps, what they should be, and weights: some joints of weight 0, some of odd ones."""
    random = torch.Generator().manual_seed(seed)
    maps, truth = torch.randn(2, batch, joints, height, width, generator=random)
    weight = torch.randint(0, 3, (batch, joints), generator=random) / 2
    return maps, truth, weight


def squared(difference):
    return float((difference**2).sum())


def equation_5(maps, truth, weight):
    """Joint by joint, mean over pixels, joints and people."""
    batch, joints, height, width = maps.shape
    total = sum(weight[b, k] * squared(maps[b, k] - truth[b, k]) for b in range(batch) for k in range(joints))
    return total / (batch * joints * height * width)


def equation_6(maps, truth, weight, skeleton):
    """Each limb joint's map and its neighbours', added up; the chains written down here once more."""
    batch, _, height, width = maps.shape
    total = 0.0
    for b in range(batch):
        for chain in (ARMS, LEGS):
            for place, joint in enumerate(chain):
                near = [joint, *chain[max(place - 1, 0) : place], *chain[place + 1 : place + 2]]
                summed = np.zeros((2, height, width))
                for k in skeleton.index(*near):
                    if weight[b, k] > 0:
                        summed += maps[b, k], truth[b, k]
                total += weight[b, skeleton.index(joint)[0]] * squared(summed[0] - summed[1])
    return total / (batch * 12 * height * width)


def structure_aware(maps, truth, weight, skeleton):
    """Ke et al.: the maps of a joint and its neighbours over the whole body, side by side."""
    batch, joints, height, width = maps.shape
    total = 0.0
    for b in range(batch):
        for n, joint in enumerate(skeleton.joints):
            near = {joint} | {end for limb in skeleton.limbs if joint in limb for end in limb}
            known = [k for k in skeleton.index(*sorted(near)) if weight[b, k] > 0]
            total += weight[b, n] * squared(maps[b, known] - truth[b, known])
    return total / (batch * joints * height * width)


@given(st.integers(0, 2**32 - 1), st.sampled_from([COCO17, CROWDPOSE14]))
def test_the_losses_are_those_of_the_papers(seed, skeleton):
    maps, truth, weight = case(seed, joints=len(skeleton))
    arrays = maps.double().numpy(), truth.double().numpy(), weight.double().numpy()
    assert heatmap_loss(maps, truth, weight).item() == pytest.approx(equation_5(*arrays), rel=1e-5)
    assert StructureLoss(skeleton)(maps, truth, weight).item() == pytest.approx(equation_6(*arrays, skeleton), rel=1e-5)
    assert StructureAwareLoss(skeleton)(maps, truth, weight).item() == pytest.approx(
        structure_aware(*arrays, skeleton), rel=1e-5
    )


@every_loss
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_is_wrong_where_maps_are_right(loss, seed):
    _, truth, weight = case(seed)
    maps = truth.clone().requires_grad_()
    value = loss(maps, truth, weight)
    value.backward()
    assert value == 0 and not maps.grad.any()


@every_loss
@given(seed=st.integers(0, 2**32 - 1))
def test_predictions_of_unannotated_joints_do_not_matter(loss, seed):
    maps, truth, weight = case(seed)
    maps.requires_grad_()
    loss(maps, truth, weight).backward()
    assert not maps.grad[weight == 0].any()
    with torch.no_grad():
        before = loss(maps, truth, weight)
        maps[weight == 0] = 7.0
        truth[weight == 0] = -3.0
        assert loss(maps, truth, weight) == before


@every_loss
@given(seed=st.integers(0, 2**32 - 1))
def test_linear_in_the_samples(loss, seed):
    """A batch's loss is the mean of its people's, whatever their weights; twice the weight is twice the loss."""
    maps, truth, weight = case(seed, batch=3)
    alone = [loss(maps[b : b + 1], truth[b : b + 1], weight[b : b + 1]).item() for b in range(3)]
    assert loss(maps, truth, weight).item() == pytest.approx(np.mean(alone), rel=1e-5)
    assert loss(maps, truth, 2 * weight).item() == pytest.approx(2 * np.mean(alone), rel=1e-5)


def wrong_elbow(**weights):
    """Gradients, by joint, of the structure loss where the left elbow's map alone is wrong."""
    weight = torch.ones(1, 17)
    for joint, value in weights.items():
        weight[0, COCO17.index(joint)] = value
    truth = torch.rand(1, 17, 6, 5, generator=torch.Generator().manual_seed(0))
    maps = truth.clone()
    maps[0, COCO17.index("left_elbow")[0], 2, 3] += 1
    maps.requires_grad_()
    StructureLoss(COCO17)(maps, truth, weight).backward()
    return dict(zip(COCO17.joints, maps.grad[0], strict=True))


def test_a_wrong_elbow_reaches_wrist_and_shoulder():
    """And through the shoulder's sum the other shoulder; through no sum the other wrist, a leg or the face."""
    gradients = wrong_elbow()
    reached = {joint for joint, gradient in gradients.items() if gradient.any()}
    assert reached == {"left_wrist", "left_elbow", "left_shoulder", "right_shoulder"}
    wrist = gradients["left_wrist"]
    assert wrist[2, 3] > 0 and wrist.count_nonzero() == 1  # what the elbow has too much the wrist should have less
    # in the sums of wrist and elbow: 2 (1 + 1) / (12 x 30); the elbow itself is in three sums
    assert wrist[2, 3].item() == pytest.approx(4 / 360) and gradients["left_elbow"][2, 3].item() == pytest.approx(
        6 / 360
    )


def test_an_unannotated_joint_passes_nothing_on():
    reached = {joint for joint, gradient in wrong_elbow(left_shoulder=0.0).items() if gradient.any()}
    assert reached == {"left_wrist", "left_elbow"}
    assert not any(gradient.any() for gradient in wrong_elbow(left_elbow=0.0).values())


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)
def test_the_neighbours_on_limbs(skeleton):
    """By names, in every skeleton; CMU's has its own."""
    own = dict(skeleton.aliases)
    wanted = {}
    for chain in (ARMS, LEGS):
        places = skeleton.index(*(own.get(joint, joint) for joint in chain))
        for here, place in enumerate(places):
            wanted[place] = tuple(sorted(places[max(here - 1, 0) : here] + places[here + 1 : here + 2]))
    assert limb_neighbours(skeleton) == wanted
    assert list(limb_neighbours(skeleton)) == sorted(wanted)


def test_ids_of_the_papers_datasets():
    """COCO's joints 5 to 16, CrowdPose's 0 to 11; one or two neighbours each."""
    assert list(limb_neighbours(COCO17)) == list(range(5, 17)) and list(limb_neighbours(CROWDPOSE14)) == list(range(12))
    assert limb_neighbours(COCO17)[5] == (6, 7) and limb_neighbours(COCO17)[9] == (7,)
    assert set(map(len, limb_neighbours(CMU31).values())) == {1, 2}


def test_part_of_a_skeleton_keeps_the_limbs_that_it_has():
    arm = COCO17.subset(["nose", "left_elbow", "left_wrist", "left_knee"])
    assert limb_neighbours(arm) == {1: (2,), 2: (1,)}
    with pytest.raises(
        OccluposeError, match=r"no two of its joints are neighbours on a limb; limbs are left_wrist-left_elbow-"
    ):
        StructureLoss(COCO17.subset(["nose", "left_wrist", "left_shoulder"]))


def test_the_neighbours_over_the_whole_body():
    neighbours = body_neighbours(CROWDPOSE14)
    neck, head, shoulder = CROWDPOSE14.index("neck", "head_top", "left_shoulder")
    assert neighbours[head] == (neck,)
    assert set(neighbours[shoulder]) == set(CROWDPOSE14.index("neck", "left_elbow", "left_hip"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_structure_loss_steps_in(kind):
    """LJOF eq. 4."""
    maps, truth, weight = case(3)
    loss = DynamicStructureLoss(COCO17, Step(at=0.5, weight=0.25), kind)
    structure = KINDS[kind](COCO17)(maps, truth, weight)
    plain = heatmap_loss(maps, truth, weight)
    assert loss(maps, truth, weight, 0.49) == plain
    torch.testing.assert_close(loss(maps, truth, weight, 0.5), plain + 0.25 * structure)
    terms = loss.terms(maps, truth, weight, 1.0)
    assert terms.keys() == {"heatmap", "structure"}
    torch.testing.assert_close(terms["structure"], 0.25 * structure)
    assert terms["heatmap"] == plain
    assert loss.terms(maps, truth, weight, 0.0)["structure"] == 0


def test_defaults_and_any_schedule():
    maps, truth, weight = case(3)
    structure = LOSSES["limbs"](maps, truth, weight)
    assert DynamicStructureLoss(COCO17).terms(maps, truth, weight, 0.5)["structure"] == 0.5 * structure
    assert DynamicStructureLoss(COCO17, Constant(2.0)).terms(maps, truth, weight, 0)["structure"] == 2 * structure
    assert (
        DynamicStructureLoss(COCO17, lambda progress: 3 * progress).terms(maps, truth, weight, 1)["structure"]
        == 3 * structure
    )
    with pytest.raises(OccluposeError, match=r"^structure loss head: not known; known are limbs, body$"):
        DynamicStructureLoss(COCO17, kind="head")


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_and_devices(kind):
    """Sums are in full precision within autocast; nothing is left on the processor; there is nothing to save in a
    checkpoint.
    """
    maps, truth, weight = case(4)
    loss = DynamicStructureLoss(COCO17, Constant(), kind)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(maps, truth, weight, 0.0)
    assert torch.equal(mixed, loss(maps, truth, weight, 0.0)) and mixed.dtype == torch.float32
    assert loss(maps.bfloat16(), truth.bfloat16(), weight, 0.0).dtype == torch.float32
    assert not loss.state_dict() and not list(loss.parameters())
    assert loss.to("meta")(maps.to("meta"), truth.to("meta"), weight.to("meta"), 0.0).device.type == "meta"
