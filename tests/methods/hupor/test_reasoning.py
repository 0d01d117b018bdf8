from dataclasses import replace

import numpy as np
import pytest

from hupor_samples import DESIGN, TINY, channel_leaves, make_batch, sample_with_depth, sample_without_depth
from occlupose.codecs.multi_person import TargetMaps
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.methods.hupor.losses import HEATMAPS, WEIGHT
from occlupose.methods.hupor.network import stack_channels
from occlupose.methods.hupor.reasoning import annotation_mask, level_kernels, reasoning_loss, target_maps
from occlupose.skeletons import MPI15

HEAD = MPI15.index("head_top")[0]


def test_kernels_go_from_coarse_to_fine_and_are_finer_in_the_last_stage():
    """11, 9, 7, 5 cells from the coarsest level to the finest; 15, 11, 9, 7 in stages before."""
    assert level_kernels(True) == [4, 3, 2, 1] and level_kernels(False) == [3, 2, 1, 0]


def test_a_reasoner_without_mistakes_has_no_loss():
    """Visible and hidden maps add up exactly to all, at every level."""
    batch = make_batch([sample_with_depth(3, people=1), sample_with_depth(4, people=1)])
    truth = TargetMaps(DESIGN.codec, batch.people)
    output = [
        [stack_channels(target_maps(truth, "hidden", kernel)).clone() for kernel in stage]
        for stage in ([3, 2, 1, 0], [4, 3, 2, 1])
    ]
    assert output[0][0].any()
    terms = reasoning_loss(output, batch, truth, TINY)
    assert terms.keys() == {"hidden", "all"} and all(
        term.item() == pytest.approx(0, abs=1e-6) for term in terms.values()
    )
    output[1][1][0, 5] += 0.1  # a heatmap counts in what is hidden, and as much in everything
    for term in reasoning_loss(output, batch, truth, TINY).values():
        assert term.item() == pytest.approx(0.25 * WEIGHT * HEATMAPS * 0.01 / (2 * 15), rel=1e-3)
    alone = reasoning_loss(output, batch, truth, replace(TINY, reasoner_targets="all"))
    assert alone["hidden"] == 0 and alone["all"] == reasoning_loss(output, batch, truth, TINY)["all"]


def test_hidden_and_all_joints_have_weights_of_their_own():
    batch = make_batch([sample_with_depth(0)], with_images=False)
    output = channel_leaves(1, 57)
    truth = TargetMaps(DESIGN.codec, batch.people)
    before = reasoning_loss(output, batch, truth, TINY)
    after = reasoning_loss(output, batch, truth, replace(TINY, hidden_weight=0.5, all_weight=0.0))
    assert after["hidden"].item() == pytest.approx(5 * before["hidden"].item()) and after["all"] == 0


def test_joints_that_coco_lacks_have_no_gradient_in_the_reasoner():
    batch = make_batch([sample_with_depth(0), sample_without_depth(0)], with_images=False)
    output = channel_leaves(2, 57)
    sum(reasoning_loss(output, batch, TargetMaps(DESIGN.codec, batch.people), TINY).values()).backward()
    for stage in output:
        for number, level in enumerate(stage):
            with_depth = level.grad[0].flatten(1).any(1)
            without = level.grad[1].flatten(1).any(1)
            unsaid = [HEAD, 15, 16, *range(43, 57)]
            assert not without[unsaid].any()
            if number:
                assert with_depth.all() and without.sum() == 57 - len(unsaid)


def test_limb_depths_are_trained_where_they_are_known_for_all_people():
    """Of one of two people an elbow's is not: both limbs at it are not learnt in that image, nor is anything else
    lost.
    """
    given = sample_with_depth(0)
    one = all_visible(given)
    elbow = MPI15.index("left_elbow")[0]
    one.xyz[1, elbow] = np.nan
    known = annotation_mask(DESIGN.codec, make_batch([one, all_visible(given)], with_images=False))
    assert known.heatmaps.bool().all() and known.vectors.bool().all() and known.limb_depths[1].bool().all()
    missing = [MPI15.limbs[limb] for limb in (known.limb_depths[0] == 0).nonzero().flatten()]
    assert missing == [limb for limb in MPI15.limbs if "left_elbow" in limb]
    one.state[1, elbow] = 0  # nobody asks after the depth of what is not there
    assert annotation_mask(DESIGN.codec, make_batch([one], with_images=False)).limb_depths.bool().all()


def all_visible(given):
    """The same, every joint visible."""
    xy = np.where(np.isfinite(given.xy), given.xy, 100.0)
    z = np.where(np.isfinite(given.z), given.z, 4.0)
    return make_mpi15_sample(None, given.size, xy, z, np.full(given.state.shape, 2, np.uint8), camera=given.camera)
