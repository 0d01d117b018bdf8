"""Body models in random poses, and a file in SMPL's format with a random body."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SEGMENTS, BodyModel, PosedBodies, interpolate_rotations
from occlupose.bodies.smpl import FACES, JOINTS, PARENTS, VERTICES

PLACES = {
    "pelvis": (0, 0.93, 0),
    "hip": (0.07, 0.85, 0),
    "knee": (0.1, 0.46, 0),
    "ankle": (0.09, 0.06, -0.04),
    "foot": (0.12, 0, 0.08),
    "spine1": (0, 1.05, 0),
    "spine2": (0, 1.18, 0),
    "spine3": (0, 1.24, 0.02),
    "neck": (0, 1.45, -0.01),
    "head": (0, 1.53, 0.03),
    "collar": (0.08, 1.36, 0),
    "shoulder": (0.19, 1.38, 0),
    "elbow": (0.45, 1.37, -0.02),
    "wrist": (0.7, 1.38, -0.02),
    "hand": (0.79, 1.37, -0.03),
}
"""Metres left, up and forward of where the bones of a person with arms stretched out begin."""

FACE = {
    332: (0, 1.56, 0.14),
    6260: (-0.03, 1.6, 0.12),
    2800: (0.03, 1.6, 0.12),
    4071: (-0.08, 1.58, 0.03),
    583: (0.08, 1.58, 0.03),
    411: (0, 1.72, 0.03),
}


def random_rotations(seed: int, *shape: int, most: float = 1.0) -> torch.Tensor:
    """Random rotations by up to `most` radians."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(*shape, 3))
    vectors *= most * random.uniform(0, 1, (*shape, 1)) / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return torch.from_numpy(Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)).float()


def random_bodies(
    body: BodyModel, seed: int, count: int = 1, *, most: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pose, shape and translation of some bodies, each turned as a whole in any way."""
    random = np.random.default_rng(seed)
    share = torch.from_numpy(random.uniform(0, 1, (count, len(body.low)))).float()
    place = torch.from_numpy(random.normal(size=(count, 3))).float()
    return (
        random_rotations(seed, count, 1, most=3.0) @ random_rotations(seed + 1, count, len(SEGMENTS), most=most),
        torch.lerp(body.low, body.high, share),
        place,
    )


def skin_in_loops(body: BodyModel, pose: torch.Tensor, shape: torch.Tensor, translation: torch.Tensor) -> PosedBodies:
    """One body, bone by bone and vertex by vertex as SMPL's equations 2 to 4 have it."""
    weights = body.blend(shape[None])[0].double().numpy()
    rest = body.template.double().numpy() + sum(
        weight * move.numpy() for weight, move in zip(weights, body.directions.double(), strict=True)
    )
    head = body.heads.double().numpy() + sum(
        weight * move.numpy() for weight, move in zip(weights, body.head_directions.double(), strict=True)
    )
    turn = []
    place = []
    local = []
    for bone, (parent, drive) in enumerate(zip(body.parents, body.drivers, strict=True)):
        world = pose[SEGMENTS.index(drive.segment)]
        if drive.towards:
            world = interpolate_rotations(world, pose[SEGMENTS.index(drive.towards)], torch.tensor(drive.share))
        if body.grip is not None:
            world = world @ body.grip[bone]
        turn.append(world.double().numpy())
        if parent < 0:
            place.append(translation.double().numpy())
        else:
            place.append(place[parent] + turn[parent] @ (head[bone] - head[parent]))
            local.append(turn[parent].T @ turn[bone] - np.eye(3))
    if body.pose_directions is not None:
        rest = rest + np.einsum("t,tvc->vc", np.array(local).flatten(), body.pose_directions.double().numpy())
    vertices = np.zeros_like(rest)
    for bone, weight in enumerate(body.weights.double().numpy().T):
        vertices += weight[:, None] * ((rest - head[bone]) @ turn[bone].T + place[bone])
    joints = body.regressor.double().numpy() @ vertices + body.head_regressor.double().numpy() @ np.array(place)
    return PosedBodies(torch.from_numpy(vertices).float(), torch.from_numpy(joints).float())


def smpl_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """What a file of SMPL holds, of a person who is made of random points around bones."""
    random = np.random.default_rng(seed)
    joints = np.array([place(name) for name in JOINTS])
    bone = np.arange(VERTICES) % len(JOINTS)
    template = joints[bone] + random.normal(0, 0.03, (VERTICES, 3))
    for vertex, where in FACE.items():
        bone[vertex] = JOINTS.index("head")
        template[vertex] = where
    weights = np.exp(-np.square(np.linalg.norm(template[:, None] - joints, axis=-1) / 0.05))
    weights[np.arange(VERTICES), bone] += 1
    weights[list(FACE)] = np.eye(len(JOINTS))[JOINTS.index("head")]
    regressor = np.where(bone == np.arange(len(JOINTS))[:, None], random.uniform(0, 1, (len(JOINTS), VERTICES)), 0)
    parents = np.array(PARENTS)
    return {
        "v_template": template,
        "shapedirs": random.normal(0, 0.003, (VERTICES, 3, 10)),
        "posedirs": random.normal(0, 0.001, (VERTICES, 3, 9 * (len(JOINTS) - 1))).astype(np.float32),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(len(JOINTS), dtype=np.uint32)]),
        "f": random.integers(0, VERTICES, (FACES, 3)).astype(np.uint32),
    }


def place(joint: str) -> tuple[float, float, float]:
    """Where a bone begins."""
    x, y, z = PLACES[joint.removeprefix("left_").removeprefix("right_")]
    return (-x if joint.startswith("right_") else x, y, z)
