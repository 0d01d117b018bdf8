"""Composite fields as a perfect network predicts them."""

import numpy as np
import torch

from occlupose.codecs.composite_fields import AssociationField, IntensityField, encode_joints, encode_limbs
from occlupose.codecs.multi_person import PeopleBatch
from occlupose.networks.pifpaf import PifPafFields

CERTAIN = 12.0
"""Logit of a confidence of 1, and, negative, of 0."""

SPREAD = -1.0
"""Logarithm of the spread of offsets."""


def batch_of(xy, state):
    """People in px of the input as a batch of one."""
    parts = (torch.from_numpy(np.nan_to_num(xy)).float()[None], torch.full((1, *state.shape), torch.nan))
    return PeopleBatch(*parts, torch.from_numpy(state)[None], torch.tensor([torch.nan]))


def perfect_fields(people, codec, subset="visible"):
    """The output of a network that knows the targets."""
    joints = encode_joints(people, codec, subset)
    limbs = encode_limbs(people, codec, subset)
    return PifPafFields(
        IntensityField(
            CERTAIN * (2 * joints.confidence - 1),
            joints.offset,
            joints.scale.clamp_min(1e-3).log(),
            torch.full_like(joints.scale, SPREAD),
        ),
        AssociationField(
            CERTAIN * (2 * limbs.confidence - 1),
            limbs.offset,
            limbs.scale.clamp_min(1e-3).log(),
            torch.full_like(limbs.scale, SPREAD),
        ),
    )
