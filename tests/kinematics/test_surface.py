import numpy as np

from known_fits import known_fit, without
from occlupose.bodies.anny import anny
from occlupose.kinematics.surface import move_body


def test_the_body_is_where_the_joints_are():
    body = anny(captured=True)
    bent = {"left_shank": (1, 0, 0), "left_forearm": (0, -1, 0), "right_thigh": (-0.8, 0, 0)}
    fit = without(known_fit([{}, bent, bent]), [2])
    motion = move_body(fit, 0, body)
    assert len(motion.pose) == len(motion.translation) == 2  # only where the person is known
    joints = body.joints(motion.pose, motion.shape, motion.translation).numpy()
    errors = np.linalg.norm(joints - fit.joints(body.skeleton)[:2, 0], axis=-1)
    assert errors.mean() < 0.01 and errors.max() < 0.04
