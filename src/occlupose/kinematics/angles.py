"""Angles of a joint: flexion and swing to the side as a rotation vector across the segment, then twist along it.

Every rotation is a twist about the segment's length followed by a swing about an axis across it (Dobrowolski,
Swing-twist decomposition in Clifford algebra, 2015). Two swing angles and the twist describe it up to a swing of 180
degrees, which no joint of a person reaches from the T-pose.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.fitting import from_rotation_vector

SMALL = 1e-12


def to_quaternion(rotation: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 4"]:
    """Unit quaternions (w, x, y, z) of rotation matrices, w >= 0.

    From the largest of the four squared components (Shepperd, 1978).
    """
    m = rotation.flatten(-2).unbind(-1)
    rows = torch.stack(
        [
            torch.stack([1 + m[0] + m[4] + m[8], m[7] - m[5], m[2] - m[6], m[3] - m[1]], -1),
            torch.stack([m[7] - m[5], 1 + m[0] - m[4] - m[8], m[1] + m[3], m[2] + m[6]], -1),
            torch.stack([m[2] - m[6], m[1] + m[3], 1 - m[0] + m[4] - m[8], m[5] + m[7]], -1),
            torch.stack([m[3] - m[1], m[2] + m[6], m[5] + m[7], 1 - m[0] - m[4] + m[8]], -1),
        ],
        -2,
    )
    best = rows.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = rows.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    quaternion = torch.nn.functional.normalize(quaternion, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def to_angles(rotation: Float[Tensor, "*any 3 3"], axes: Float[Tensor, "*#any 3 3"]) -> Float[Tensor, "*any 3"]:
    """Flexion, swing to the side and twist, radians.

    Arguments:
        rotation: of a segment relative to its parent.
        axes: of the three angles, as right-handed orthonormal columns.
    """
    angles, _ = angles_with_jacobian(rotation, axes)
    return angles


def from_angles(angles: Float[Tensor, "*any 3"], axes: Float[Tensor, "*#any 3 3"]) -> Float[Tensor, "*any 3 3"]:
    """The inverse of `to_angles`."""
    swing = (axes[..., :2] @ angles[..., :2, None]).squeeze(-1)
    twist = axes[..., 2] * angles[..., 2:]
    return from_rotation_vector(swing) @ from_rotation_vector(twist)


def angles_with_jacobian(
    rotation: Float[Tensor, "*any 3 3"], axes: Float[Tensor, "*#any 3 3"]
) -> tuple[Float[Tensor, "*any 3"], Float[Tensor, "*any 3 3"]]:
    """The angles, and their derivative by a small rotation vector v that is applied first: rotation @ exp(v).

    With the quaternion (w, x, y, z) in the axes, n = |(w, z)|, and the swing quaternion (n, (wx - yz) / n,
    (wy + xz) / n, 0), the swing angles are g (wx - yz) and g (wy + xz) with g = 2 atan2(m, n) / (m n), m = |(x, y)|;
    the twist is 2 atan2(z, w). Ours.
    """
    quaternion = to_quaternion(rotation)
    w = quaternion[..., :1]
    vector = (axes.mT @ quaternion[..., 1:, None]).squeeze(-1)
    x, y, z = vector.split(1, -1)
    n2 = (w**2 + z**2).clamp_min(SMALL)
    m2 = x**2 + y**2
    n = n2.sqrt()
    m = m2.sqrt()
    half = torch.where(m > 1e-6, torch.atan2(m, n) / m.clamp_min(1e-6), 1 / n)
    g = 2 * half / n
    swing = torch.cat([w * x - y * z, w * y + x * z], -1)
    angles = torch.cat([g * swing, 2 * torch.atan2(z, w)], -1)
    # derivatives by v in the axes: 2 dw = -(x, y, z), 2 d(x, y, z) = w v + (x, y, z) x v
    dw = -vector / 2
    zero = torch.zeros_like(w)
    cross = torch.stack([torch.cat(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))], -2)
    d = (w[..., None] * torch.eye(3, dtype=w.dtype) + cross) / 2
    dx, dy, dz = d.unbind(-2)
    dn2 = 2 * (w * dw + z * dz)
    # d half / d m2 at n2 = 1 - m2
    by_m2 = torch.where(m > 1e-3, (1 / n - half) / (2 * m2.clamp_min(SMALL)), torch.full_like(m, 1 / 6))
    dg = -2 * by_m2 / n * dn2 - half / (n * n2) * dn2
    d_swing = torch.stack([dw * x + w * dx - dy * z - y * dz, dw * y + w * dy + dx * z + x * dz], -2)
    d_flat = swing[..., None] * dg[..., None, :] + g[..., None] * d_swing
    d_twist = 2 * (w * dz - z * dw) / n2
    jacobian = torch.cat([d_flat, d_twist[..., None, :]], -2)
    return angles, jacobian @ axes.mT
